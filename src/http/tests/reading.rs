//! `GET`: balance, deliveries, the document; and a database that is out of reach.

use super::client::Client;
use super::house::{ATTEMPT, DELIVERY, Edge};
use crate::domain::delivery::Status;
use crate::domain::webhook::{AttemptState, Outcome};
use crate::http::api::OPENAPI;
use crate::store::StoreError;

#[tokio::test]
async fn the_seeds_reads_are_answered_as_printed() {
    let edge = Edge::start();
    let balance = edge.call("GET /api/v1/balance", "", "").await;
    assert_eq!(balance.status, 200);
    assert!(balance.body.starts_with(
        r#"{"ok":true,"currency":"USD","balance":9.978,"bonus_credit":2.000,"free_credit":0.066,"total":12.044,"#
    ));
    let delivery = edge.call(&format!("GET /api/v1/deliveries/{DELIVERY}"), "", "").await;
    assert!(delivery.status == 200 && delivery.body.contains(r#""created_at":"2026-05-25T10:00:00.000Z""#));
}

#[tokio::test]
async fn a_delivery_that_is_unknown_malformed_or_anothers_is_not_there() {
    let edge = Edge::start();
    for id in ["22222222-2222-2222-2222-222222222222", "8f2e1c4d-...", "x", "%00", "11111111111111111111111111111111"] {
        let answer = edge.call(&format!("GET /api/v1/deliveries/{id}"), "", "").await;
        assert!(answer.status == 404 && answer.body.contains(r#""error":"not_found""#), "{id}: {answer:?}");
    }
}

#[tokio::test]
async fn a_list_is_asked_for_as_the_query_says() {
    let edge = Edge::start();
    let line = format!("GET /api/v1/deliveries?limit=7&status=failed&phone=+84981234567&starting_after={DELIVERY}");
    let answer = edge.call(&line, "", "").await;
    assert!(answer.body.ends_with(&format!(r#""has_more":false,"next_cursor":"{DELIVERY}"}}"#)), "{}", answer.body);
    {
        let script = edge.script();
        let page = &script.pages[0];
        assert_eq!((page.limit, page.status, page.starting_after), (7, Some(Status::Failed), Some(DELIVERY)));
    }
    for (query, param) in [
        ("limit=0", "limit"),
        ("starting_after=22222222-2222-2222-2222-222222222222", "starting_after"),
        ("phone=0981234567", "phone"),
    ] {
        let answer = edge.call(&format!("GET /api/v1/deliveries?{query}"), "", "").await;
        assert_eq!(answer.status, 400);
        assert!(answer.body.contains(&format!(r#""param":"{param}""#)), "{}", answer.body);
    }
}

#[tokio::test]
async fn attempts_are_asked_for_as_the_query_says() {
    let edge = Edge::start();
    let filters = format!("state=failed&endpoint={DELIVERY}&delivery_id={DELIVERY}");
    let line = format!("GET /api/v1/webhooks/attempts?limit=7&{filters}&starting_after={ATTEMPT}");
    let answer = edge.call(&line, "", "").await;
    assert_eq!(answer.body, format!(r#"{{"ok":true,"data":[],"has_more":false,"next_cursor":"{ATTEMPT}"}}"#));
    {
        let script = edge.script();
        let page = &script.attempt_pages[0];
        let failed = Some(AttemptState::Ended(Outcome::Failed));
        assert_eq!((page.limit, page.state, page.starting_after), (7, failed, Some(ATTEMPT)));
        assert_eq!(
            (page.delivery, page.endpoint.map(|id| *id.as_bytes())),
            (Some(DELIVERY), Some(*DELIVERY.as_bytes()))
        );
    }
    for (query, param) in [
        ("limit=0", "limit"),
        ("starting_after=22222222-2222-2222-2222-222222222222", "starting_after"),
        ("endpoint=1", "endpoint"),
        ("state=sent", "state"),
    ] {
        let answer = edge.call(&format!("GET /api/v1/webhooks/attempts?{query}"), "", "").await;
        assert_eq!(answer.status, 400);
        assert!(answer.body.contains(&format!(r#""param":"{param}""#)), "{}", answer.body);
    }
    assert_eq!(edge.raw("GET /api/v1/webhooks/attempts", "", "").await.status, 401);
    let posted = edge.call("POST /api/v1/webhooks/attempts", "", "").await;
    assert_eq!((posted.status, posted.header("allow")), (405, Some("GET, HEAD")));
}

#[tokio::test]
async fn a_database_out_of_reach_is_503_and_a_fault_of_ours_500() {
    let edge = Edge::start();
    for (error, status) in [
        (StoreError::Unavailable("gone".into()), 503),
        (StoreError::Conflict("lost".into()), 503),
        (StoreError::Unfit("shared".into()), 503),
        (StoreError::Locked("held".into()), 503),
        (StoreError::Internal("secret detail".into()), 500),
    ] {
        edge.script().broken = Some(error);
        let delivery = format!("/api/v1/deliveries/{DELIVERY}");
        for line in ["/api/v1/balance", "/api/v1/deliveries", "/api/v1/webhooks/attempts", &delivery] {
            let answer = edge.call(&format!("GET {line}"), "", "").await;
            assert_eq!((answer.status, answer.header("retry-after").is_some()), (status, status == 503), "{line}");
            assert!(!answer.body.contains("secret"), "{}", answer.body);
        }
    }
}

#[tokio::test]
async fn head_is_get_without_its_body() {
    let edge = Edge::start();
    let whole = edge.call("GET /api/v1/balance", "", "").await;
    let mut client = Client::connect(edge.address).await;
    let head = format!("HEAD /api/v1/balance HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n", edge.key);
    client.send(&format!("{head}Connection: close\r\n\r\n")).await;
    let seen = client.head().await;
    assert!(seen.starts_with("HTTP/1.1 200 ") && seen.contains(&format!("content-length: {}\r\n", whole.body.len())));
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn the_document_needs_no_key() {
    let edge = Edge::start();
    let answer = edge.raw("GET /openapi.json", "", "").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, OPENAPI));
}
