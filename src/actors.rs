//! Floor 4: the actors, which own time, order and scarce connections, and never the truth.
//!
//! The database decides; a mailbox may be lost at any moment without losing money. Only cloneable handles leave a
//! module; an `ActorRef` never does. Mailboxes are unbounded, so back-pressure is outside the actors: a handle is
//! called by somebody who holds a permit ([`admission`]) or a slot of a carrier's queue.

pub mod accept_health;
pub mod admission;
pub mod auditor;
pub mod cooldown;
pub mod dispatch;
mod group_commit;
pub mod keys;
pub mod learning;
pub mod notify;
pub mod pauses;
pub mod supervise;
pub mod sweeper;
pub mod tracking;
pub mod wallet;
