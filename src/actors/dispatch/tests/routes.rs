//! Which channel and which link a delivery takes, and which it takes next.

use super::*;
use crate::domain::delivery::{End, FailureCode};

const VOICE: Channel = Channel::Voice;
const SMS: Channel = Channel::Sms;

/// Voice by `a` and `b`, SMS by `c`.
async fn three_links() -> (House, [Arc<FakeLink>; 3]) {
    let fakes = ["a", "b", "c"].map(|name| Arc::new(FakeLink::new(name, None, 10)));
    let [a, b, c] = [&fakes[0], &fakes[1], &fakes[2]].map(link);
    let plans = vec![plan(VOICE, &[(&a, 1), (&b, 1)]), plan(SMS, &[(&c, 1)])];
    (House::with(fakes.to_vec(), plans).await, fakes)
}

fn invalid() -> Outcome {
    Outcome::Refused { class: FailureClass::InvalidNumber, status: CarrierStatus::clean("no such number") }
}

#[tokio::test(start_paused = true)]
async fn a_place_is_taken_on_the_first_channel_that_takes_work() {
    let (house, [a, b, c]) = three_links().await;
    let both = house.route.channels;
    let (_slot, left) = house.reserve_on(both, 1).expect("voice");
    assert_eq!(left, both);
    a.health.send_replace(Health::Down);
    settle_down().await;
    assert_eq!(house.reserve_on(both, 1).map(|(_, left)| left), Ok(both), "one link of voice is left");
    b.health.send_replace(Health::Misconfigured);
    settle_down().await;
    assert_eq!(house.reserve_on(both, 1).map(|(_, left)| left), Ok(Channels::only(SMS)), "none of voice is left");
    assert!(house.reserve_on(Channels::only(VOICE), 1).is_err(), "a chosen channel has no other");
    assert!(house.dispatch.any_link_up());
    c.health.send_replace(Health::Down);
    settle_down().await;
    assert!(house.reserve_on(both, 1).is_err() && !house.dispatch.any_link_up());
    drop(_slot);
    house.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_closed_first_channel_with_a_full_second_tells_when_the_sooner_takes_work() {
    let fakes = [FakeLink::new("a", None, 10), FakeLink::new("b", Some(2), 10)].map(Arc::new);
    let plans = vec![plan(VOICE, &[(&link(&fakes[0]), 1)]), plan(SMS, &[(&link(&fakes[1]), 1)])];
    let house = House::with(fakes.to_vec(), plans).await;
    fakes[0].health.send_replace(Health::Down);
    settle_down().await;
    let mut slots = Vec::new();
    for account in 1..=9 {
        slots.extend(house.reserve(account));
    }
    assert_eq!(slots.len(), 9, "nine tenths of ten");
    // The link that is down may be back in two seconds, the queue is empty in four and a half.
    assert_eq!(house.reserve(10).err(), Some(NoRouteNow { retry_after: Duration::from_secs(2) }));
    drop(slots);
    house.finish().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_goes_by_another_link_then_by_the_next_channel_and_never_twice_by_one() {
    let (mut house, [a, b, c]) = three_links().await;
    a.answer(not_sent(), not_sent());
    assert_eq!(house.send_one().await, DispatchAnswer::Out);
    assert_eq!((a.seen().len(), b.seen().len(), c.seen().len()), (1, 1, 0));
    b.answer(not_sent(), not_sent());
    assert_eq!(house.send_one().await, DispatchAnswer::Out);
    assert_eq!((a.seen().len(), b.seen().len(), c.seen().len()), (2, 2, 1));
    c.answer(not_sent(), not_sent());
    assert_eq!(house.send_one().await, DispatchAnswer::Refused);
    assert_eq!((a.seen().len(), b.seen().len(), c.seen().len()), (3, 3, 2));
    assert_eq!(house.settled().len(), 1);
    house.finish().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_goes_to_the_next_channel_and_ambiguous_goes_nowhere() {
    let (mut house, [a, b, c]) = three_links().await;
    a.answer(refused(), refused());
    b.answer(ambiguous(), ambiguous());
    for _ in 0..2 {
        assert_eq!(house.send_one().await, DispatchAnswer::Out);
    }
    assert_eq!((a.seen().len(), b.seen().len(), c.seen().len()), (1, 1, 1));
    house.finish().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_trouble_of_the_link_goes_by_another_link_first() {
    for class in [FailureClass::Misconfigured, FailureClass::Congestion] {
        let (mut house, [a, b, c]) = three_links().await;
        let refused = Outcome::Refused { class, status: CarrierStatus::clean("RINVSRCADR 0x0A") };
        a.answer(refused.clone(), refused.clone());
        for _ in 0..2 {
            assert_eq!(house.send_one().await, DispatchAnswer::Out);
        }
        assert_eq!((a.seen().len(), b.seen().len(), c.seen().len()), (1, 2, 0));
        b.answer(refused.clone(), refused);
        assert_eq!(house.send_one().await, DispatchAnswer::Out);
        assert_eq!(c.seen().len(), 1);
        house.finish().await;
    }
    // What is the phone's trouble, another link has too.
    for class in [FailureClass::Rejected, FailureClass::Unreachable, FailureClass::WrongNetwork, FailureClass::Expired]
    {
        let (mut house, [a, b, c]) = three_links().await;
        let refused = Outcome::Refused { class, status: CarrierStatus::clean("no") };
        a.answer(refused.clone(), refused);
        assert_eq!(house.send_one().await, DispatchAnswer::Out);
        assert_eq!((a.seen().len(), b.seen().len(), c.seen().len()), (1, 0, 1));
        house.finish().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_number_that_the_carrier_does_not_know_fails_on_every_channel_at_once() {
    let (mut house, [a, b, c]) = three_links().await;
    a.answer(invalid(), invalid());
    b.answer(invalid(), invalid());
    assert_eq!(house.send_one().await, DispatchAnswer::Refused);
    assert!(c.seen().is_empty());
    let settled = house.settled();
    let carrier_status = Some(CarrierStatus::clean("no such number"));
    assert_eq!(settled[0].end, End::Failed { code: FailureCode::InvalidNumber, carrier_status });
    assert_eq!(settled[0].window, WindowAfter::Release);
    house.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_second_link_waits_for_its_pace_while_others_leave() {
    let fakes = [FakeLink::new("a", None, 10), FakeLink::new("b", Some(1), 10)].map(Arc::new);
    let plans = vec![plan(VOICE, &[(&link(&fakes[0]), 1), (&link(&fakes[1]), 1)])];
    let mut house = House::with(fakes.to_vec(), plans).await;
    let start = Instant::now();
    // `b` takes one in a second; two more are not sent by `a`, and wait for it.
    assert_eq!(house.send_one().await, DispatchAnswer::Out);
    assert_eq!(house.send_one().await, DispatchAnswer::Out);
    fakes[0].answer(not_sent(), not_sent());
    let waiting: Vec<_> = (0..2).map(|_| house.send(1)).collect();
    settle_down().await;
    fakes[0].answer(Outcome::Accepted, Outcome::Accepted);
    assert_eq!(house.send_one().await, DispatchAnswer::Out);
    assert!(start.elapsed() < Duration::from_millis(100), "nobody waits behind them: {:?}", start.elapsed());
    for (_, answered) in waiting {
        assert_eq!(answered.await, Ok(DispatchAnswer::Out));
    }
    assert!(start.elapsed() > Duration::from_millis(1_900) && start.elapsed() < Duration::from_millis(2_200));
    house.finish().await;
}

#[tokio::test(start_paused = true)]
async fn links_share_by_weight_and_the_others_take_what_one_cannot() {
    let fakes = ["a", "b", "c"].map(|name| Arc::new(FakeLink::new(name, None, 10)));
    let [a, b, c] = [&fakes[0], &fakes[1], &fakes[2]].map(link);
    let mut house = House::with(fakes.to_vec(), vec![plan(SMS, &[(&a, 3), (&b, 1), (&c, 2)])]).await;
    house.route = Arc::new(Route { channels: Channels::only(SMS), ..Route::clone(&house.route) });
    let counts = |fakes: &[Arc<FakeLink>; 3]| [0, 1, 2].map(|at: usize| fakes[at].seen().len());
    for _ in 0..60 {
        assert_eq!(house.send_one().await, DispatchAnswer::Out);
    }
    assert_eq!(counts(&fakes), [30, 10, 20]);
    assert!(house.dispatch.pause(&fakes[0].id, true));
    settle_down().await;
    for _ in 0..30 {
        assert_eq!(house.send_one().await, DispatchAnswer::Out);
    }
    assert_eq!(counts(&fakes), [30, 20, 40]);
    house.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_paused_link_takes_nothing_new_and_what_waits_ends_in_time_or_leaves_when_it_is_back() {
    let mut house = House::new(None, 10).await;
    let [kept, late] = [house.reserve(1), house.reserve(1)].map(|slot| slot.expect("a place"));
    assert!(!house.dispatch.pause(&UpstreamId("nobody".into()), true));
    assert!(house.dispatch.pause(&house.link.id, true));
    settle_down().await;
    assert!(house.reserve(1).is_err() && !house.dispatch.any_link_up());
    assert!(house.dispatch.links()[0].paused);
    let (job, answered) = house.job(1, late);
    house.dispatch.enqueue(job);
    assert_eq!(answered.await, Ok(DispatchAnswer::Refused));
    let (job, answered) = house.job(1, kept);
    house.dispatch.enqueue(job);
    settle_down().await;
    assert!(house.link.seen().is_empty());
    assert!(house.dispatch.pause(&house.link.id, false));
    assert_eq!(answered.await, Ok(DispatchAnswer::Out));
    assert!(house.reserve(1).is_ok() && house.dispatch.any_link_up());
    house.finish().await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_links_that_went_away_takes_the_second_channel_at_once() {
    let fakes = [FakeLink::new("a", Some(20), 100), FakeLink::new("c", None, 100)].map(Arc::new);
    let [a, c] = [&fakes[0], &fakes[1]].map(link);
    let mut house = House::with(fakes.to_vec(), vec![plan(VOICE, &[(&a, 1)]), plan(SMS, &[(&c, 1)])]).await;
    let slot = house.reserve(2).expect("a place");
    let (mut job, voice_only) = house.job(2, slot);
    job.channels = Channels::only(VOICE);
    let jobs: Vec<_> = (0..40).map(|_| house.send(1)).collect();
    house.dispatch.enqueue(job);
    settle_down().await;
    let start = Instant::now();
    let paused = house.dispatch.pause(&fakes[0].id, true);
    for (_, answered) in jobs {
        assert_eq!(answered.await, Ok(DispatchAnswer::Out));
    }
    assert!(paused && start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert!(fakes[1].seen().len() > 30 && house.settled().is_empty());
    assert_eq!(voice_only.await, Ok(DispatchAnswer::Refused), "it has no other channel, and waits in time");
    assert!(start.elapsed() > Duration::from_secs(4));
    house.finish().await;
}

#[tokio::test(start_paused = true)]
async fn what_could_not_leave_on_its_channel_ends_on_its_last_one() {
    let (mut house, [a, b, c]) = three_links().await;
    let slots = [house.reserve(1), house.reserve(1)].map(|slot| slot.expect("a place"));
    for link in [&a, &b, &c] {
        link.health.send_replace(Health::Down);
    }
    settle_down().await;
    let answers = slots.map(|slot| {
        let (job, answered) = house.job(1, slot);
        house.dispatch.enqueue(job);
        answered
    });
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert!(house.settled().is_empty(), "SMS may still come back");
    c.health.send_replace(Health::Up);
    for answered in answers {
        assert_eq!(answered.await, Ok(DispatchAnswer::Out));
    }
    assert_eq!((a.seen().len(), b.seen().len(), c.seen().len()), (0, 0, 2));
    house.finish().await;
}

/// Voice by `tkc`, which refuses a phone for 30 s after a call; SMS by `tkc` and, if so, by `other`.
async fn gapped(other: bool) -> (House, [Arc<FakeLink>; 2]) {
    let mut tkc = FakeLink::new("tkc", None, 10);
    tkc.capabilities.per_phone_gap = Some(Duration::from_secs(30));
    let fakes = [tkc, FakeLink::new("other", None, 10)].map(Arc::new);
    let [tkc, second] = [&fakes[0], &fakes[1]].map(link);
    let sms = if other { vec![(&tkc, 9), (&second, 1)] } else { vec![(&tkc, 1)] };
    let mut plans = vec![plan(VOICE, &[(&tkc, 1)]), plan(SMS, &sms)];
    if !other {
        let elsewhere = Carrier::new("mobifone").expect("sane");
        plans.push(LanePlan { carrier: elsewhere, channel: SMS, links: vec![(second, 1)] });
    }
    (House::with(fakes.to_vec(), plans).await, fakes)
}

#[tokio::test(start_paused = true)]
async fn an_upstream_with_a_gap_is_not_used_again_after_it_took_an_attempt() {
    for first in [Outcome::Accepted, ambiguous()] {
        let (mut house, [tkc, other]) = gapped(true).await;
        tkc.answer(first, Outcome::Accepted);
        assert_eq!(house.send_one().await, DispatchAnswer::Out);
        house.fail_by_receipt().await;
        assert_eq!((tkc.channels(), other.channels()), (vec![VOICE], vec![SMS]));
        let left = house.probe.left.lock().expect("not poisoned").clone();
        assert_eq!(left.len(), 2, "the phone's window on this node counts from the second attempt");
        assert!(left[0] == left[1] && house.probe.refused.lock().expect("not poisoned").is_empty());
        // What it did not take, it may be given again.
        tkc.answer(refused(), Outcome::Accepted);
        assert_eq!(house.send_one().await, DispatchAnswer::Out);
        assert_eq!(tkc.channels(), [VOICE, VOICE, SMS]);
        house.finish().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_channel_that_must_avoid_an_upstream_waits_for_a_link_that_is_away_for_a_moment() {
    let (mut house, [tkc, other]) = gapped(true).await;
    assert_eq!(house.send_one().await, DispatchAnswer::Out);
    other.health.send_replace(Health::Down);
    settle_down().await;
    house.fail_by_receipt().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(house.settled().is_empty() && other.seen().is_empty());
    other.health.send_replace(Health::Up);
    settle_down().await;
    assert_eq!((tkc.channels(), other.channels()), (vec![VOICE], vec![SMS]));
    house.finish().await;
}

#[tokio::test(start_paused = true)]
async fn without_another_upstream_a_gap_leaves_no_second_channel_and_the_receipt_tells_why() {
    let (mut house, [tkc, _]) = gapped(false).await;
    assert_eq!(house.send_one().await, DispatchAnswer::Out);
    assert!(house.probe.fallbacks.lock().expect("not poisoned").is_empty(), "tracking ends it by its receipt");
    assert_eq!(tkc.channels(), [VOICE]);
    house.finish().await;
}
