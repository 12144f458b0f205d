//! What is sent again and what is not, names that must be durable first, and receipts that are fetched.

use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::time::Instant;

use super::provider::{Does, Provider};
use super::{PATIENCE, Sink, ambiguous, attempt, before, leaving_within, link, settings};
use crate::carrier::http::HttpLink;
use crate::carrier::upstream::{FailureClass, Outcome, ReceiptState, Subject, Upstream};
use crate::domain::carrier::NetworkCode;
use crate::telemetry::names;

const KEYED: &str = "idempotency_header = \"Idempotency-Key\"\n";

fn taken() -> Does {
    Does::json("200 OK", r#"{"id":"a1"}"#)
}

#[tokio::test]
async fn what_was_lost_goes_again_under_the_same_key_where_the_provider_promises_to_take_it_once() {
    let provider = Provider::start([Does::Closes, Does::json("503 Service Unavailable", ""), taken()]).await;
    let (link, _) = before(&provider, KEYED);
    assert_eq!(link.dispatch(attempt()).await, Outcome::Accepted);
    let keys: Vec<_> = provider.got().iter().map(|got| got.header("idempotency-key").map(str::to_owned)).collect();
    assert_eq!(keys, vec![Some(attempt().id()); 3]);
    let bodies: Vec<_> = provider.got().into_iter().map(|got| got.body).collect();
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "{bodies:?}");
}

#[tokio::test]
async fn without_that_promise_it_is_sent_once() {
    let provider = Provider::start([Does::json("503 Service Unavailable", ""), taken()]).await;
    let (link, _) = before(&provider, "");
    assert_eq!(link.dispatch(attempt()).await, ambiguous("HTTP 503"));
    assert_eq!(provider.got().len(), 1);
}

#[tokio::test]
async fn what_may_have_arrived_stays_ambiguous_whatever_a_later_try_meets() {
    let limited = r#"answers = [
        { status = "2xx", at = "/id", means = "accepted" },
        { status = 429, at = "/phone", means = "per_phone", retry_after = "/phone" },
    ]
    answer_timeout_ms = 400
    receipts = "refunded""#;
    for then in [Does::json("429 No", r#"{"phone":17}"#), Does::json("429 No", "{}"), Does::Closes] {
        let provider = Provider::start([Does::Closes, then]).await;
        let (link, _) = link(&settings(&provider.address.to_string(), &format!("{KEYED}{limited}")));
        let outcome = link.dispatch(leaving_within(Duration::from_millis(700))).await;
        assert_eq!(outcome, ambiguous("the connection ended before the answer"));
        assert!(provider.got().len() >= 2);
    }
}

#[tokio::test]
async fn a_refusal_of_the_second_request_says_nothing_of_the_first() {
    let refuses = r#"answers = [
        { status = "2xx", at = "/id", means = "accepted" },
        { status = 422, means = "refused", class = "invalid_number" },
    ]
    answer_timeout_ms = 400
    receipts = "refunded""#;
    for then in ["409 Conflict", "403 Forbidden", "404 Not Found", "302 Found", "400 Bad Request", "422 Unprocessable"]
    {
        let provider = Provider::start([Does::json("504 Gateway Timeout", ""), Does::json(then, "{}")]).await;
        let (link, _) = link(&settings(&provider.address.to_string(), &format!("{KEYED}{refuses}")));
        assert_eq!(link.dispatch(attempt()).await, ambiguous("HTTP 504"), "{then}");
        assert_eq!(provider.got().len(), 2, "{then}");
    }
}

#[tokio::test]
async fn a_throttled_attempt_keeps_its_place_and_goes_when_it_may() {
    let slower = Does::Answers("429 Too Many Requests", "Retry-After: 1\r\n", String::new());
    let provider = Provider::start([slower, taken()]).await;
    let (link, _) = before(&provider, "");
    let started = Instant::now();
    let both = tokio::join!(link.dispatch(attempt()), async {
        provider.received(1).await;
        link.dispatch(attempt()).await
    });
    assert_eq!(both, (Outcome::Accepted, Outcome::Accepted));
    assert!(started.elapsed() >= Duration::from_secs(1), "the link paused");
}

#[tokio::test]
async fn a_name_is_durable_before_anybody_hears_that_the_attempt_was_accepted() {
    let provider = Provider::start([taken()]).await;
    let (link, sink) = before(&provider, "");
    sink.refuse(3);
    assert_eq!(link.dispatch(attempt()).await, Outcome::Accepted);
    assert_eq!(sink.names(), ["a1"]);
}

#[tokio::test]
async fn a_name_that_cannot_be_kept_leaves_the_attempt_ambiguous() {
    let provider = Provider::start([taken()]).await;
    let (link, sink) = before(&provider, "");
    sink.refuse(usize::MAX);
    let soon = Instant::now() + Duration::from_millis(300);
    let outcome = link.dispatch(crate::carrier::upstream::Attempt { settle_by: soon, ..attempt() }).await;
    assert_eq!(outcome, ambiguous("its name could not be kept"));
}

#[tokio::test]
async fn what_was_accepted_without_the_name_that_its_receipt_needs_is_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let provider = Provider::start([Does::json("200 OK", r#"{"id":"has a space"}"#)]).await;
    let echoes = super::USUAL.replace("reference = \"/id\", status", "attempt = \"/ref\", status");
    for (more, text, counted) in [("", super::USUAL, 1), ("echoed", echoes.as_str(), 1), ("again", super::USUAL, 2)] {
        let config = settings(&provider.address.to_string(), text);
        let (link, _) = metrics::with_local_recorder(&recorder, || link(&config));
        assert_eq!(link.dispatch(attempt()).await, Outcome::Accepted);
        let seen = recorder.handle().render();
        assert!(seen.contains(&format!("{}{{link=\"tkc\"}} {counted}", names::HTTP_LINK_UNNAMED)), "{more}: {seen}");
    }
}

#[tokio::test]
async fn the_window_is_never_passed() {
    let provider = Provider::start([Does::Hangs]).await;
    let (link, _) = before(&provider, "in_flight_max = 1\n");
    let first = link.dispatch(attempt());
    assert!(matches!(link.dispatch(attempt()).await, Outcome::NotSent { .. }));
    assert_eq!(first.await, ambiguous("no answer in time"));
}

#[tokio::test]
async fn a_receipt_is_fetched_where_none_is_brought() {
    let polled = r#"
    answers = [{ status = "2xx", at = "/id", means = "accepted", reference = "/id" }]
    poll = { path = "/calls/{reference}", every_ms = 100, status = "/state", delivered = ["done"], failed = { busy = "unreachable" }, network = "/net" }"#;
    let provider = Provider::start([
        Does::json("200 OK", r#"{"id":"a/1 ?"}"#),
        Does::json("404 Not Found", "{}"),
        Does::json("200 OK", "not yet"),
        Does::json("200 OK", r#"{"state":"BUSY","net":"452-04"}"#),
    ])
    .await;
    let (link, sink) = link(&settings(&provider.address.to_string(), polled));
    sink.refuse(1);
    assert_eq!(link.dispatch(attempt()).await, Outcome::Accepted);
    // "a/1 ?" has a space: it is no reference, and nothing is asked for.
    assert!(sink.told().receipts.is_empty());

    let provider = Provider::start([
        Does::json("200 OK", r#"{"id":"a/1?"}"#),
        Does::json("404 Not Found", "{}"),
        Does::json("200 OK", "not yet"),
        Does::json("200 OK", r#"{"state":"BUSY","net":"452-04"}"#),
    ])
    .await;
    let (link, sink) = super::link(&settings(&provider.address.to_string(), polled));
    assert_eq!(link.dispatch(attempt()).await, Outcome::Accepted);
    let receipts = sink.received().await;
    assert_eq!(receipts[0].state, ReceiptState::Failed(FailureClass::Unreachable));
    assert_eq!(receipts[0].network, NetworkCode::parse("45204"));
    let subject = Subject::of_attempt_id(&attempt().id()).expect("reads back");
    assert_eq!(receipts[0].subject, subject);
    assert!(provider.got()[1].head.starts_with("GET /calls/a%2F1%3F HTTP/1.1\r\n"), "{}", provider.got()[1].head);
    let named = sink.told().namings[0].clone();
    assert!(named.poller.is_some() && named.references[0].as_str() == "a/1?", "another may have to ask: {named:?}");
    link.shutdown(Duration::from_secs(1)).await;
}

/// A link that has one receipt to fetch from `provider`, which took the attempt.
async fn awaiting(provider: &Provider, every_ms: u64) -> (HttpLink, Arc<Sink>) {
    let polled = format!(
        r#"answers = [{{ status = "2xx", at = "/id", means = "accepted", reference = "/id" }}]
        answer_timeout_ms = 400
        poll = {{ path = "/calls/{{reference}}", every_ms = {every_ms}, status = "/state", delivered = ["done"] }}"#
    );
    let (link, sink) = link(&settings(&provider.address.to_string(), &polled));
    assert_eq!(link.dispatch(attempt()).await, Outcome::Accepted);
    (link, sink)
}

#[tokio::test]
async fn what_is_asked_for_is_asked_for_once_more_when_the_link_is_closed() {
    let provider = Provider::start([taken(), Does::json("200 OK", r#"{"state":"done"}"#)]).await;
    let (link, sink) = awaiting(&provider, 60_000).await;
    link.shutdown(PATIENCE).await;
    assert_eq!(sink.received().await[0].state, ReceiptState::Delivered);
    let provider = Provider::start([taken(), Does::Hangs]).await;
    let (link, sink) = awaiting(&provider, 60_000).await;
    link.shutdown(Duration::from_millis(50)).await;
    assert!(sink.told().receipts.is_empty(), "what outlasts the grace is cut");
}

#[tokio::test]
async fn who_is_told_to_ask_less_asks_less_and_takes_no_attempts_place() {
    let slower = Does::Answers("429 Too Many Requests", "Retry-After: 1\r\n", String::new());
    let provider = Provider::start([taken(), slower, taken()]).await;
    let (link, _) = awaiting(&provider, 100).await;
    provider.received(2).await;
    let throttled = async {
        // The answer to the second request may still be on its way to the link.
        while link.shared.polls.throttle.is_free() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, throttled).await.expect("the link pauses");
    assert_eq!(link.dispatch(leaving_within(Duration::from_secs(5))).await, Outcome::Accepted);
}

#[tokio::test(start_paused = true)]
async fn however_seldom_it_is_asked_the_last_look_is_shortly_before_the_end() {
    let not_yet = Does::json("404 Not Found", "{}");
    let provider = Provider::start([taken(), not_yet, Does::json("200 OK", r#"{"state":"done"}"#)]).await;
    let (_link, sink) = awaiting(&provider, 60_000).await;
    tokio::time::sleep(Duration::from_secs(66)).await;
    assert_eq!((provider.got().len(), sink.told().receipts.len()), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn without_an_answer_it_is_asked_ever_less_often() {
    let provider = Provider::start([taken(), Does::json("503 Service Unavailable", "")]).await;
    let (link, sink) = awaiting(&provider, 1_000).await;
    let of_a_steady_asker = 64;
    tokio::time::sleep(Duration::from_secs(66)).await;
    assert!((4..of_a_steady_asker / 4).contains(&provider.got().len()), "{}", provider.got().len());
    assert!(sink.told().receipts.is_empty());
    link.shutdown(PATIENCE).await;
}
