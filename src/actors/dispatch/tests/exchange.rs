//! New routes while the house runs.

use super::*;
use crate::telemetry::Metrics;

const VOICE: Channel = Channel::Voice;

#[tokio::test(start_paused = true)]
async fn new_orders_go_by_new_links_what_waits_goes_there_too_and_the_old_link_is_closed_after_its_attempts() {
    let [old, new] = ["old", "new"].map(|name| Arc::new(FakeLink::new(name, None, 1)));
    old.script(|_| {
        async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            Outcome::Accepted
        }
        .boxed()
    });
    let plans = vec![plan(VOICE, &[(&link(&old), 1)])];
    let mut house = House::with(vec![Arc::clone(&old), Arc::clone(&new)], plans).await;
    let (_, on_the_wire) = house.send(1);
    let (queued, queued_answer) = house.send(1);
    let slot = house.reserve(1).expect("a place");
    let (mut held, held_answer) = house.job(1, slot);
    held.not_before = Some(Instant::now() + Duration::from_secs(9));
    house.dispatch.enqueue(held);
    // Charged while the routes are exchanged.
    let between = house.reserve(1).expect("a place");
    settle_down().await;
    house.dispatch.exchange(vec![plan(VOICE, &[(&link(&new), 1)])]).await.expect("starts");
    assert_eq!(queued_answer.await, Ok(DispatchAnswer::Out));
    assert_eq!(new.seen()[0].0, queued);
    let (job, answered) = house.job(1, between);
    house.dispatch.enqueue(job);
    assert_eq!(answered.await, Ok(DispatchAnswer::Out));
    assert_eq!(house.send_one().await, DispatchAnswer::Out);
    assert!(!old.is_closed(), "an attempt is under way");
    assert_eq!(on_the_wire.await, Ok(DispatchAnswer::Out));
    settle_down().await;
    assert!(old.is_closed() && !new.is_closed());
    assert_eq!(held_answer.await, Ok(DispatchAnswer::Out));
    assert_eq!((old.seen().len(), new.seen().len()), (1, 4));
    assert!(house.settled().is_empty(), "no exchange refunds anybody");
    house.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_queue_whose_plan_is_the_same_goes_on_and_a_link_in_use_stays_open() {
    let fake = Arc::new(FakeLink::new("fake", None, 10));
    let both = link(&fake);
    let mut house = House::with(vec![Arc::clone(&fake)], vec![plan(VOICE, &[(&both, 1)])]).await;
    let before = house.parts(VOICE);
    house.dispatch.exchange(vec![plan(VOICE, &[(&both, 1)])]).await.expect("starts");
    assert!(Arc::ptr_eq(&before, &house.parts(VOICE)));
    house.dispatch.exchange(vec![plan(VOICE, &[(&both, 2)])]).await.expect("starts");
    assert!(!Arc::ptr_eq(&before, &house.parts(VOICE)));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!fake.is_closed());
    assert_eq!(house.send_one().await, DispatchAnswer::Out);
    house.cast(Message::Panic);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(house.send_one().await, DispatchAnswer::Out, "a queue that was added starts again");
    house.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_is_no_more_sends_what_waits_to_the_next_or_ends_it() {
    let fake = Arc::new(FakeLink::new("fake", None, 10));
    let both = link(&fake);
    let voice_and_sms = [VOICE, Channel::Sms].map(|channel| plan(channel, &[(&both, 1)]));
    let mut house = House::with(vec![Arc::clone(&fake)], voice_and_sms.into()).await;
    let hold = |mut job: Job| {
        job.not_before = Some(Instant::now() + Duration::from_secs(1));
        job
    };
    let slots = [house.reserve(1), house.reserve(1)].map(|slot| slot.expect("a place"));
    let [(falls_back, out), (voice_only, ended)] = slots.map(|slot| house.job(1, slot));
    house.dispatch.enqueue(hold(falls_back));
    house.dispatch.enqueue(hold(Job { channels: Channels::only(VOICE), ..voice_only }));
    settle_down().await;
    house.dispatch.exchange(vec![plan(Channel::Sms, &[(&both, 1)])]).await.expect("starts");
    assert_eq!(ended.await, Ok(DispatchAnswer::Refused));
    assert_eq!(out.await, Ok(DispatchAnswer::Out));
    assert_eq!(fake.channels(), [Channel::Sms]);
    house.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_second_channel_that_is_no_more_ends_its_delivery_at_once() {
    let fake = Arc::new(FakeLink::new("fake", None, 10));
    let both = link(&fake);
    let voice_and_sms = [VOICE, Channel::Sms].map(|channel| plan(channel, &[(&both, 1)]));
    let mut house = House::with(vec![Arc::clone(&fake)], voice_and_sms.into()).await;
    assert_eq!(house.send_one().await, DispatchAnswer::Out);
    house.dispatch.exchange(vec![plan(VOICE, &[(&both, 1)])]).await.expect("starts");
    house.fail_by_receipt().await;
    let settled = house.settled();
    assert_eq!((settled.len(), settled[0].channel, settled[0].window), (1, Some(VOICE), WindowAfter::Keep));
    assert_eq!(fake.channels(), [VOICE]);
    house.finish().await;
}

#[tokio::test(start_paused = true)]
async fn what_operators_see_is_of_the_routes_in_force() {
    let metrics = Metrics::install().expect("the only recorder");
    let shows = |gauge: &str, value: u8| metrics.render().lines().any(|line| line == format!("{gauge} {value}"));
    let [old, new, gone] = ["same", "same", "gone"].map(|name| Arc::new(FakeLink::new(name, None, 10)));
    let leaving = link(&gone);
    let plans = vec![plan(VOICE, &[(&link(&old), 1), (&leaving, 1)]), plan(Channel::Sms, &[(&leaving, 1)])];
    let mut house = House::with(vec![Arc::clone(&old), Arc::clone(&new), gone], plans).await;
    settle_down().await;
    let (up, left) = ("nexo_link_up{link=\"same\"}", "nexo_link_up{link=\"gone\"}");
    let open = |channel: &str| format!("nexo_queue_open{{carrier=\"viettel\",channel=\"{channel}\"}}");
    assert!(
        shows(up, 1) && shows(left, 1) && shows(&open("voice"), 1) && shows(&open("sms"), 1),
        "{}",
        metrics.render()
    );
    // One that is only prepared says nothing under the name of the one in use.
    new.health.send_replace(Health::Down);
    let prepared = link(&new);
    assert!(shows(up, 1));
    new.health.send_replace(Health::Up);
    house.dispatch.exchange(vec![plan(VOICE, &[(&prepared, 1)])]).await.expect("starts");
    settle_down().await;
    // What leaves says nothing under the name of the one that came.
    old.health.send_replace(Health::Down);
    assert_eq!(house.send_one().await, DispatchAnswer::Out);
    assert!(
        shows(up, 1) && shows(left, 0) && shows(&open("voice"), 1) && shows(&open("sms"), 0),
        "{}",
        metrics.render()
    );
    house.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_in_the_middle_of_an_exchange_waits_for_no_more_than_it_must() {
    let [old, new] = ["old", "new"].map(|name| Arc::new(FakeLink::new(name, None, 1)));
    old.script(|_| std::future::pending().boxed());
    let plans = vec![plan(VOICE, &[(&link(&old), 1)])];
    let mut house = House::with(vec![Arc::clone(&old), Arc::clone(&new)], plans).await;
    let (_, hanging) = house.send(1);
    settle_down().await;
    house.dispatch.exchange(vec![plan(VOICE, &[(&link(&new), 1)])]).await.expect("starts");
    settle_down().await;
    let start = Instant::now();
    house.tree.stop(Duration::from_secs(30)).await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(old.is_closed() && new.is_closed());
    assert_eq!(hanging.await, Ok(DispatchAnswer::Out), "ambiguous in the end");
}
