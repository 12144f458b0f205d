//! Floor 6: the edge. HTTP/1.1, JSON and status codes live here and nowhere else.
//!
//! It owns the sockets of customers and operators, what a request may look like, who its caller is and how an answer is
//! written. It never touches SQL, an actor's mailbox or money: it asks [`backend::Backend`]. A listener ends by draining:
//! it stops accepting, closes what is idle and waits for every request that has begun.

pub mod api;
pub mod auth;
pub mod backend;
pub mod body;
pub mod callbacks;
pub mod client_ip;
pub mod error;
pub mod framing;
pub mod listener;
pub mod meter;
pub mod ops;
pub mod order;
pub mod query;
pub mod request_id;
pub mod router;
pub mod wire;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;

/// One answer, whole in memory.
pub type Reply = Response<Full<Bytes>>;

#[cfg(test)]
mod tests;
