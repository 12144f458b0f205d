//! What each outcome of an attempt does to its delivery.

use super::*;
use crate::domain::delivery::{End, FailureCode, HOLD_MAX};

fn no_route(status: Option<&str>) -> End {
    End::Failed { code: FailureCode::NoRoute, carrier_status: status.map(CarrierStatus::clean) }
}

#[tokio::test(start_paused = true)]
async fn accepted_and_ambiguous_are_out_and_tried_once() {
    let mut house = House::new(None, 10).await;
    for outcome in [Outcome::Accepted, ambiguous()] {
        house.link.answer(outcome, Outcome::Accepted);
        assert_eq!(house.send_one().await, DispatchAnswer::Out);
    }
    assert_eq!(house.link.channels(), [Channel::Voice; 2]);
    assert!(house.settled().is_empty());
    house.finish().await;
}

#[tokio::test(start_paused = true)]
async fn refused_and_not_sent_fall_back_once_then_end() {
    for first in [refused(), not_sent()] {
        let mut house = House::new(None, 10).await;
        house.link.answer(first.clone(), Outcome::Accepted);
        assert_eq!(house.send_one().await, DispatchAnswer::Out);
        assert_eq!(house.link.channels(), [Channel::Voice, Channel::Sms]);
        assert!(house.settled().is_empty());

        house.link.answer(first, refused());
        assert_eq!(house.send_one().await, DispatchAnswer::Refused);
        assert_eq!(house.link.channels()[2..], [Channel::Voice, Channel::Sms]);
        let settled = house.settled();
        assert_eq!((settled.len(), &settled[0].end), (1, &no_route(Some("busy"))));
        assert_eq!(settled[0].window, WindowAfter::Release, "nobody was called");
        assert_eq!(house.windows(), [WindowAfter::Release]);
        assert_eq!(house.probe.refused.lock().expect("not poisoned").len(), 3, "no attempt counts that was refused");
        house.finish().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_chosen_channel_has_no_fallback() {
    let mut house = House::new(None, 10).await;
    house.link.answer(Outcome::Accepted, refused());
    let slot = house.reserve(1).expect("a place");
    let (mut job, answered) = house.job(1, slot);
    job.channels = Channels::only(Channel::Sms);
    house.dispatch.enqueue(job);
    assert_eq!(answered.await, Ok(DispatchAnswer::Refused));
    assert_eq!(house.link.channels(), [Channel::Sms]);
    house.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_per_phone_refusal_never_falls_back_and_sets_the_window() {
    let mut house = House::new(None, 10).await;
    let remaining = Duration::from_secs(17);
    house.link.answer(Outcome::PerPhone { retry_after: remaining }, Outcome::Accepted);
    assert_eq!(house.send_one().await, DispatchAnswer::PerPhone { remaining });
    assert_eq!(house.link.channels(), [Channel::Voice]);
    let settled = house.settled();
    assert_eq!(settled[0].end, End::Failed { code: FailureCode::RateLimited, carrier_status: None });
    assert_eq!(settled[0].window, WindowAfter::Hold(remaining));
    assert_eq!(house.windows(), [WindowAfter::Hold(remaining)]);
    house.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_whose_refund_is_not_durable_is_undecided() {
    let mut house = House::new(None, 10).await;
    house.link.answer(refused(), refused());
    for verdict in [Err(SettleFailed), Ok(Settled::Unchanged)] {
        *house.probe.verdict.lock().expect("not poisoned") = Some(verdict);
        assert_eq!(house.send_one().await, DispatchAnswer::Undecided);
    }
    assert!(house.windows().is_empty(), "nothing was released that is not known to be free");
    house.finish().await;
}

#[tokio::test(start_paused = true)]
async fn an_attempt_without_an_outcome_is_ambiguous_in_the_end() {
    let mut house = House::new(None, 10).await;
    house.link.script(|_| std::future::pending().boxed());
    let start = Instant::now();
    assert_eq!(house.send_one().await, DispatchAnswer::Out);
    assert!(start.elapsed() >= Duration::from_secs(10));
    assert_eq!(house.link.channels(), [Channel::Voice]);
    house.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_link_that_panics_at_once_or_later_is_ambiguous() {
    let mut house = House::new(None, 10).await;
    house.link.script(|_| async { panic!("on purpose") }.boxed());
    assert_eq!(house.send_one().await, DispatchAnswer::Out);
    house.link.script(|_| {
        async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            panic!("on purpose")
        }
        .boxed()
    });
    assert_eq!(house.send_one().await, DispatchAnswer::Out);
    assert_eq!(house.link.channels(), [Channel::Voice; 2]);
    house.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_receipt_brings_the_second_channel_once() {
    let mut house = House::new(None, 10).await;
    assert_eq!(house.send_one().await, DispatchAnswer::Out);
    let fallback = house.probe.fallbacks.lock().expect("not poisoned").pop_front().expect("a channel is left");
    house.hand_back.send(fallback).await.expect("the relay lives");
    settle_down().await;
    assert_eq!(house.link.channels(), [Channel::Voice, Channel::Sms]);
    assert!(house.probe.fallbacks.lock().expect("not poisoned").is_empty(), "none after the last");

    // The second channel refuses: the phone was called before, so its window stays. The relay has died in between.
    assert!(house.dispatch.relay.cast(relay::Message::Panic).is_ok(), "the relay lives");
    tokio::time::sleep(Duration::from_millis(100)).await;
    house.link.answer(Outcome::Accepted, refused());
    assert_eq!(house.send_one().await, DispatchAnswer::Out);
    let fallback = house.probe.fallbacks.lock().expect("not poisoned").pop_front().expect("a channel is left");
    house.hand_back.send(fallback).await.expect("the relay lives");
    settle_down().await;
    assert_eq!(house.settled()[0].window, WindowAfter::Keep);
    assert_eq!(house.windows(), [WindowAfter::Keep]);

    // A carrier's remainder never shortens the window of a phone that was called, and is believed for a day at most.
    let per_phone = Outcome::PerPhone { retry_after: Duration::MAX };
    house.link.answer(Outcome::Accepted, per_phone);
    assert_eq!(house.send_one().await, DispatchAnswer::Out);
    let fallback = house.probe.fallbacks.lock().expect("not poisoned").pop_front().expect("a channel is left");
    house.hand_back.send(fallback).await.expect("the relay lives");
    settle_down().await;
    assert_eq!(house.settled()[1].window, WindowAfter::Extend(HOLD_MAX));
    assert!(house.probe.refused.lock().expect("not poisoned").is_empty(), "it was called every time");
    house.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_and_a_failed_receipt_of_one_attempt_go_on_once() {
    // The receipt comes after the refusal.
    let mut house = House::new(None, 10).await;
    house.link.answer(refused(), Outcome::Accepted);
    assert_eq!(house.send_one().await, DispatchAnswer::Out);
    let fallback = house.probe.fallbacks.lock().expect("not poisoned").pop_front().expect("a channel was left");
    house.hand_back.send(fallback).await.expect("the relay lives");
    settle_down().await;
    assert_eq!(house.link.channels(), [Channel::Voice, Channel::Sms]);

    // The receipt comes first: the refusal leaves the decision to it.
    house.link.script(|attempt| {
        let voice = attempt.channel == Channel::Voice;
        async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if voice { refused() } else { Outcome::Accepted }
        }
        .boxed()
    });
    let (_, answered) = house.send(1);
    settle_down().await;
    let fallback = house.probe.fallbacks.lock().expect("not poisoned").pop_front().expect("a channel is left");
    house.hand_back.send(fallback).await.expect("the relay lives");
    assert_eq!(answered.await, Ok(DispatchAnswer::Undecided));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(house.link.channels()[2..], [Channel::Voice, Channel::Sms]);
    assert!(house.settled().is_empty());
    house.finish().await;
}
