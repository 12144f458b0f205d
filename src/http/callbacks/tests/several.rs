//! Several receipts in one callback.

use super::*;

const EACH: &str = "each = \"/results\"\nreference = \"/id\"\nstatus = \"/status\"";

fn bench(reads: &str) -> Bench {
    Bench::reading(&[], &format!("{SIGNED}\n{reads}"))
}

async fn post(bench: &Bench, body: &str) -> u16 {
    bench.post(&format!("X-Sign: sha256={}\r\n", sign(SECRET, body)), body).await
}

/// The names that the sink was told, in their order.
fn told(bench: &Bench) -> Vec<String> {
    let name = |receipt: Receipt| match receipt.subject {
        Subject::Reference { references, .. } => references[0].as_str().to_owned(),
        Subject::Attempt { .. } => panic!("by reference"),
    };
    bench.receipts().into_iter().map(name).collect()
}

fn list(elements: &str) -> String {
    format!(r#"{{"results":[{elements}]}}"#)
}

#[tokio::test]
async fn every_receipt_of_a_callback_is_durable_before_the_200() {
    let bench = bench(EACH);
    let body = list(r#"{"id":"a","status":"ok"},{"id":"b","status":"ok"},{"id":"c","status":"late"}"#);
    *bench.sink.refuses.lock().expect("whole") = Some("late");
    assert_eq!(post(&bench, &body).await, 503, "one of three is not durable");
    *bench.sink.refuses.lock().expect("whole") = None;
    assert_eq!(post(&bench, &body).await, 200);
    assert_eq!(told(&bench), ["a", "b", "a", "b", "c"], "what comes twice is told twice: the sink knows");
}

#[tokio::test]
async fn one_that_cannot_be_read_blocks_no_other() {
    let bench = bench(EACH);
    assert_eq!(post(&bench, &list(r#"{},{"id":"b","status":"ok"},7"#)).await, 200);
    assert_eq!(told(&bench), ["b"]);
    assert_eq!(post(&bench, &list("{},7")).await, 400, "none was readable");
    assert_eq!(post(&bench, &list("")).await, 200, "an empty list says nothing, and was read");
    assert_eq!(post(&bench, "{}").await, 400);
    assert_eq!(told(&bench), ["b"]);
}

#[tokio::test]
async fn of_more_than_a_thousand_nothing_is_taken() {
    let bench = bench(EACH);
    let many = |count: usize| list(&vec![r#"{"id":"a","status":""}"#; count].join(","));
    assert_eq!(post(&bench, &many(1_001)).await, 413);
    assert_eq!(post(&bench, &many(1_000)).await, 400, "so many are read, and none of these has a status");
    assert!(bench.receipts().is_empty());
}

#[tokio::test]
async fn without_the_setting_what_is_seen_is_kept_and_the_rest_is_not_said_to_be() {
    let bench = bench("reference = \"/results/0/id\"\nstatus = \"/results/0/status\"");
    assert_eq!(post(&bench, &list(r#"{"id":"a","status":"ok"}"#)).await, 200);
    assert_eq!(post(&bench, &list(r#"{"id":"b","status":"ok"},{"id":"c","status":"ok"}"#)).await, 400);
    assert_eq!(told(&bench), ["a", "b"]);
    *bench.sink.is_away.lock().expect("whole") = true;
    assert_eq!(post(&bench, &list(r#"{"id":"d","status":"ok"},{}"#)).await, 503, "not even that is durable");
}

#[tokio::test]
async fn a_form_that_names_two_receipts_settles_neither() {
    let bench = bench("form = \"form\"\nreference = \"/id\"\nstatus = \"/status\"");
    assert_eq!(post(&bench, "id=a&status=ok&id=b&status=ok").await, 400);
    assert!(bench.receipts().is_empty());
    assert_eq!(post(&bench, "id=a&status=ok").await, 200);
    assert_eq!(told(&bench), ["a"]);
}
