//! Every outcome that a number ending in `0000NN` forces: what the caller is answered, how the delivery ends, and what
//! becomes of the charge.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::both_engines;
use crate::house::House;
use crate::house::client::Answer;
use crate::house::customer::{Customer, PRICE, Purse, forced};
use crate::house::database::Engine;

both_engines! {
    async fn a_forced_outcome_is_answered_and_ends_as_the_table_says(engine: Engine) { table(engine).await }
}

/// A settle time of ten seconds.
const SHORT: [(&str, &str); 5] = [
    ("send.ack_wait_ms", "1500"),
    ("dispatch.dispatch_within_ms", "1500"),
    ("dispatch.receipt_wait_ms", "9500"),
    ("dispatch.attempt_needs_ms", "5000"),
    ("dispatch.attempt_timeout_ms", "5000"),
];

/// What is expected of one number: the answer's status and error, then the delivery's end, the channels that were tried
/// and the error code.
type Row = (u32, u16, &'static str, &'static str, &'static [&'static str], Option<&'static str>);

const DELIVERED: &str = "delivered";
const FAILED: &str = "failed";
const VOICE: &[&str] = &["voice"];
const BOTH: &[&str] = &["voice", "sms"];

const TABLE: [Row; 22] = [
    (0, 202, "", DELIVERED, VOICE, None),
    (1, 202, "", DELIVERED, VOICE, None),
    (2, 202, "", FAILED, BOTH, Some("unreachable")),
    (3, 202, "", FAILED, VOICE, Some("invalid_number")),
    (4, 202, "", FAILED, BOTH, Some("rejected")),
    (5, 202, "", FAILED, BOTH, Some("expired")),
    (6, 202, "", DELIVERED, BOTH, None),
    (7, 502, "no_route", FAILED, BOTH, Some("no_route")),
    (8, 429, "rate_limited", FAILED, VOICE, Some("rate_limited")),
    (9, 202, "", FAILED, VOICE, Some("timeout")),
    (10, 202, "", DELIVERED, VOICE, None),
    (11, 202, "", DELIVERED, VOICE, None),
    (12, 202, "", DELIVERED, VOICE, None),
    (13, 202, "", DELIVERED, VOICE, None),
    (14, 202, "", FAILED, VOICE, Some("timeout")),
    (15, 202, "", FAILED, VOICE, Some("timeout")),
    (16, 202, "", DELIVERED, VOICE, None),
    (17, 202, "", FAILED, VOICE, Some("timeout")),
    (18, 202, "", DELIVERED, BOTH, None),
    (19, 502, "no_route", FAILED, BOTH, Some("no_route")),
    (20, 202, "", FAILED, BOTH, Some("no_route")),
    (21, 202, "", DELIVERED, VOICE, None),
];

async fn table(engine: Engine) {
    let house = House::with(engine, &SHORT).await;
    // An account for each, so that each wallet tells of one delivery.
    let purse = Purse { free: 10_000, bonus: 10_000, cash: 10_000 };
    let mut customers = Vec::new();
    for _ in TABLE {
        customers.push(house.customer(purse).await);
    }
    let outcomes = customers.iter().zip(TABLE).map(|(customer, row)| outcome(&house, customer, row));
    let wrong: Vec<String> = join_all(outcomes).await.into_iter().flatten().collect();
    assert_eq!(wrong, [""; 0]);
    house.finish().await;
}

/// What is wrong with one row.
async fn outcome(house: &House, customer: &Customer, row: Row) -> Vec<String> {
    let (number, status, error, end, channels, code) = row;
    let answer = customer.send(&forced(1, number)).await;
    let mut wrong = Vec::new();
    let mut same = |what: &str, is: Value, expected: Value| {
        if is != expected {
            wrong.push(format!("NN {number:02}: {what} is {is}, not {expected}"));
        }
    };
    same("the answer", json!(answer.status), json!(status));
    let body = answer.json();
    same("the error", body.get("error").cloned().unwrap_or(json!("")), json!(error));
    if number == 8 {
        carrier_limit(&answer);
    }
    let delivery = customer.ended(&answer.string("id")).await;
    same("the end", delivery["status"].clone(), json!(end));
    same("what was tried", json!(house.witnessed().channels(&answer.string("id"))), json!(channels));
    same("the error code", delivery["error_code"].clone(), json!(code));
    same("refunded", delivery["refunded"].clone(), json!(end == FAILED));
    same("the cost", delivery["cost"].clone(), json!(0.022));
    let left = if end == FAILED { 30_000 } else { 30_000 - PRICE };
    same("the wallet", json!(customer.purse().await.total()), json!(left));
    wrong
}

fn carrier_limit(answer: &Answer) {
    assert_eq!((answer.header("retry-after"), answer.field("retry_after_seconds")), (Some("17"), json!(17)));
}
