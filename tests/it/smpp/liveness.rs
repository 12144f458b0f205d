//! Peers that die, cut, or leave: what is under way is accounted for, and the session comes back.

use std::time::Duration;

use nexo_route::carrier::upstream::{Health, Outcome, ReceiptState, Upstream};
use tokio::time::Instant;

use super::bed::{Bed, attempt};
use super::peer::{Smsc, is_prepared};
use crate::house::until;

/// Trap 6.
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_after_the_submit_is_ambiguous_and_is_never_sent_again() {
    if !is_prepared() {
        return;
    }
    let mut bed = Bed::made("").await;
    for last in ["20", "21"] {
        let cut = bed.dispatch(&attempt(last, 5_000)).await;
        assert!(matches!(cut, Outcome::Ambiguous { .. }), "{last}: {cut:?}");
        bed.is(Health::Up).await;
    }
    // The receipt of the second comes on the new session: nobody heard its name, it is reported and will be parked.
    assert_eq!(bed.smsc.sees("deliver_sm_resp").await["status"], 0);
    assert_eq!(bed.sink.receipts().len(), 1);
    // One that was accepted before the cut finds its receipt on the new session.
    let named = attempt("22", 5_000);
    assert_eq!(bed.dispatch(&named).await, Outcome::Accepted);
    assert_eq!(bed.receives(&named, 1).await, [ReceiptState::Delivered]);
    let submits = bed.smsc.has_seen("submit", 3).await;
    assert_eq!(submits.len(), 3, "nothing was sent twice: {submits:?}");
    bed.stop().await;
}

/// Trap 9.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_peer_is_found_and_left_and_what_was_under_way_is_resolved() {
    if !is_prepared() {
        return;
    }
    let more = "enquire_idle_ms = 500\nenquire_timeout_ms = 500\nresponse_timeout_ms = 60000";
    let mut bed = Bed::made(more).await;
    bed.smsc.sees("enquire_link").await;
    bed.smsc.tell("mute").await;
    let began = Instant::now();
    let lost = bed.dispatch(&attempt("90", 30_000)).await;
    assert!(matches!(lost, Outcome::Ambiguous { .. }), "{lost:?}");
    assert!(began.elapsed() < Duration::from_secs(10), "not by the answer's time-out");
    bed.smsc.sees("closed").await;
    bed.smsc.tell("speak").await;
    bed.smsc.sees("bind").await;
    bed.is(Health::Up).await;
    assert_eq!(bed.dispatch(&attempt("90", 5_000)).await, Outcome::Accepted);
    bed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_smsc_that_is_away_is_found_again_when_it_is_back() {
    if !is_prepared() {
        return;
    }
    let bed = Bed::made("").await;
    let port = bed.smsc.port;
    let Bed { smsc, link, sink } = bed;
    drop(smsc);
    let known = link.health();
    until("down", async || (*known.borrow() == Health::Down).then_some(())).await;
    let bed = Bed { smsc: Smsc::start(port, None).await, link, sink };
    bed.is(Health::Up).await;
    assert_eq!(bed.dispatch(&attempt("90", 5_000)).await, Outcome::Accepted);
    bed.stop().await;
}

/// Trap 10.
#[tokio::test(flavor = "multi_thread")]
async fn an_unbind_is_answered_the_window_drained_and_the_session_begun_anew() {
    if !is_prepared() {
        return;
    }
    let mut bed = Bed::made("").await;
    bed.smsc.tell("delay 400").await;
    let under_way = bed.link.dispatch(attempt("40", 5_000));
    bed.smsc.sees("submit").await;
    bed.smsc.tell("raw 00000010000000060000000000000bad").await;
    assert_eq!(under_way.await, Outcome::Accepted, "answered while the session drains");
    bed.smsc.sees("unbind_resp").await;
    bed.smsc.sees("bind").await;
    bed.is(Health::Up).await;
    bed.smsc.tell("delay 0").await;
    assert_eq!(bed.dispatch(&attempt("90", 5_000)).await, Outcome::Accepted);
    bed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_end_drains_the_window_and_unbinds() {
    if !is_prepared() {
        return;
    }
    let mut bed = Bed::made("").await;
    bed.smsc.tell("delay 300").await;
    let under_way = bed.link.dispatch(attempt("90", 5_000));
    bed.smsc.sees("submit").await;
    let began = Instant::now();
    bed.link.shutdown(Duration::from_secs(10)).await;
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(under_way.await, Outcome::Accepted);
    bed.smsc.sees("unbind").await;
    let refused = bed.dispatch(&attempt("90", 5_000)).await;
    assert!(matches!(refused, Outcome::NotSent { .. }), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_comes_before_the_new_bind_is_answered_counts() {
    if !is_prepared() {
        return;
    }
    for more in ["", "bind = \"transmitter_receiver\""] {
        let mut bed = Bed::made(more).await;
        bed.smsc.tell("early").await;
        let sent = attempt("22", 5_000);
        assert_eq!(bed.dispatch(&sent).await, Outcome::Accepted);
        bed.smsc.sees("closed").await;
        if !more.is_empty() {
            // The receiver is another connection: it is cut too.
            bed.smsc.tell("drop").await;
        }
        assert_eq!(bed.receives(&sent, 1).await, [ReceiptState::Delivered]);
        assert_eq!(bed.smsc.sees("deliver_sm_resp").await["status"], 0);
        bed.stop().await;
    }
}
