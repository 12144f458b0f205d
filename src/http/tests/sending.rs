//! `POST /send-otp`: every verdict of the use case, replays, and keys that went stale.

use std::time::Duration;

use super::house::{ACCOUNT, DELIVERY, Edge, ORDER, accepted, refused};
use crate::domain::money::MicroUsd;
use crate::http::backend::KeyRefused;
use crate::send::{Answer, SendError};

#[tokio::test]
async fn the_seeds_call_is_answered_as_printed() {
    let edge = Edge::start();
    let answer = edge.order(ORDER).await;
    assert_eq!((answer.status, answer.header("content-type")), (202, Some("application/json")));
    assert_eq!(
        answer.body,
        format!(r#"{{"ok":true,"id":"{DELIVERY}","carrier":"viettel","status":"sent","cost":0.022,"balance":9.978}}"#)
    );
    assert_eq!(answer.header("idempotent-replayed"), None);
    let script = edge.script();
    let (caller, request) = &script.sent[0];
    assert_eq!((caller.account, caller.auth_epoch, caller.ip), (ACCOUNT, 0, [127, 0, 0, 1].into()));
    assert_eq!((request.phone.e164().as_str(), request.code.expose()), ("+84981234567", "482917"));
    assert!(request.idempotency.is_none() && request.metadata.is_none());
}

#[tokio::test]
async fn every_refusal_has_its_status_its_fields_and_its_headers() {
    let edge = Edge::start();
    let remaining = Duration::from_millis(11_200);
    let (balance, cost) = (MicroUsd::from_micros(21_000), MicroUsd::from_micros(22_000));
    for (why, status, code, retry_after, field) in [
        (SendError::Overloaded, 503, "overloaded", Some("1"), ""),
        (SendError::Unavailable, 503, "unavailable", Some("1"), ""),
        (
            SendError::Insufficient { balance, cost },
            402,
            "insufficient_balance",
            None,
            r#""deposit_url":"https://example.com/deposit","balance":0.021,"cost":0.022"#,
        ),
        (SendError::CoolingDown { remaining }, 429, "rate_limited", Some("12"), r#""retry_after_seconds":12"#),
        (
            SendError::CarrierLimited { delivery: DELIVERY, remaining },
            429,
            "rate_limited",
            Some("12"),
            r#""id":"11111111-1111-1111-1111-111111111111""#,
        ),
        (SendError::NoRouteNow { retry_after: remaining }, 429, "no_route", Some("12"), r#""retry_after_seconds":12"#),
        (
            SendError::NoRoute { delivery: DELIVERY },
            502,
            "no_route",
            None,
            r#""id":"11111111-1111-1111-1111-111111111111""#,
        ),
        (SendError::IdempotencyInProgress, 409, "idempotency_in_progress", Some("1"), ""),
        (SendError::IdempotencyReused, 422, "idempotency_key_reused", None, ""),
        (SendError::Internal, 500, "internal", None, ""),
    ] {
        edge.script().answers.push_back(refused(why.clone()));
        let answer = edge.order(ORDER).await;
        assert_eq!((answer.status, answer.header("retry-after")), (status, retry_after), "{why:?}");
        assert!(
            answer.body.contains(&format!(r#""error":"{code}""#)) && answer.body.contains(field),
            "{}",
            answer.body
        );
        // The body was read: the connection may go on.
        assert_eq!(answer.header("connection"), None, "{why:?}");
    }
}

#[tokio::test]
async fn a_replay_says_so_whatever_the_first_answer_was() {
    let edge = Edge::start();
    edge.script().answers.extend([
        Answer { replayed: true, ..accepted() },
        Answer { replayed: true, ..refused(SendError::NoRoute { delivery: DELIVERY }) },
    ]);
    for status in [202, 502] {
        let answer = edge.call("POST /api/v1/send-otp", "Idempotency-Key: order-42\r\n", ORDER).await;
        assert_eq!((answer.status, answer.header("idempotent-replayed")), (status, Some("true")));
    }
    let script = edge.script();
    let idempotency = script.sent[0].1.idempotency.as_ref().expect("a key");
    assert_eq!((idempotency.key.as_str(), &idempotency.body[..]), ("order-42", ORDER.as_bytes()));
}

#[tokio::test]
async fn a_stale_key_list_is_reloaded_and_the_order_sent_once_more() {
    let edge = Edge::start();
    edge.script().answers.push_back(refused(SendError::StaleKey));
    assert_eq!(edge.order(ORDER).await.status, 202);
    let script = edge.script();
    let epochs: Vec<i64> = script.sent.iter().map(|(caller, _)| caller.auth_epoch).collect();
    assert_eq!(epochs, [0, 1]);
    assert_eq!(script.sent[1].1.code.expose(), "482917");
}

#[tokio::test]
async fn a_key_that_the_reload_no_longer_admits_sends_nothing() {
    for (after, status) in [(KeyRefused::Unknown, 401), (KeyRefused::Address, 403), (KeyRefused::Stale, 503)] {
        let edge = Edge::start();
        edge.script().keys.extend([Ok(()), Err(after)]);
        edge.script().answers.push_back(refused(SendError::StaleKey));
        assert_eq!(edge.order(ORDER).await.status, status);
        assert_eq!(edge.script().sent.len(), 1);
    }
}

#[tokio::test]
async fn a_list_that_stays_stale_is_not_believed() {
    for (stale, status) in [(3, 202), (4, 503)] {
        let edge = Edge::start();
        edge.script().answers.extend((0..stale).map(|_| refused(SendError::StaleKey)));
        let answer = edge.order(ORDER).await;
        assert!(answer.status == status && answer.body.contains("unavailable") == (status == 503), "{answer:?}");
        assert_eq!(edge.script().sent.len(), 4);
    }
}

#[tokio::test]
async fn a_panic_below_is_a_500_and_shows_nothing() {
    let edge = Edge::start();
    edge.script().panics = true;
    let answer = edge.order(ORDER).await;
    assert!(answer.status == 500 && !answer.body.contains("scripted"), "{answer:?}");
}

#[tokio::test]
async fn any_parameters_of_the_media_type_or_none_at_all_will_do() {
    let edge = Edge::start();
    for media_type in ["", "Content-Type: Application/JSON ; charset=utf-8\r\n", "Content-Type: application/json\r\n"] {
        assert_eq!(edge.call("POST /api/v1/send-otp", media_type, ORDER).await.status, 202, "{media_type}");
    }
    for (media_type, said) in [
        ("application/x-www-form-urlencoded", "add -H 'Content-Type: application/json'"),
        ("text/plain", "The Content-Type is application/json"),
        ("application/jsonx", "Content-Type is application/json"),
        ("application/json\r\nContent-Type: application/json", "Content-Type is application/json"),
    ] {
        let answer = edge.call("POST /api/v1/send-otp", &format!("Content-Type: {media_type}\r\n"), ORDER).await;
        assert_eq!((answer.status, answer.header("connection")), (415, None), "the body is read and dropped");
        assert!(answer.body.to_lowercase().contains(&said.to_lowercase()), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_packed_body_is_told_that_its_content_encoding_is_not_taken() {
    let edge = Edge::start();
    for coding in ["gzip", "deflate", "GZIP", "br", "identity, gzip", "identity\r\nContent-Encoding: gzip"] {
        let answer = edge.call("POST /api/v1/send-otp", &format!("Content-Encoding: {coding}\r\n"), ORDER).await;
        assert_eq!((answer.status, answer.header("accept-encoding")), (415, Some("identity")), "{coding}");
        assert!(answer.body.contains("Content-Encoding"), "{coding}: {}", answer.body);
    }
    assert_eq!(edge.script().sent.len(), 0);
    let plain = edge.call("POST /api/v1/send-otp", "Content-Encoding: Identity\r\n", ORDER).await;
    assert_eq!(plain.status, 202);
}
