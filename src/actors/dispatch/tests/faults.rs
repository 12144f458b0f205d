//! Links that fail, queues that die, and the graceful stop.

use super::*;
use crate::actors::dispatch::attempt::{Finished, UnderWay};
use crate::actors::dispatch::ending::Owed;

#[tokio::test(start_paused = true)]
async fn a_breaker_opens_refuses_and_is_probed() {
    let fake = Arc::new(FakeLink::new("fake", None, 10));
    let plans = vec![plan(Channel::Voice, &[(&link(&fake), 1)])];
    let mut house = House::with(vec![fake], plans).await;
    for (outcome, taken) in [(not_sent(), true), (not_sent(), true), (refused(), true), (not_sent(), true)] {
        house.link.answer(outcome, Outcome::Accepted);
        assert_eq!(house.send_one().await, DispatchAnswer::Refused);
        assert_eq!(house.reserve(1).is_ok(), taken, "a refusal reached the carrier: not in a row");
    }
    for _ in 0..2 {
        let (_, answered) = house.send(1);
        let _ended = answered.await;
    }
    let closed = house.reserve(1).expect_err("the link rests");
    assert!(closed.retry_after <= Duration::from_secs(2) && closed.retry_after > Duration::from_secs(1));

    tokio::time::sleep(closed.retry_after).await;
    let attempts = house.link.seen().len();
    let jobs: Vec<_> = (0..3).map(|_| house.send(1)).collect();
    settle_down().await;
    assert_eq!(house.link.seen().len(), attempts + 1, "one probe");
    assert!(house.reserve(1).is_err(), "it failed: the link rests again");

    house.link.answer(Outcome::Accepted, Outcome::Accepted);
    let mut answers = Vec::new();
    for (_, answered) in jobs {
        answers.push(answered.await.expect("answered"));
    }
    let expected = [DispatchAnswer::Refused, DispatchAnswer::Out, DispatchAnswer::Out];
    assert_eq!(answers, expected, "the others waited for the second probe");
    assert!(house.reserve(1).is_ok());
    house.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_link_that_refuses_everything_of_ours_rests_and_one_that_refuses_phones_does_not() {
    for (class, rests) in [(FailureClass::Misconfigured, true), (FailureClass::Rejected, false)] {
        let fakes = ["a", "b"].map(|name| Arc::new(FakeLink::new(name, None, 10)));
        let [a, b] = [&fakes[0], &fakes[1]].map(link);
        let mut house = House::with(fakes.to_vec(), vec![plan(Channel::Voice, &[(&a, 1), (&b, 1)])]).await;
        let refused = Outcome::Refused { class, status: CarrierStatus::clean("no") };
        fakes[0].answer(refused.clone(), refused);
        for _ in 0..20 {
            let answer = house.send_one().await;
            assert!(!rests || answer == DispatchAnswer::Out, "the other link is well");
        }
        assert_eq!(fakes[0].seen().len(), if rests { 3 } else { 10 });
        house.finish().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_that_comes_up_while_its_queue_starts_is_up() {
    let fake = Arc::new(FakeLink::new("fake", None, 10));
    fake.health.send_replace(Health::Down);
    let plans = vec![plan(Channel::Voice, &[(&link(&fake), 1)])];
    // Between the first look of the queue and the moment from which it is told of changes.
    *fake.up_after.lock().expect("not poisoned") = Some(1);
    let mut house = House::with(vec![fake], plans).await;
    settle_down().await;
    assert_eq!(house.send_one().await, DispatchAnswer::Out);
    house.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_down_takes_nothing_and_comes_back() {
    let mut house = House::new(None, 10).await;
    assert!(house.dispatch.any_link_up());
    let slot = house.reserve(1).expect("a place");
    house.link.health.send_replace(Health::Down);
    settle_down().await;
    assert!(!house.dispatch.any_link_up());
    assert_eq!(house.reserve(1).err(), Some(NoRouteNow { retry_after: Duration::from_secs(2) }));
    // Reserved before, charged since: it waits for the link, in time.
    let (job, answered) = house.job(1, slot);
    house.dispatch.enqueue(job);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(house.link.seen().is_empty());
    house.link.health.send_replace(Health::Up);
    assert_eq!(answered.await, Ok(DispatchAnswer::Out));
    assert!(house.reserve(1).is_ok());
    house.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_dies_loses_no_charge() {
    let mut house = House::new(None, 1).await;
    house.link.script(|_| {
        async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Outcome::Accepted
        }
        .boxed()
    });
    let (_, on_the_wire) = house.send(1);
    let (queued, queued_answer) = house.send(1);
    settle_down().await;
    house.cast(Message::Panic);
    // In the mailbox behind the message that kills it.
    let (in_mailbox, mailbox_answer) = house.send(1);
    assert_eq!(queued_answer.await, Ok(DispatchAnswer::Refused));
    assert_eq!(mailbox_answer.await, Ok(DispatchAnswer::Refused));
    let mut settled: Vec<_> = house.settled().iter().map(|settlement| settlement.delivery).collect();
    settled.sort_unstable();
    assert_eq!(settled, [queued, in_mailbox]);
    assert_eq!(house.windows(), [WindowAfter::Release; 2]);
    // The attempt outlives its queue, its window too, and the next incarnation works.
    assert_eq!(on_the_wire.await, Ok(DispatchAnswer::Out));
    assert_eq!(house.send_one().await, DispatchAnswer::Out);
    assert_eq!(house.link.seen().len(), 2);
    house.finish().await;
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_ends_while_nobody_lives_is_answered() {
    let mut house = House::new(None, 10).await;
    house.link.script(|attempt| {
        let accepted = attempt.channel == Channel::Voice;
        async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            if accepted { Outcome::Accepted } else { refused() }
        }
        .boxed()
    });
    let (_, accepted) = house.send(1);
    let slot = house.reserve(1).expect("a place");
    let (mut job, refusal) = house.job(1, slot);
    job.channels = Channels::only(Channel::Sms);
    house.dispatch.enqueue(job);
    settle_down().await;
    // The first restart waits for ten milliseconds.
    house.cast(Message::Panic);
    assert_eq!(accepted.await, Ok(DispatchAnswer::Out));
    assert_eq!(refusal.await, Ok(DispatchAnswer::Refused));
    assert_eq!(house.settled().len(), 1);
    tokio::time::sleep(Duration::from_millis(100)).await;
    house.finish().await;
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_is_lost_with_a_mailbox_is_answered() {
    let mut house = House::new(None, 10).await;
    let parts = house.parts(Channel::Voice);
    let mut jobs = Vec::new();
    for channels in [house.route.channels, Channels::only(Channel::Sms)] {
        let slot = house.reserve(1).expect("a place");
        let (job, answered) = house.job(1, slot);
        let waiting = Owed::new(Job { channels, ..job }, parts.times.within, Arc::clone(&parts.ender)).leave();
        assert_eq!(parts.links[0].link.take(parts.links[0].seat), Ok(()));
        let departed = parts.depart(0);
        jobs.push((UnderWay { waiting, link: 0, started: Instant::now(), departed }, answered));
    }
    house.cast(Message::Panic);
    let mut answers = Vec::new();
    for (under_way, answered) in jobs {
        house.cast(Message::Finished(Box::new(Finished::new(under_way, refused(), parts.times))));
        answers.push(answered);
    }
    for answered in answers {
        assert_eq!(answered.await, Ok(DispatchAnswer::Refused));
    }
    assert_eq!(house.settled().len(), 2);
    tokio::time::sleep(Duration::from_millis(100)).await;
    house.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_graceful_stop_lets_leave_what_can_and_settles_the_rest() {
    let fake = Arc::new(FakeLink::new("fake", Some(10), 10));
    let plans = vec![plan(Channel::Voice, &[(&link(&fake), 1)])];
    let mut house = House::with(vec![fake], plans).await;
    let jobs: Vec<_> = [1, 2].into_iter().flat_map(|account| std::iter::repeat_n(account, 20)).collect();
    let jobs: Vec<_> = jobs.into_iter().map(|account| house.send(account)).collect();
    settle_down().await;
    house.tree.stop(Duration::from_secs(30)).await;
    let mut out = 0;
    for (_, answered) in jobs {
        match answered.await {
            Ok(DispatchAnswer::Out) => out += 1,
            Ok(DispatchAnswer::Refused) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(house.link.seen().len(), out);
    assert!((29..=32).contains(&out), "three seconds at ten a second: {out}");
    assert_eq!(house.settled().len(), 40 - out);
    house.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_with_nothing_queued_is_immediate() {
    let mut house = House::new(None, 10).await;
    assert_eq!(house.send_one().await, DispatchAnswer::Out);
    let start = Instant::now();
    house.finish().await;
    assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_job_after_the_end_is_settled() {
    let mut house = House::new(None, 10).await;
    let slot = house.reserve(1).expect("a place");
    house.tree.stop(Duration::from_secs(30)).await;
    let (job, answered) = house.job(1, slot);
    house.dispatch.enqueue(job);
    assert_eq!(answered.await, Ok(DispatchAnswer::Refused));
    assert!(house.link.seen().is_empty());
}
