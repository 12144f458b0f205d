//! The stream of bytes: in pieces, in lumps, and full of poison.

use nexo_route::carrier::upstream::{Health, Outcome, ReceiptState};

use super::bed::{Bed, attempt};
use super::peer::is_prepared;

/// Trap 7.
#[tokio::test(flavor = "multi_thread")]
async fn every_poison_is_answered_and_none_ends_the_session() {
    if !is_prepared() {
        return;
    }
    let mut bed = Bed::made("").await;
    bed.smsc.tell("poison").await;
    // Eleven deliveries and an unknown request ask for an answer; two answers to nothing do not.
    let answered = bed.smsc.has_seen("deliver_sm_resp", 11).await;
    let mut numbers: Vec<i64> = answered.iter().map(|answer| answer["sequence"].as_i64().expect("a number")).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (7_000..7_011).collect::<Vec<i64>>());
    assert!(answered.iter().all(|answer| answer["status"] == 0), "{answered:?}");
    let nacked = bed.smsc.has_seen("generic_nack", 1).await;
    assert_eq!((&nacked[0]["sequence"], &nacked[0]["status"]), (&7_011.into(), &3.into()));
    let sent = attempt("90", 5_000);
    assert_eq!(bed.dispatch(&sent).await, Outcome::Accepted, "the same session");
    assert_eq!(bed.receives(&sent, 1).await, [ReceiptState::Delivered]);
    assert!(bed.smsc.ever("closed").is_empty());
    bed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_length_that_cannot_be_ends_a_session_and_a_new_one_begins() {
    if !is_prepared() {
        return;
    }
    let mut bed = Bed::made("").await;
    for length in ["0000000f", "00010001"] {
        bed.smsc.tell(&format!("raw {length}000000050000000000000001")).await;
        bed.smsc.sees("closed").await;
        bed.smsc.sees("bind").await;
    }
    bed.is(Health::Up).await;
    assert_eq!(bed.dispatch(&attempt("90", 5_000)).await, Outcome::Accepted);
    bed.stop().await;
}

/// Trap 16.
#[tokio::test(flavor = "multi_thread")]
async fn sequence_numbers_wrap_at_the_last() {
    if !is_prepared() {
        return;
    }
    let mut bed = Bed::made("").await;
    let smsc_port = bed.smsc.port;
    drop(bed.link);
    bed.smsc.sees("closed").await;
    let mut config = super::bed::config(smsc_port, "");
    config.first_sequence = 0x7FFF_FFFE;
    bed.link = super::bed::link(&config, &bed.sink);
    bed.is(Health::Up).await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        assert_eq!(bed.dispatch(&attempt("40", 5_000)).await, Outcome::Accepted);
        seen.push(bed.smsc.sees("submit").await["sequence"].as_u64().expect("a number"));
    }
    assert_eq!(seen, [0x7FFF_FFFF, 1, 2], "the bind had the one before");
    bed.stop().await;
}

/// Trap 17.
#[tokio::test(flavor = "multi_thread")]
async fn pieces_of_one_byte_and_several_pdus_at_once_are_read_alike() {
    if !is_prepared() {
        return;
    }
    let mut bed = Bed::made("").await;
    assert_eq!(bed.dispatch(&attempt("71", 5_000)).await, Outcome::Accepted);
    let sent = attempt("72", 5_000);
    assert_eq!(bed.dispatch(&sent).await, Outcome::Accepted);
    let expected = [ReceiptState::InProgress, ReceiptState::InProgress, ReceiptState::Delivered];
    assert_eq!(bed.receives(&sent, 3).await, expected);
    let mut answered = Vec::new();
    for _ in expected {
        answered.push(bed.smsc.sees("deliver_sm_resp").await["sequence"].as_u64().expect("a number"));
    }
    assert_eq!(answered, [9_000, 9_001, 9_002]);
    bed.stop().await;
}
