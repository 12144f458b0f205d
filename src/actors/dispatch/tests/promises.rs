//! What is promised: no more than leaves in time by the links that take work, as fast as they answer.

use super::*;

const VOICE: Channel = Channel::Voice;

impl House {
    /// Takes every place that there is, for as many accounts as it needs, and gives each a job.
    fn fill(&mut self) -> Vec<oneshot::Receiver<DispatchAnswer>> {
        let mut answers = Vec::new();
        for account in 1..=8 {
            while let Ok(slot) = self.reserve(account) {
                let (job, answered) = self.job(account, slot);
                self.dispatch.enqueue(job);
                answers.push(answered);
            }
        }
        answers
    }

    /// Has `jobs` sent one after the other.
    async fn learn(&mut self, jobs: usize) {
        for _ in 0..jobs {
            assert_eq!(self.send_one().await, DispatchAnswer::Out);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(self.send_one().await, DispatchAnswer::Out);
    }
}

async fn one_link(fake: FakeLink) -> House {
    let fake = Arc::new(fake);
    let plans = vec![plan(VOICE, &[(&link(&fake), 1)])];
    House::with(vec![fake], plans).await
}

fn answers_after(fake: &FakeLink, millis: u64) {
    fake.script(move |_| {
        async move {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            Outcome::Accepted
        }
        .boxed()
    });
}

#[tokio::test(start_paused = true)]
async fn a_link_without_a_rate_is_promised_what_its_window_lets_through_and_nothing_is_refunded() {
    // The first is learned while it fills, the second is known by then.
    for known in [false, true] {
        let mut house = one_link(FakeLink::new("fake", None, 32)).await;
        answers_after(&house.link, 300);
        if known {
            house.learn(40).await;
        }
        let answers = house.fill();
        assert!((250..=500).contains(&answers.len()), "32 places, 300 ms, five seconds: {}", answers.len());
        for answered in answers {
            assert_eq!(answered.await, Ok(DispatchAnswer::Out));
        }
        assert!(house.settled().is_empty());
        house.finish().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_that_answers_at_once_is_bound_by_what_may_wait_alone() {
    let mut house = one_link(FakeLink::new("fake", None, 8)).await;
    house.learn(100).await;
    assert_eq!(house.fill().len(), CONFIG.queue_max);
    house.finish().await;
}

/// As the simulator is by default: one link for both channels, 10,000 at once, answers after 20 ms.
#[tokio::test(start_paused = true)]
async fn a_thousand_orders_of_one_account_are_taken_by_a_house_that_nobody_has_used_yet() {
    let mut house = House::new(None, 10_000).await;
    answers_after(&house.link, 20);
    let answers: Vec<_> = (0..1_000).map(|_| house.send(1).1).collect();
    for answered in answers {
        assert_eq!(answered.await, Ok(DispatchAnswer::Out));
    }
    assert!(house.link.channels().iter().all(|channel| *channel == VOICE), "none had to take its second channel");
    house.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_link_that_became_slow_is_promised_less_and_more_when_it_is_fast_again() {
    let mut house = one_link(FakeLink::new("fake", None, 10)).await;
    let places = |house: &House| (1..=40).filter_map(|n| house.reserve(n / 4).ok()).collect::<Vec<_>>().len();
    house.learn(50).await;
    assert_eq!(places(&house), 40);
    answers_after(&house.link, 8_000);
    house.learn(30).await;
    assert!(places(&house) < 10, "one place comes free in 800 ms");
    house.link.answer(Outcome::Accepted, Outcome::Accepted);
    house.learn(50).await;
    assert_eq!(places(&house), 40);
    house.finish().await;
}

#[tokio::test(start_paused = true)]
async fn links_that_take_no_work_are_promised_nothing() {
    let fakes = [FakeLink::new("a", Some(100), 100), FakeLink::new("b", Some(10), 100)].map(Arc::new);
    let plans = vec![plan(VOICE, &[(&link(&fakes[0]), 1), (&link(&fakes[1]), 1)])];
    let mut house = House::with(fakes.to_vec(), plans).await;
    fakes[0].health.send_replace(Health::Down);
    settle_down().await;
    let answers = house.fill();
    assert_eq!(answers.len(), 45, "nine tenths of ten a second for five");
    for answered in answers {
        assert_eq!(answered.await, Ok(DispatchAnswer::Out));
    }
    fakes[0].health.send_replace(Health::Up);
    settle_down().await;
    assert!(house.fill().len() > 450);
    house.finish().await;
}

/// A place is the right to leave in time, not to be answered.
#[tokio::test(start_paused = true)]
async fn what_is_on_the_wire_takes_no_place() {
    let mut house = one_link(FakeLink::new("fake", Some(20), 128)).await;
    answers_after(&house.link, 5_000);
    let (start, mut answers) = (Instant::now(), Vec::new());
    while start.elapsed() < Duration::from_secs(20) {
        answers.extend(house.fill());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(answers.len() >= 400, "twenty a second: {}", answers.len());
    for answered in answers {
        assert_eq!(answered.await, Ok(DispatchAnswer::Out));
    }
    house.finish().await;
}

#[tokio::test(start_paused = true)]
async fn many_queues_share_a_link_of_a_few_a_second() {
    let fake = Arc::new(FakeLink::new("fake", Some(5), 10));
    let shared = link(&fake);
    let mut plans = vec![plan(VOICE, &[(&shared, 1)])];
    plans.extend((1..8).map(|number| {
        let carrier = Carrier::new(&format!("other_{number}")).expect("sane");
        LanePlan { carrier, channel: VOICE, links: vec![(Arc::clone(&shared), 1)] }
    }));
    let mut house = House::with(vec![fake], plans).await;
    let answers = house.fill();
    assert_eq!(answers.len(), 2, "an eighth of 22.5, whole");
    for answered in answers {
        assert_eq!(answered.await, Ok(DispatchAnswer::Out));
    }
    house.finish().await;
}
