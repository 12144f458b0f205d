//! Floor 1: what all sockets that leave the house have in common: names, TCP and TLS.
//!
//! Who may be reached is decided by those above; nothing here sends a byte of theirs, keeps a connection, or tries one again.

pub mod descriptors;
pub mod dns;
pub mod encrypted;
pub mod end_point;
pub mod tcp;
pub mod tls;
pub mod trust;
