//! What keeps actors alive: restart budgets, slots that let handles survive a restart, tracked tasks.
//!
//! A supervisor owns a [`Keeper`] and no product state. A child that ends without being asked to is started again after
//! a backoff; when the budget is spent the supervisor fails, so that its own supervisor restarts the whole branch, and
//! in the end the root fails ([`Tree::failed`]) and the process ends with a non-zero code.
//!
//! It never kills: `stop` and `drain` of a parent kill its children at their next await, so the graceful stop goes
//! through [`SupervisorMessage::Stop`], which ends the children first, last started first.

mod branch;
mod child;
mod keeper;
mod slot;
mod tasks;
mod tree;

pub use branch::{Branch, NotStarted};
pub use child::Child;
pub use keeper::{Budget, Keeper, Restart, Spent};
pub use slot::Slot;
pub use tasks::Tasks;
pub use tree::{Supervisor, SupervisorMessage, Tree};
