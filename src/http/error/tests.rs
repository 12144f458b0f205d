//! The table of the contract's §6, whole.

use super::*;
use hyper::HeaderMap;

/// One of each. The match below does not compile when a variant is added, and says where to add it.
pub(crate) fn samples() -> Vec<ApiError> {
    let delivery = DeliveryId::from_bytes([0x11; 16]);
    let samples = vec![
        ApiError::InvalidPhone { message: "send the E.164 form +84981234567".into(), reason: None },
        ApiError::InvalidPhone {
            message: "numbers of gmobile are not served here".into(),
            reason: Some("carrier_not_served"),
        },
        ApiError::InvalidCode { message: "code is 4 to 8 digits" },
        ApiError::invalid("channel", "channel is auto, voice or sms"),
        ApiError::malformed("the body is not UTF-8"),
        ApiError::MissingAuth,
        ApiError::InvalidKey,
        ApiError::InsufficientBalance {
            deposit_url: "https://example.com/deposit".into(),
            balance: MicroUsd::from_micros(21_999),
            cost: MicroUsd::from_micros(22_000),
        },
        ApiError::IpNotAllowed { detected: [203, 0, 113, 9].into() },
        ApiError::NotFound,
        ApiError::MethodNotAllowed { allow: "GET, HEAD" },
        ApiError::IdempotencyInProgress,
        ApiError::BodyTooLarge,
        ApiError::UnsupportedMediaType { form: true },
        ApiError::UnsupportedMediaType { form: false },
        ApiError::EncodedBody,
        ApiError::IdempotencyReused,
        ApiError::HeadersTooLarge,
        ApiError::CoolingDown { remaining: Duration::from_millis(12_001) },
        ApiError::CarrierLimited { delivery, remaining: Duration::from_secs(9) },
        ApiError::NoRouteNow { retry_after: Duration::from_micros(1) },
        ApiError::Internal,
        ApiError::NoRoute { delivery },
        ApiError::Overloaded,
        ApiError::Unavailable,
    ];
    for sample in &samples {
        match sample {
            ApiError::InvalidPhone { .. }
            | ApiError::InvalidCode { .. }
            | ApiError::InvalidRequest { .. }
            | ApiError::MissingAuth
            | ApiError::InvalidKey
            | ApiError::InsufficientBalance { .. }
            | ApiError::IpNotAllowed { .. }
            | ApiError::NotFound
            | ApiError::MethodNotAllowed { .. }
            | ApiError::IdempotencyInProgress
            | ApiError::BodyTooLarge
            | ApiError::UnsupportedMediaType { .. }
            | ApiError::EncodedBody
            | ApiError::IdempotencyReused
            | ApiError::HeadersTooLarge
            | ApiError::CoolingDown { .. }
            | ApiError::CarrierLimited { .. }
            | ApiError::NoRouteNow { .. }
            | ApiError::Internal
            | ApiError::NoRoute { .. }
            | ApiError::Overloaded
            | ApiError::Unavailable => {}
        }
    }
    samples
}

fn request_id() -> RequestId {
    RequestId::of(&HeaderMap::from_iter([(crate::http::request_id::X_REQUEST_ID, HeaderValue::from_static("r-1"))]))
}

fn row(error: &ApiError) -> String {
    let id = request_id();
    let reply = error.reply(&id);
    let headers = reply.headers().iter().filter(|(name, _)| *name != "content-type");
    let headers: Vec<String> =
        headers.map(|(name, value)| format!("{name}: {}", value.to_str().expect("ascii"))).collect();
    let body = String::from_utf8(error.body(&id).to_vec()).expect("text");
    let rest =
        body.strip_prefix(r#"{"ok":false,"error":""#).expect("the common start").strip_suffix('}').expect("an object");
    format!("{} [{}] \"{rest}", reply.status().as_u16(), headers.join(", "))
}

#[test]
fn the_table_of_the_contract() {
    let table = samples().iter().map(row).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(table);
}

#[test]
fn a_body_is_json() {
    for error in samples() {
        let body: serde_json::Value = serde_json::from_slice(&error.body(&request_id())).expect("JSON");
        assert_eq!((&body["ok"], &body["error"]), (&false.into(), &error.code().into()));
    }
}

#[test]
fn a_wait_is_rounded_up() {
    for (millis, seconds) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (29_999, 30), (30_000, 30)] {
        assert_eq!(whole_seconds(Duration::from_millis(millis)), seconds, "{millis}");
    }
}
