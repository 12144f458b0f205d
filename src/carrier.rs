//! Floor 3: what leaves the house towards carriers.
//!
//! `upstream` is the one trait that every kind of link implements; `simulator` is the first of them, `smpp` one that leaves the
//! house. `pace` is the schedule of whoever may not send faster than a carrier takes it.
//! What leaves here has been charged for; what comes back is durable before its wire is told so.

pub(crate) mod pace;
pub mod simulator;
pub mod smpp;
pub mod upstream;
