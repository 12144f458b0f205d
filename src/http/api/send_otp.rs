//! `POST /send-otp`: reads the order, has it sent, writes the verdict (contract §2 and §6).
//!
//! It runs to its end though the client is gone: the listener never drops a handler that has begun.

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode};

use super::Api;
use crate::domain::api_key::KeyHash;
use crate::domain::carrier::Unroutable;
use crate::http::backend::{Backend, Identity};
use crate::http::body::{Body, is_encoded};
use crate::http::error::ApiError;
use crate::http::order::{Order, not_reached, unroutable};
use crate::http::request_id::RequestId;
use crate::http::{Reply, auth, wire};
use crate::send::{Answer, Caller, Idempotency, SendError, SendRequest};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Keys may be revoked while an order waits for its reload: three in a row are not chance.
const RELOADS_MAX: usize = 3;

pub(super) async fn answer<B: Backend>(
    api: &Api<B>,
    headers: &HeaderMap,
    body: &mut Body,
    id: &RequestId,
    key: &KeyHash,
    caller: Caller,
) -> Result<Reply, ApiError> {
    check_media_type(headers)?;
    if is_encoded(headers) {
        return Err(ApiError::EncodedBody);
    }
    let body = body.read().await?;
    let order = Order::read(&body, |phone| api.backend.route(phone))?;
    let idempotency = idempotency_key(headers)?;
    let request = || request(&order, idempotency, &body);
    let mut answer = api.backend.send(caller, request()).await;
    for _ in 0..RELOADS_MAX {
        if answer.result != Err(SendError::StaleKey) {
            break;
        }
        // The database knows a newer key list than the one that let this caller in: ask it.
        api.backend.reload_keys().await;
        let Identity { account, auth_epoch } = auth::admit(&api.backend, key, caller.ip)?;
        answer = api.backend.send(Caller { account, auth_epoch, ip: caller.ip }, request()).await;
    }
    Ok(reply(api, id, answer))
}

fn request(order: &Order, idempotency_key: Option<&str>, body: &Bytes) -> SendRequest {
    SendRequest {
        phone: order.phone,
        code: order.code.clone(),
        route: order.routed.route.clone(),
        source: order.routed.source,
        choice: order.choice,
        channels: order.channels,
        metadata: order.metadata.clone(),
        idempotency: idempotency_key.map(|key| Idempotency { key: key.to_owned(), body: body.clone() }),
    }
}

fn reply<B>(api: &Api<B>, id: &RequestId, answer: Answer) -> Reply {
    let mut reply = match answer.result {
        Ok(sent) => wire::json(StatusCode::ACCEPTED, wire::sent(&sent)),
        Err(why) => {
            if why == SendError::Internal {
                tracing::error!(request_id = id.as_str(), "an order failed for a reason of ours");
            }
            refused(api, &why).reply(id)
        }
    };
    if answer.replayed {
        reply.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    reply
}

fn refused<B>(api: &Api<B>, why: &SendError) -> ApiError {
    match *why {
        SendError::NotServed { ref carrier } => unroutable(Unroutable::NotServed(carrier.clone())),
        SendError::NoChannel { ref carrier } => not_reached(carrier),
        SendError::Overloaded => ApiError::Overloaded,
        // A list that stays stale is not to be believed.
        SendError::Unavailable | SendError::StaleKey => ApiError::Unavailable,
        SendError::Insufficient { balance, cost } => {
            ApiError::InsufficientBalance { deposit_url: api.deposit_url.clone(), balance, cost }
        }
        SendError::CoolingDown { remaining } => ApiError::CoolingDown { remaining },
        SendError::CarrierLimited { delivery, remaining } => ApiError::CarrierLimited { delivery, remaining },
        SendError::NoRouteNow { retry_after } => ApiError::NoRouteNow { retry_after },
        SendError::NoRoute { delivery } => ApiError::NoRoute { delivery },
        SendError::IdempotencyInProgress => ApiError::IdempotencyInProgress,
        SendError::IdempotencyReused => ApiError::IdempotencyReused,
        SendError::Internal => ApiError::Internal,
    }
}

/// Missing, or `application/json` with any parameters.
fn check_media_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let mut given = headers.get_all(CONTENT_TYPE).iter();
    let Some(value) = given.next() else { return Ok(()) };
    let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if given.next().is_none() && essence.eq_ignore_ascii_case(b"application/json") {
        return Ok(());
    }
    let form = essence.eq_ignore_ascii_case(b"application/x-www-form-urlencoded");
    Err(ApiError::UnsupportedMediaType { form })
}

/// 1–255 visible ASCII characters, once.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let mut given = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = given.next() else { return Ok(None) };
    let bytes = value.as_bytes();
    let sane = (1..=255).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
    match value.to_str() {
        Ok(key) if sane && given.next().is_none() => Ok(Some(key)),
        _ => Err(ApiError::invalid("Idempotency-Key", "one Idempotency-Key of 1 to 255 visible ASCII characters")),
    }
}
