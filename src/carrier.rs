//! Floor 3: what leaves the house towards carriers.
//!
//! `upstream` is the one trait that every kind of link implements; the links beside it hold the sockets.

pub mod simulator;
pub mod upstream;
