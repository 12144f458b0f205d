//! What goes onto the wire: JSON with exact decimals and RFC 3339 times.
//!
//! Money is written from micro-dollars by its own `Display`, never through a float (a float cannot hold 0.022). The
//! inner types know no serde; these functions are the only place where they become JSON.

use std::fmt::Display;
use std::io::Write;

use bytes::Bytes;
use http_body_util::Full;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue};

use crate::domain::delivery::{FailureCode, Status};
use crate::domain::metadata::Metadata;
use crate::domain::money::{Buckets, MicroUsd};
use crate::domain::time::Timestamp;
use crate::http::Reply;
use crate::records::deliveries::{Delivery, Listing};
use crate::send::Sent;

/// The media type of every answer but the metrics.
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: Bytes) -> Reply {
    let mut reply = Reply::new(Full::new(body));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, JSON);
    reply
}

/// A JSON object that is being written, member after member. Names are our own and need no escaping.
pub(crate) struct Object(Vec<u8>);

impl Object {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        let mut text = Vec::with_capacity(bytes);
        text.push(b'{');
        Self(text)
    }

    /// A number, `true`, `false` or `null`: what is written as it prints.
    pub(crate) fn plain(mut self, name: &str, value: impl Display) -> Self {
        self.name(name);
        let _ = write!(self.0, "{value}");
        self
    }

    /// A string that needs no escaping: an id, a time, a word of ours.
    pub(crate) fn quoted(mut self, name: &str, value: impl Display) -> Self {
        self.name(name);
        let _ = write!(self.0, "\"{value}\"");
        self
    }

    /// A string of somebody else's.
    pub(crate) fn text(mut self, name: &str, value: &str) -> Self {
        self.name(name);
        write_string(&mut self.0, value);
        self
    }

    /// A value that is already JSON.
    fn json(mut self, name: &str, value: &[u8]) -> Self {
        self.name(name);
        self.0.extend_from_slice(value);
        self
    }

    pub(crate) fn finish(self) -> Bytes {
        Bytes::from(self.finish_vec())
    }

    fn finish_vec(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }

    fn name(&mut self, name: &str) {
        if self.0.last() != Some(&b'{') {
            self.0.push(b',');
        }
        self.0.push(b'"');
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }
}

fn write_string(text: &mut Vec<u8>, value: &str) {
    serde_json::to_writer(text, value).expect("a string has a JSON form and a Vec takes every byte");
}

/// The body of a 202.
pub(crate) fn sent(sent: &Sent) -> Bytes {
    Object::with_capacity(160)
        .plain("ok", true)
        .quoted("id", sent.delivery)
        .quoted("carrier", sent.carrier.as_str())
        .quoted("status", Status::Sent.as_str())
        .plain("cost", sent.cost)
        .plain("balance", sent.balance)
        .finish()
}

/// The body of `GET /deliveries/{id}`.
pub(crate) fn delivery(delivery: &Delivery) -> Bytes {
    fields(Object::with_capacity(384).plain("ok", true), delivery).finish()
}

/// The body of `GET /deliveries`.
pub(crate) fn listing(listing: &Listing) -> Bytes {
    let mut data = vec![b'['];
    for (index, delivery) in listing.data.iter().enumerate() {
        if index > 0 {
            data.push(b',');
        }
        data.extend_from_slice(&fields(Object::with_capacity(384), delivery).finish_vec());
    }
    data.push(b']');
    let body = Object::with_capacity(data.len() + 96)
        .plain("ok", true)
        .json("data", &data)
        .plain("has_more", listing.has_more);
    optional(body, "next_cursor", listing.next_cursor.map(|id| id.to_string()).as_deref()).finish()
}

fn fields(object: Object, delivery: &Delivery) -> Object {
    let object = object
        .quoted("id", delivery.id)
        .quoted("phone", delivery.phone.e164())
        .quoted("carrier", delivery.carrier.as_str())
        .quoted("channel", delivery.channel.as_str())
        .quoted("status", delivery.status.as_str())
        .plain("cost", delivery.cost)
        .plain("refunded", delivery.refunded);
    let object = optional(object, "error_code", delivery.error_code.map(FailureCode::as_str));
    let object = optional(object, "carrier_status", delivery.carrier_status.as_deref());
    let object = object.quoted("created_at", delivery.created_at.rfc3339());
    let object = optional(object, "completed_at", delivery.completed_at.map(Timestamp::rfc3339).as_deref());
    match &delivery.metadata {
        Some(pairs) => object.json("metadata", &metadata(pairs)),
        None => object.plain("metadata", "null"),
    }
}

fn optional(object: Object, name: &str, value: Option<&str>) -> Object {
    match value {
        Some(value) => object.text(name, value),
        None => object.plain(name, "null"),
    }
}

fn metadata(metadata: &Metadata) -> Vec<u8> {
    let mut text = vec![b'{'];
    for (index, (key, value)) in metadata.pairs().iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        write_string(&mut text, key);
        text.push(b':');
        write_string(&mut text, value);
    }
    text.push(b'}');
    text
}

/// The body of `GET /balance`; `None` if the sum overflows.
pub(crate) fn balance(wallet: &Buckets) -> Option<Bytes> {
    let total: MicroUsd = wallet.total()?;
    let buckets = three(Object::with_capacity(96), wallet).finish_vec();
    let body = Object::with_capacity(256).plain("ok", true).quoted("currency", "USD");
    Some(three(body, wallet).plain("total", total).json("buckets", &buckets).finish())
}

fn three(object: Object, wallet: &Buckets) -> Object {
    object.plain("balance", wallet.cash).plain("bonus_credit", wallet.bonus).plain("free_credit", wallet.free)
}

#[cfg(test)]
mod tests;
