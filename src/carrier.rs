//! Floor 3: what leaves the house towards carriers.
//!
//! `upstream` is the one trait that every kind of link implements; `simulator` is the first of them.
//! What leaves here has been charged for; what comes back is durable before its wire is told so.

pub mod simulator;
pub mod unreceipted;
pub mod upstream;
