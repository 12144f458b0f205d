//! The link against our own SMSC simulator, as a process of its own: what Kannel loses with its defaults (`kannel`) must arrive.

use std::time::Duration;

use nexo_route::carrier::smpp::SmppLink;
use nexo_route::carrier::upstream::{Attempt, FailureClass, Health, Outcome, ReceiptState, Upstream as _};
use nexo_route::domain::phone::Phone;
use serde_json::json;

use super::bed::{Sink, attempt, config, link};
use crate::house::centre::Centre;
use crate::house::until;

/// An attempt to a forced number (`0000NN`) of a series.
fn forced(series: u32, number: u32) -> Attempt {
    let phone = Phone::from_national_number(981_000_000 + series * 1_000_000 + number).expect("a mobile");
    Attempt { phone, ..attempt("00", 5_000) }
}

async fn bound(centre: &Centre, more: &str) -> (SmppLink, Sink) {
    let sink = Sink::default();
    let link = link(&config(centre.address.port(), more), &sink);
    let health = link.health();
    until("the link is up", async || (*health.borrow() == Health::Up).then_some(())).await;
    (link, sink)
}

async fn receives(sink: &Sink, sent: &Attempt, count: usize) -> Vec<ReceiptState> {
    until("the receipts", async || Some(sink.states_of(sent)).filter(|states| states.len() >= count)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_comes_early_or_in_another_base_arrives() {
    for mode in ["transceiver", "transmitter_receiver"] {
        let centre = Centre::start(&["--receipt-ids", "decimal"], &[]);
        let (link, sink) = bound(&centre, &format!("bind = \"{mode}\"\n")).await;
        // The two that Kannel loses.
        for number in [12, 0] {
            let sent = forced(0, number);
            assert_eq!(link.dispatch(sent.clone()).await, Outcome::Accepted);
            assert_eq!(receives(&sink, &sent, 1).await, [ReceiptState::Delivered], "{mode} {number}");
        }
        until("both are acknowledged", async || (centre.saw("receipt").len() == 2).then_some(())).await;
        link.shutdown(Duration::from_secs(5)).await;
        assert_eq!(centre.stop(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forced_numbers_end_over_the_wire_as_the_table_says() {
    let centre = Centre::start(&[], &[]);
    let (link, sink) = bound(&centre, "window = 50\n").await;
    use ReceiptState::{Delivered, Failed, InProgress};
    for (number, states) in [
        (0, vec![Delivered]),
        (2, vec![Failed(FailureClass::Unreachable)]),
        (3, vec![Failed(FailureClass::InvalidNumber)]),
        (4, vec![Failed(FailureClass::Rejected)]),
        (5, vec![Failed(FailureClass::Expired)]),
        (10, vec![Delivered, Delivered]),
        (11, vec![Delivered, Failed(FailureClass::Unreachable)]),
        (21, vec![InProgress, Delivered]),
    ] {
        let sent = forced(0, number);
        assert_eq!(link.dispatch(sent.clone()).await, Outcome::Accepted, "{number}");
        assert_eq!(receives(&sink, &sent, states.len()).await, states, "{number}");
    }
    for (number, class) in [(7, FailureClass::Unreachable), (8, FailureClass::Rejected), (19, FailureClass::Rejected)] {
        let outcome = link.dispatch(forced(0, number)).await;
        assert!(matches!(outcome, Outcome::Refused { class: seen, .. } if seen == class), "{number}: {outcome:?}");
    }
    // The connection is cut after the message was taken; the link comes back by itself.
    assert!(matches!(link.dispatch(forced(0, 27)).await, Outcome::Ambiguous { .. }));
    until("it is bound again", async || (centre.saw("bound").len() == 2).then_some(())).await;
    link.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_cut_comes_back_with_what_was_owed_and_nothing_is_sent_twice() {
    let centre = Centre::start(&[], &[("receipt_ms", "1500")]);
    let (link, sink) = bound(&centre, "").await;
    let sent: Vec<Attempt> = (1..=5).map(|series| forced(series, 0)).collect();
    for attempt in &sent {
        assert_eq!(link.dispatch(attempt.clone()).await, Outcome::Accepted);
    }
    centre.cut();
    let health = link.health();
    until("the link is down", async || (*health.borrow() != Health::Up).then_some(())).await;
    centre.mend();
    for attempt in &sent {
        assert_eq!(receives(&sink, attempt, 1).await, [ReceiptState::Delivered]);
    }
    let submits = centre.saw("submit");
    assert_eq!(submits.len(), sent.len(), "{submits:?}");
    assert!(submits.iter().all(|submit| submit["answer"] == json!("accepted")));
    link.shutdown(Duration::from_secs(5)).await;
}
