//! What goes onto the wire: JSON with exact decimals and RFC 3339 times.
//!
//! Money is written from micro-dollars by its own `Display`, never through a float (a float cannot hold 0.022). The
//! inner types know no serde; these functions are the only place where they become JSON.

mod attempts;

use bytes::Bytes;
use http_body_util::Full;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue};

use crate::domain::delivery::{FailureCode, Status};
use crate::domain::json::Object;
use crate::domain::money::{Buckets, MicroUsd};
use crate::domain::time::Timestamp;
use crate::http::Reply;
use crate::records::deliveries::{Delivery, Listing};
use crate::send::Sent;
pub(crate) use attempts::attempts;

/// The media type of every answer but the metrics.
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: Bytes) -> Reply {
    let mut reply = Reply::new(Full::new(body));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, JSON);
    reply
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
        .into()
}

/// The body of `GET /deliveries/{id}`.
pub(crate) fn delivery(delivery: &Delivery) -> Bytes {
    fields(Object::with_capacity(384).plain("ok", true), delivery).finish().into()
}

/// The body of `GET /deliveries`.
pub(crate) fn listing(listing: &Listing) -> Bytes {
    let next_cursor = listing.next_cursor.map(|id| id.to_string());
    let data = listing.data.iter().map(|delivery| fields(Object::with_capacity(384), delivery).finish());
    page(data, listing.has_more, next_cursor.as_deref())
}

/// One page of a list, of objects that are already JSON.
fn page(objects: impl Iterator<Item = Vec<u8>>, has_more: bool, next_cursor: Option<&str>) -> Bytes {
    let mut data = vec![b'['];
    for (index, object) in objects.enumerate() {
        if index > 0 {
            data.push(b',');
        }
        data.extend_from_slice(&object);
    }
    data.push(b']');
    Object::with_capacity(data.len() + 96)
        .plain("ok", true)
        .json("data", &data)
        .plain("has_more", has_more)
        .optional("next_cursor", next_cursor)
        .finish()
        .into()
}

fn fields(object: Object, delivery: &Delivery) -> Object {
    let object = object
        .quoted("id", delivery.id)
        .quoted("phone", delivery.phone.e164())
        .quoted("carrier", delivery.carrier.as_str())
        .quoted("channel", delivery.channel.as_str())
        .quoted("status", delivery.status.as_str())
        .plain("cost", delivery.cost)
        .plain("refunded", delivery.refunded)
        .optional("error_code", delivery.error_code.map(FailureCode::as_str))
        .optional("carrier_status", delivery.carrier_status.as_deref())
        .quoted("created_at", delivery.created_at.rfc3339())
        .optional("completed_at", delivery.completed_at.map(Timestamp::rfc3339).as_deref());
    match &delivery.metadata {
        Some(metadata) => object.pairs("metadata", metadata.pairs()),
        None => object.plain("metadata", "null"),
    }
}

/// The body of `GET /balance`; `None` if the sum overflows.
pub(crate) fn balance(wallet: &Buckets) -> Option<Bytes> {
    let total: MicroUsd = wallet.total()?;
    let buckets = three(Object::with_capacity(96), wallet).finish();
    let body = Object::with_capacity(256).plain("ok", true).quoted("currency", "USD");
    Some(three(body, wallet).plain("total", total).json("buckets", &buckets).finish().into())
}

fn three(object: Object, wallet: &Buckets) -> Object {
    object.plain("balance", wallet.cash).plain("bonus_credit", wallet.bonus).plain("free_credit", wallet.free)
}

#[cfg(test)]
mod tests;
