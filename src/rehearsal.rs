//! Floor 6: carriers to rehearse with, each on a real wire.
//!
//! They do what the simulator's script says (`carrier::simulator`), to whoever connects: a daemon of ours, or anybody else's
//! client. Nothing here knows the house: a rehearsal has no database, no customer and no money, and ends with its process.

pub mod provider;
pub mod smsc;
