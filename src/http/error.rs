//! Every answer that is not a success: one match from the fact to status, code, message, fields and headers.
//!
//! The table of the contract's §6, held by a snapshot. Nothing below the edge knows a status code; nothing here decides
//! whether a request succeeds. A message never holds a code, a key or a body.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{ACCEPT_ENCODING, ALLOW, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};

use crate::domain::ids::DeliveryId;
use crate::domain::json::Object;
use crate::domain::money::MicroUsd;
use crate::http::request_id::RequestId;
use crate::http::{Reply, wire};

/// Why there is no success, in the facts that the edge knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ApiError {
    InvalidPhone {
        message: Cow<'static, str>,
        reason: Option<&'static str>,
    },
    InvalidCode {
        message: &'static str,
    },
    /// `param` is the field, header or query parameter that is wrong, if it is one.
    InvalidRequest {
        param: Option<&'static str>,
        message: Cow<'static, str>,
    },
    MissingAuth,
    InvalidKey,
    InsufficientBalance {
        deposit_url: Arc<str>,
        balance: MicroUsd,
        cost: MicroUsd,
    },
    IpNotAllowed {
        detected: IpAddr,
    },
    NotFound,
    MethodNotAllowed {
        allow: &'static str,
    },
    IdempotencyInProgress,
    BodyTooLarge,
    /// `form`: the caller sent curl's default.
    UnsupportedMediaType {
        form: bool,
    },
    /// The body bears a Content-Encoding.
    EncodedBody,
    IdempotencyReused,
    HeadersTooLarge,
    /// The phone's window.
    CoolingDown {
        remaining: Duration,
    },
    /// The carrier's own limit for the phone.
    CarrierLimited {
        delivery: DeliveryId,
        remaining: Duration,
    },
    /// The carrier's queue cannot take it in time.
    NoRouteNow {
        retry_after: Duration,
    },
    Internal,
    /// Refused on the last channel, or it could not leave.
    NoRoute {
        delivery: DeliveryId,
    },
    Overloaded,
    Unavailable,
}

/// What one [`ApiError`] becomes.
struct Facts {
    status: StatusCode,
    code: &'static str,
    message: Cow<'static, str>,
    fields: Vec<(&'static str, Field)>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

enum Field {
    Text(String),
    /// A number, already in JSON.
    Number(String),
    Null,
}

/// How long a caller should stay away where no better figure is known.
const SOON: Duration = Duration::from_secs(1);

impl ApiError {
    /// `invalid_request` about the message as a whole.
    #[must_use]
    pub fn malformed(message: &'static str) -> Self {
        Self::InvalidRequest { param: None, message: message.into() }
    }

    /// `invalid_request` about one field, header or query parameter.
    #[must_use]
    pub fn invalid(param: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::InvalidRequest { param: Some(param), message: message.into() }
    }

    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.facts().status
    }

    /// The value of `error`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.facts().code
    }

    /// The JSON body.
    #[must_use]
    pub fn body(&self, id: &RequestId) -> Bytes {
        self.facts().body(id)
    }

    /// The whole answer; the listener adds the request id's header.
    #[must_use]
    pub fn reply(&self, id: &RequestId) -> Reply {
        let facts = self.facts();
        let mut reply = wire::json(facts.status, facts.body(id));
        for (name, value) in facts.headers {
            reply.headers_mut().insert(name, value);
        }
        reply
    }

    fn facts(&self) -> Facts {
        match self {
            Self::InvalidPhone { message, reason } => facts(400, "invalid_phone", message.clone())
                .with("param", Field::Text("phone".to_owned()))
                .with_some(reason.map(|reason| ("reason", Field::Text(reason.to_owned())))),
            Self::InvalidCode { message } => {
                facts(400, "invalid_code", *message).with("param", Field::Text("code".to_owned()))
            }
            Self::InvalidRequest { param, message } => facts(400, "invalid_request", message.clone())
                .with("param", param.map_or(Field::Null, |param| Field::Text(param.to_owned()))),
            Self::MissingAuth => facts(401, "missing_auth", "send the header `Authorization: Bearer sk_live_…`")
                .header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            Self::InvalidKey => facts(401, "invalid_key", "the API key is not valid")
                .header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            Self::InsufficientBalance { deposit_url, balance, cost } => {
                facts(402, "insufficient_balance", "the wallet cannot pay this delivery")
                    .with("deposit_url", Field::Text(deposit_url.to_string()))
                    .with("balance", Field::Number(balance.to_string()))
                    .with("cost", Field::Number(cost.to_string()))
            }
            Self::IpNotAllowed { detected } => {
                facts(403, "ip_not_allowed", "the caller's address is not on the allowlist of this key")
                    .with("detected_ip", Field::Text(detected.to_string()))
            }
            Self::NotFound => facts(404, "not_found", "no such thing here"),
            Self::MethodNotAllowed { allow } => {
                facts(405, "method_not_allowed", format!("use {allow}")).header(ALLOW, HeaderValue::from_static(allow))
            }
            Self::IdempotencyInProgress => {
                facts(409, "idempotency_in_progress", "the first request with this Idempotency-Key is still running")
                    .retry_header(SOON)
            }
            Self::BodyTooLarge => facts(413, "body_too_large", "a body has at most 4096 bytes"),
            Self::UnsupportedMediaType { form } => media_type(*form),
            // The header that says which codings are taken (RFC 9110 §15.5.16).
            Self::EncodedBody => {
                facts(415, "unsupported_media_type", "send the body as it is: no Content-Encoding is unpacked here")
                    .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"))
            }
            Self::IdempotencyReused => {
                facts(422, "idempotency_key_reused", "this Idempotency-Key came with another body before")
            }
            Self::HeadersTooLarge => {
                facts(431, "headers_too_large", "a request head has at most 16 KiB and 64 header fields")
            }
            Self::CoolingDown { remaining } => {
                facts(429, "rate_limited", "this phone had a code less than 30 s ago").retry(*remaining)
            }
            Self::CarrierLimited { delivery, remaining } => {
                facts(429, "rate_limited", "the carrier refuses this phone for now; the charge was refunded")
                    .retry(*remaining)
                    .with("id", Field::Text(delivery.to_string()))
            }
            Self::NoRouteNow { retry_after } => {
                facts(429, "no_route", "the carrier cannot take this in time; nothing was charged").retry(*retry_after)
            }
            Self::Internal => facts(500, "internal", "our fault; it was logged under this request id"),
            Self::NoRoute { delivery } => {
                facts(502, "no_route", "the carrier did not take the dispatch; the charge was refunded")
                    .with("id", Field::Text(delivery.to_string()))
            }
            Self::Overloaded => {
                facts(503, "overloaded", "too busy to take this; nothing was charged").retry_header(SOON)
            }
            Self::Unavailable => {
                facts(503, "unavailable", "the service is out of reach for now; no charge stands").retry_header(SOON)
            }
        }
    }
}

fn media_type(form: bool) -> Facts {
    let message = if form {
        "send JSON and say so: with curl, add -H 'Content-Type: application/json'"
    } else {
        "the Content-Type is application/json"
    };
    facts(415, "unsupported_media_type", message)
}

fn facts(status: u16, code: &'static str, message: impl Into<Cow<'static, str>>) -> Facts {
    let status = StatusCode::from_u16(status).expect("a status of the table");
    Facts { status, code, message: message.into(), fields: Vec::new(), headers: Vec::new() }
}

impl Facts {
    fn with(mut self, name: &'static str, field: Field) -> Self {
        self.fields.push((name, field));
        self
    }

    fn with_some(mut self, field: Option<(&'static str, Field)>) -> Self {
        self.fields.extend(field);
        self
    }

    fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    fn retry(self, after: Duration) -> Self {
        self.with("retry_after_seconds", Field::Number(whole_seconds(after).to_string())).retry_header(after)
    }

    fn retry_header(self, after: Duration) -> Self {
        self.header(RETRY_AFTER, whole_seconds(after).into())
    }

    fn body(&self, id: &RequestId) -> Bytes {
        let body = Object::with_capacity(192)
            .plain("ok", false)
            .quoted("error", self.code)
            .text("message", &self.message)
            .text("request_id", id.as_str());
        let body = self.fields.iter().fold(body, |body, (name, field)| match field {
            Field::Text(text) => body.text(name, text),
            Field::Number(number) => body.plain(name, number),
            Field::Null => body.plain(name, "null"),
        });
        body.finish().into()
    }
}

/// Rounded up, at least 1: a caller who comes back then is not early.
fn whole_seconds(duration: Duration) -> u64 {
    let whole = duration.as_secs();
    let up = u64::from(duration.subsec_nanos() > 0);
    whole.saturating_add(up).max(1)
}

#[cfg(test)]
pub(crate) mod tests;
