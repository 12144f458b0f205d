//! Receipts that come to another node, or from somebody who had no part in the delivery.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_failed_receipt_of_the_first_channel_ends_nothing_elsewhere_once_the_second_is_under_way() {
    let failed = ReceiptState::Failed(FailureClass::Unreachable);
    let mut ours = House::new().await;
    let other = House::on(ours.script.clone()).await;
    // By receipt: what is acknowledged is durable, so that its repetition finds it wherever it comes.
    let delivery = ours.watch(1, Channel::Voice, Some('a'));
    ours.script.with(|rows| rows.faults.push_back(Fault::Away));
    assert_eq!(ours.put(1, Channel::Voice, failed).await, Ok(()));
    assert_eq!(ours.fallbacks.recv().await.as_deref(), Some(&'a'));
    assert_eq!(other.put(1, Channel::Voice, failed).await, Ok(()), "it is stale there too");
    assert_eq!(ours.script.ended(delivery), None);
    ours.watch(1, Channel::Sms, None);
    assert_eq!(other.put(1, Channel::Sms, failed).await, Ok(()));
    assert_eq!(code(ours.script.ended(delivery)), Some(FailureCode::Unreachable), "its last channel failed");
    // By a refusal, which only dispatch saw.
    let delivery = ours.watch_moved(2, Channel::Sms, None, true);
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(other.put(2, Channel::Voice, failed).await, Ok(()));
    assert_eq!(ours.script.ended(delivery), None);
    // A code that arrived has arrived, on whatever channel.
    assert_eq!(other.put(2, Channel::Voice, ReceiptState::Delivered).await, Ok(()));
    assert!(matches!(ours.script.ended(delivery), Some(End::Delivered { .. })));
    for house in [ours, other] {
        house.tree.stop(Duration::from_secs(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_was_given_no_attempt_reports_nothing() {
    let house = House::new().await;
    let delivery = house.watch(1, Channel::Voice, Some('a'));
    let by = |upstream: &str, state| {
        let subject = Subject::Attempt { delivery, channel: Channel::Voice };
        let (upstream, status) = (UpstreamId(upstream.into()), CarrierStatus::clean("word"));
        house.tracking.sink().put(Receipt { upstream, subject, state, status, network: None })
    };
    for state in [ReceiptState::Failed(FailureClass::InvalidNumber), ReceiptState::Delivered] {
        assert_eq!(by("stranger", state).await, Ok(()));
        assert_eq!(house.script.ended(delivery), None);
    }
    assert_eq!(by("probe", ReceiptState::Delivered).await, Ok(()));
    assert!(house.script.ended(delivery).is_some());
}
