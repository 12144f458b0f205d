//! Who leaves when: pace, fairness, windows, held jobs, and nothing late.

use super::*;

/// How many attempts the fullest second saw.
fn fullest_second(seen: &[(DeliveryId, Channel, Instant)]) -> usize {
    let within =
        |from: Instant| seen.iter().filter(move |(_, _, at)| *at >= from && *at < from + Duration::from_secs(1));
    seen.iter().map(|(_, _, at)| within(*at).count()).max().unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_leaves_at_the_carriers_pace_and_in_time() {
    let mut house = House::new(Some(100), 1_000).await;
    let start = Instant::now();
    let mut answers = Vec::new();
    for account in [1, 2] {
        while let Ok(slot) = house.reserve(account) {
            let (job, answered) = house.job(account, slot);
            house.dispatch.enqueue(job);
            answers.push(answered);
        }
    }
    let full = house.reserve(3).expect_err("every place is taken");
    assert!(full.retry_after > Duration::from_secs(4), "a true drain time: {:?}", full.retry_after);
    let sent = answers.len();
    for answered in answers {
        assert_eq!(answered.await, Ok(DispatchAnswer::Out));
    }
    let seen = house.link.seen();
    assert_eq!(seen.len(), sent);
    assert!(fullest_second(&seen) <= 100);
    assert!(start.elapsed() < Duration::from_secs(5), "{sent} jobs left in {:?}", start.elapsed());
    assert!(house.settled().is_empty());
    house.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_one_account_does_not_hold_up_another() {
    let mut house = House::new(Some(100), 1_000).await;
    let flood: Vec<_> = (0..200).map(|_| house.send(1)).collect();
    let start = Instant::now();
    let (other, answered) = house.send(2);
    assert_eq!(answered.await, Ok(DispatchAnswer::Out));
    assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
    let position = house.link.seen().iter().position(|(delivery, _, _)| *delivery == other);
    assert!(position.is_some_and(|position| position < 10));
    for (_, answered) in flood {
        assert_eq!(answered.await, Ok(DispatchAnswer::Out));
    }
    house.finish().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_leave_in_time_is_settled_and_never_sent() {
    let fake = Arc::new(FakeLink::new("fake", None, 2));
    let plans = vec![plan(Channel::Voice, &[(&link(&fake), 1)])];
    let mut house = House::with(vec![fake], plans).await;
    // The window is full for four seconds, then again: the third pair would leave after eight.
    house.link.script(|_| {
        async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            Outcome::Accepted
        }
        .boxed()
    });
    let start = Instant::now();
    let jobs: Vec<_> = (0..6).map(|number| house.send(number % 2)).collect();
    let mut answers = Vec::new();
    for (_, answered) in jobs {
        answers.push(answered.await.expect("answered"));
    }
    use DispatchAnswer::{Out, Refused};
    assert_eq!(answers, [Out, Out, Out, Out, Refused, Refused]);
    assert_eq!(house.link.seen().len(), 4);
    assert!(house.link.seen().iter().all(|(_, _, at)| at.duration_since(start) < Duration::from_secs(5)));
    assert_eq!(house.windows(), [WindowAfter::Release; 2]);
    for settlement in house.settled() {
        assert_eq!(settlement.window, WindowAfter::Release);
        assert_eq!(
            settlement.end,
            crate::domain::delivery::End::Failed {
                code: crate::domain::delivery::FailureCode::NoRoute,
                carrier_status: None,
            }
        );
    }
    house.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_window_is_never_exceeded() {
    let mut house = House::new(None, 3).await;
    let running = Arc::new(StdMutex::new((0_usize, 0_usize)));
    let counted = Arc::clone(&running);
    house.link.script(move |_| {
        let running = Arc::clone(&counted);
        async move {
            {
                let mut running = running.lock().expect("not poisoned");
                running.0 += 1;
                running.1 = running.1.max(running.0);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            running.lock().expect("not poisoned").0 -= 1;
            Outcome::Accepted
        }
        .boxed()
    });
    let mut jobs = Vec::new();
    for number in 0..30 {
        jobs.push(house.send(number % 10));
        tokio::time::sleep(Duration::from_millis(12)).await;
    }
    for (_, answered) in jobs {
        assert_eq!(answered.await, Ok(DispatchAnswer::Out));
    }
    assert_eq!(running.lock().expect("not poisoned").1, 3);
    house.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_held_job_leaves_at_its_instant_and_its_time_counts_from_there() {
    let mut house = House::new(None, 10).await;
    let start = Instant::now();
    let slot = house.reserve(1).expect("a place");
    let (mut held, answered) = house.job(1, slot);
    held.not_before = Some(start + Duration::from_secs(9));
    house.dispatch.enqueue(held);
    assert_eq!(house.send_one().await, DispatchAnswer::Out);
    assert!(start.elapsed() < Duration::from_millis(10), "a held job holds nobody up");
    assert_eq!(answered.await, Ok(DispatchAnswer::Out));
    let left = house.link.seen()[1].2.duration_since(start);
    assert!(left >= Duration::from_secs(9) && left < Duration::from_millis(9_010), "{left:?}");
    house.finish().await;
}

#[tokio::test(start_paused = true)]
async fn an_attempt_needs_its_time_before_the_settle_time() {
    let mut house = House::new(None, 10).await;
    for (left, expected) in [(19_999, DispatchAnswer::Refused), (20_001, DispatchAnswer::Out)] {
        let slot = house.reserve(1).expect("a place");
        let (mut job, answered) = house.job(1, slot);
        job.settle_by = Instant::now() + Duration::from_millis(left);
        house.dispatch.enqueue(job);
        assert_eq!(answered.await, Ok(expected), "{left} ms before the settle time");
    }
    house.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_charge_that_was_long_on_its_way_is_not_sent_late() {
    let mut house = House::new(None, 10).await;
    let slot = house.reserve(1).expect("a place");
    let (job, answered) = house.job(1, slot);
    // The process is stopped between the commit and the queue.
    tokio::time::advance(Duration::from_secs(45)).await;
    house.dispatch.enqueue(job);
    assert_eq!(answered.await, Ok(DispatchAnswer::Refused));
    assert!(house.link.seen().is_empty());
    assert_eq!(house.settled().len(), 1);
    house.finish().await;
}
