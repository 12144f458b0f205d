//! The whole edge against a scripted house, over real sockets.

pub(crate) mod client;
mod documented;
mod house;
mod operators;
mod order_of_checks;
mod reading;
mod sending;
