//! Floor 3: what leaves the house towards carriers.
//!
//! `upstream` is the one trait that every kind of link implements; `simulator` is the first of them, `http` is for providers that
//! are spoken to over HTTP, `smpp` for an SMSC. `pace` is the schedule of whoever may not send faster than a carrier takes it;
//! `look_up` asks for the network of a number.
//! What leaves here has been charged for; what comes back is durable before its wire is told so.

pub mod http;
pub mod look_up;
pub(crate) mod pace;
pub mod simulator;
pub mod smpp;
pub mod unreceipted;
pub mod upstream;
