//! What the SMSC answers to a message, when, and what becomes of the attempt.

use std::time::Duration;

use nexo_route::carrier::upstream::{FailureClass, Health, Outcome, ReceiptState};
use tokio::time::{Instant, sleep};

use super::bed::{Bed, CODE, Told, attempt, digits};
use super::peer::is_prepared;
use crate::house::until;

fn status(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::NotSent { status } | Outcome::Refused { status, .. } | Outcome::Ambiguous { status } => {
            status.as_str()
        }
        Outcome::Accepted | Outcome::PerPhone { .. } => "",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_sent_as_configured_and_its_name_is_durable_before_it_is_accepted() {
    if !is_prepared() {
        return;
    }
    let mut bed = Bed::made("text = \"Ma cua ban: {code}\"\nsenders = { viettel = \"NEXOVT\" }").await;
    let sent = attempt("90", 5_000);
    assert_eq!(bed.dispatch(&sent).await, Outcome::Accepted);
    assert_eq!(bed.sink.namings()[0].delivery, sent.delivery, "named by then");
    let seen = bed.smsc.sees("submit").await;
    assert_eq!((&seen["to"], &seen["from"]), (&digits(&sent).into(), &"NEXOVT".into()));
    assert_eq!(
        (&seen["source_ton"], &seen["registered_delivery"], &seen["data_coding"]),
        (&5.into(), &1.into(), &0.into())
    );
    assert_eq!(seen["message"], format!("Ma cua ban: {CODE}"));
    assert_eq!(bed.receives(&sent, 1).await, [ReceiptState::Delivered]);
    assert_eq!(bed.smsc.sees("deliver_sm_resp").await["status"], 0);
    bed.stop().await;
}

/// Trap 2.
#[tokio::test(flavor = "multi_thread")]
async fn ids_match_across_bases_leading_zeros_and_case() {
    if !is_prepared() {
        return;
    }
    let bed = Bed::made("").await;
    for last in ["02", "03", "43"] {
        let sent = attempt(last, 5_000);
        assert_eq!(bed.dispatch(&sent).await, Outcome::Accepted, "{last}");
        assert_eq!(bed.receives(&sent, 1).await, [ReceiptState::Delivered], "{last}");
    }
    bed.stop().await;
}

/// Trap 5.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_still_names_the_attempt_or_ends_it() {
    if !is_prepared() {
        return;
    }
    let bed = Bed::made("response_timeout_ms = 500").await;
    let (taken, refused) = (attempt("10", 5_000), attempt("11", 5_000));
    let outcomes = tokio::join!(bed.dispatch(&taken), bed.dispatch(&refused));
    for outcome in [outcomes.0, outcomes.1] {
        assert!(matches!(&outcome, Outcome::Ambiguous { .. }) && status(&outcome) == "no answer", "{outcome:?}");
    }
    assert!(bed.sink.told().is_empty());
    assert_eq!(bed.receives(&taken, 1).await, [ReceiptState::Delivered], "named by the late answer");
    assert_eq!(bed.receives(&refused, 1).await, [ReceiptState::Failed(FailureClass::InvalidNumber)]);
    bed.stop().await;
}

/// Trap 12.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_an_id_is_an_acceptance_that_no_receipt_can_follow() {
    if !is_prepared() {
        return;
    }
    let bed = Bed::made("").await;
    for last in ["40", "41"] {
        assert_eq!(bed.dispatch(&attempt(last, 5_000)).await, Outcome::Accepted, "{last}");
    }
    assert!(bed.sink.told().is_empty());
    let without_nul = attempt("42", 5_000);
    assert_eq!(bed.dispatch(&without_nul).await, Outcome::Accepted);
    assert_eq!(bed.receives(&without_nul, 1).await, [ReceiptState::Delivered]);
    bed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_what_is_wrong() {
    if !is_prepared() {
        return;
    }
    let bed = Bed::made("").await;
    let refused = bed.dispatch(&attempt("60", 5_000)).await;
    assert!(matches!(refused, Outcome::Refused { class: FailureClass::InvalidNumber, .. }), "{refused:?}");
    assert_eq!(status(&refused), "RINVDSTADR 0x0B");
    let nacked = bed.dispatch(&attempt("70", 5_000)).await;
    assert!(matches!(nacked, Outcome::Refused { class: FailureClass::Misconfigured, .. }), "{nacked:?}");
    bed.stop().await;
}

/// Trap 15.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_of_use_until_its_settle_time_and_expires_as_a_failure() {
    if !is_prepared() {
        return;
    }
    for (more, is_told) in [("", true), ("validity = \"absolute\"", true), ("validity = \"none\"", false)] {
        let mut bed = Bed::made(more).await;
        let sent = attempt("50", 5_000);
        assert_eq!(bed.dispatch(&sent).await, Outcome::Accepted);
        let seconds = bed.smsc.sees("submit").await["validity_seconds"].as_f64();
        // 65 s from its making, less what it took to come here.
        assert!(
            seconds.is_some() == is_told && seconds.is_none_or(|left| (50.0..=66.0).contains(&left)),
            "{seconds:?}"
        );
        assert_eq!(bed.receives(&sent, 1).await, [ReceiptState::Failed(FailureClass::Expired)]);
        bed.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_cannot_be_kept_is_tried_again_and_given_up_as_ambiguous() {
    if !is_prepared() {
        return;
    }
    let bed = Bed::made("").await;
    bed.sink.set_away(true);
    let patient = attempt("40", 5_000);
    assert_eq!(bed.dispatch(&patient).await, Outcome::Accepted, "there is nothing to name");
    let (kept, mut given_up) = (attempt("90", 5_000), attempt("90", 5_000));
    given_up.settle_by = Instant::now() + Duration::from_millis(700);
    let back = async {
        sleep(Duration::from_millis(1_500)).await;
        assert!(bed.sink.told().is_empty());
        bed.sink.set_away(false);
    };
    let (kept_as, given_up_as, ()) = tokio::join!(bed.dispatch(&kept), bed.dispatch(&given_up), back);
    assert_eq!(kept_as, Outcome::Accepted);
    assert_eq!(status(&given_up_as), "its name could not be kept", "{given_up_as:?}");
    let is_named = |told: &Told| matches!(told, Told::Name(naming) if naming.delivery == kept.delivery);
    assert!(bed.sink.told().iter().any(is_named));
    bed.stop().await;
}

/// What cannot reach the wire in time is not sent, and never sent late.
#[tokio::test(flavor = "multi_thread")]
async fn what_finds_no_place_in_time_is_not_sent_and_never_leaves() {
    if !is_prepared() {
        return;
    }
    let mut bed = Bed::made("window = 1\nresponse_timeout_ms = 2000").await;
    let (blocks, waits) = (attempt("99", 5_000), attempt("90", 300));
    let (blocked, waited) = tokio::join!(bed.dispatch(&blocks), bed.dispatch(&waits));
    assert_eq!((status(&blocked), status(&waited)), ("no answer", "too late"), "{blocked:?} {waited:?}");
    assert_eq!(bed.dispatch(&attempt("90", 5_000)).await, Outcome::Accepted, "the place is free again");
    let seen = bed.smsc.has_seen("submit", 2).await;
    assert!(seen.iter().all(|submit| submit["to"] != digits(&waits)), "{seen:?}");
    assert_eq!(seen.len(), 2);
    bed.smsc.tell("drop").await;
    bed.is(Health::Down).await;
    let down = until("nothing is taken", async || {
        let outcome = bed.dispatch(&attempt("90", 5_000)).await;
        (status(&outcome) == "link down").then_some(outcome)
    });
    assert!(matches!(down.await, Outcome::NotSent { .. }));
    bed.stop().await;
}
