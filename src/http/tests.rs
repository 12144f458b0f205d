//! The whole edge against a scripted house, over real sockets.

pub(crate) mod client;
