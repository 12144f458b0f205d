//! Receipts that are fetched: lists of them, and what is kept of an attempt until its receipt is there.

use std::time::Duration;

use super::provider::{Does, Provider};
use super::{PATIENCE, attempt, link, settings};
use crate::carrier::upstream::{FailureClass, Outcome, ReceiptState, Subject, Upstream as _};
use crate::domain::reference::Reference;

/// The settings of a provider that is asked, with `more` about how its answer is read.
fn polled(more: &str) -> String {
    format!(
        r#"answers = [{{ status = "2xx", at = "/id", means = "accepted", reference = "/id" }}]
        poll = {{ path = "/calls/{{reference}}", every_ms = 100, delivered = ["done"], failed = {{ busy = "unreachable" }}, {more} }}"#
    )
}

#[tokio::test]
async fn an_answer_may_tell_of_several_attempts() {
    let provider = Provider::start([
        Does::json("200 OK", r#"{"id":"A"}"#),
        Does::json("200 OK", r#"{"results":[]}"#),
        Does::json("200 OK", r#"{"results":[{"id":"B","s":"busy"},7,{"id":"A","s":"ringing"},{"id":"A","s":"done"}]}"#),
    ])
    .await;
    let each = polled(r#"each = "/results", reference = "/id", status = "/s""#);
    let (link, sink) = link(&settings(&provider.address.to_string(), &each));
    assert_eq!(link.dispatch(attempt()).await, Outcome::Accepted);
    sink.heard(|told| told.receipts.len() >= 2).await;
    let receipts = sink.told().receipts.clone();
    let other = Subject::Reference { references: vec![Reference::new("B").expect("sane")], phone: None };
    assert_eq!((&receipts[0].subject, receipts[0].state), (&other, ReceiptState::Failed(FailureClass::Unreachable)));
    let own = Subject::of_attempt_id(&attempt().id()).expect("reads back");
    assert_eq!((&receipts[1].subject, receipts[1].state), (&own, ReceiptState::Delivered), "the end of its history");
    link.shutdown(PATIENCE).await;
    assert_eq!((provider.got().len(), sink.told().receipts.len()), (3, 2), "what has ended is asked for no more");
}

#[tokio::test]
async fn without_names_and_behind_a_byte_order_mark_all_of_an_answer_is_of_what_was_asked_for() {
    let provider = Provider::start([
        Does::json("200 OK", r#"{"id":"A"}"#),
        Does::json("200 OK", "\u{feff}[{\"s\":\"queued\"},{\"s\":\"done\"}]"),
    ])
    .await;
    let (link, sink) = link(&settings(&provider.address.to_string(), &polled(r#"each = "", status = "/s""#)));
    assert_eq!(link.dispatch(attempt()).await, Outcome::Accepted);
    assert_eq!(sink.received().await[0].state, ReceiptState::Delivered);
    link.shutdown(Duration::from_secs(1)).await;
}
