//! What is too much for an SMSC, and what we were told that it is.

use std::time::Duration;

use nexo_route::carrier::upstream::{FailureClass, Outcome, ReceiptState, Upstream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::bed::{Bed, attempt, digits};
use super::peer::is_prepared;

/// Trap 4.
#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_message_keeps_its_place_and_goes_after_the_pause() {
    if !is_prepared() {
        return;
    }
    // Each status on a link of its own: the pauses of one bind add up.
    for (last, times, least_ms) in [("05", 3, 3_000), ("06", 2, 1_000), ("07", 2, 1_000), ("08", 2, 1_000)] {
        let mut bed = Bed::made("").await;
        let (sent, began) = (attempt(last, 20_000), Instant::now());
        assert_eq!(bed.dispatch(&sent).await, Outcome::Accepted, "{last}");
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(least_ms), "{last}: {took:?}");
        assert_eq!(bed.receives(&sent, 1).await, [ReceiptState::Delivered]);
        assert_eq!(bed.smsc.has_seen("submit", times).await.len(), times, "{last}");
        bed.stop().await;
    }
}

/// Trap 4: the whole bind waits, and what cannot leave in time ends as refused.
#[tokio::test(flavor = "multi_thread")]
async fn while_one_is_throttled_nobody_is_sent_and_nobody_late() {
    if !is_prepared() {
        return;
    }
    let mut bed = Bed::made("").await;
    let throttled = bed.link.dispatch(attempt("05", 600));
    bed.smsc.sees("submit").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let other = attempt("90", 400);
    let (first, second) = tokio::join!(throttled, bed.dispatch(&other));
    for outcome in [first, second] {
        assert!(matches!(outcome, Outcome::Refused { class: FailureClass::Congestion, .. }), "{outcome:?}");
    }
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let seen = bed.smsc.all("submit");
    assert!(seen.is_empty(), "nothing left after the first: {seen:?}");
    bed.stop().await;
}

/// Trap 11.
#[tokio::test(flavor = "multi_thread")]
async fn the_window_is_never_exceeded() {
    if !is_prepared() {
        return;
    }
    let mut bed = Bed::made("window = 7\nbinds = 2").await;
    bed.smsc.tell("delay 30").await;
    let mut sending = JoinSet::new();
    for _ in 0..28 {
        sending.spawn(bed.link.dispatch(attempt("40", 20_000)));
    }
    let mut accepted = 0;
    while let Some(outcome) = sending.join_next().await {
        accepted += usize::from(outcome.expect("no panic") == Outcome::Accepted);
    }
    assert_eq!((accepted, bed.link.capabilities().in_flight_max), (28, 28));
    let seen = bed.smsc.has_seen("submit", 28).await;
    let of = |session: u64| seen.iter().filter(move |submit| submit["session"] == session);
    let most = |session| of(session).map(|submit| submit["waiting"].as_u64().expect("a number")).max();
    assert!(most(1) <= Some(7) && most(2) <= Some(7), "{:?} {:?}", most(1), most(2));
    assert_eq!(most(1).max(most(2)), Some(7), "and it is used");
    bed.stop().await;
}

/// Trap 11.
#[tokio::test(flavor = "multi_thread")]
async fn no_second_sees_more_messages_than_the_rate() {
    if !is_prepared() {
        return;
    }
    let mut bed = Bed::made("window = 50\nrate_per_second = 20").await;
    let mut sending = JoinSet::new();
    for _ in 0..60 {
        sending.spawn(bed.link.dispatch(attempt("40", 20_000)));
    }
    while let Some(outcome) = sending.join_next().await {
        assert_eq!(outcome.expect("no panic"), Outcome::Accepted);
    }
    let seen = bed.smsc.has_seen("submit", 60).await;
    let seen: Vec<i64> = seen.iter().map(|submit| submit["at"].as_i64().expect("a time")).collect();
    assert_eq!(seen.len(), 60);
    // The SMSC's own clock reads late under load: two sightings in one window of 900 ms may be a window of a second apart.
    for (first, at) in seen.iter().enumerate() {
        let in_window = seen[first..].iter().filter(|other| *other - at < 900).count();
        assert!(in_window <= 22, "{in_window} in 900 ms");
    }
    let took = seen[59] - seen[0];
    assert!((2_700..=4_500).contains(&took), "60 messages at 20 a second took {took} ms");
    bed.stop().await;
}

/// The code is on the wire and nowhere else.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_can_be_printed_shows_the_code_or_a_whole_phone() {
    if !is_prepared() {
        return;
    }
    let bed = Bed::made("").await;
    let sent = attempt("60", 5_000);
    let refused = bed.dispatch(&sent).await;
    let shown = format!("{:?} {refused:?} {sent:?} {:?}", bed.link, bed.sink);
    assert!(!shown.contains(super::bed::CODE) && !shown.contains(&digits(&sent)[2..]), "{shown}");
    bed.stop().await;
}
