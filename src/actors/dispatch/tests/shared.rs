//! One link under two queues: its window and its pace are one, and nobody starves or sleeps on.

use super::*;

fn slow(link: &FakeLink, millis: u64) {
    link.script(move |_| {
        async move {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            Outcome::Accepted
        }
        .boxed()
    });
}

impl House {
    /// Sends on `channel` alone.
    fn send_by(&mut self, channel: Channel, account: u8) -> Option<oneshot::Receiver<DispatchAnswer>> {
        let (slot, channels) = self.reserve_on(Channels::only(channel), account).ok()?;
        let (mut job, answered) = self.job(account, slot);
        job.channels = channels;
        self.dispatch.enqueue(job);
        Some(answered)
    }
}

#[tokio::test(start_paused = true)]
async fn a_window_is_one_for_both_and_a_place_that_becomes_free_wakes_who_waits() {
    let mut house = House::new(None, 1).await;
    slow(&house.link, 400);
    let start = Instant::now();
    let voice: Vec<_> = (0..6).filter_map(|n| house.send_by(Channel::Voice, 1 + n % 2)).collect();
    settle_down().await;
    let sms: Vec<_> = (0..5).filter_map(|n| house.send_by(Channel::Sms, 1 + n % 2)).collect();
    for answered in voice.into_iter().chain(sms) {
        assert_eq!(answered.await, Ok(DispatchAnswer::Out));
    }
    let seen = house.link.seen();
    assert!(seen.windows(2).all(|pair| pair[1].2 >= pair[0].2 + Duration::from_millis(400)), "one at a time");
    assert!(start.elapsed() < Duration::from_millis(4_500), "no place stays free: {:?}", start.elapsed());
    let first: Vec<_> = house.link.channels().into_iter().take(8).collect();
    assert!(first.iter().filter(|channel| **channel == Channel::Sms).count() >= 3, "in turn: {first:?}");
    house.finish().await;
}

/// Both queues full to the last place: each job was promised to leave in time, and does, at the carrier's pace.
#[tokio::test(start_paused = true)]
async fn each_queue_of_a_shared_link_keeps_its_promise_when_both_are_full() {
    for rate in [4, 100, 1_000] {
        let mut house = House::new(Some(rate), 1_000).await;
        let mut answers = Vec::new();
        for channel in [Channel::Voice, Channel::Sms] {
            for account in [1, 2] {
                while let Some(answered) = house.send_by(channel, account) {
                    answers.push(answered);
                }
            }
        }
        let promised = answers.len();
        assert!(promised * 100 >= usize::try_from(rate).expect("small") * 5 * 60, "{rate}/s: {promised}");
        let start = Instant::now();
        for answered in answers {
            assert_eq!(answered.await, Ok(DispatchAnswer::Out), "{rate}/s");
        }
        assert!(start.elapsed() < Duration::from_secs(5));
        assert!(house.settled().is_empty());
        house.finish().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_queue_does_not_use_the_other_does() {
    let mut house = House::new(Some(100), 1_000).await;
    let mut answers = Vec::new();
    for account in [1, 2] {
        while let Some(answered) = house.send_by(Channel::Sms, account) {
            answers.push(answered);
        }
    }
    let (sent, start) = (answers.len(), Instant::now());
    for answered in answers {
        assert_eq!(answered.await, Ok(DispatchAnswer::Out));
    }
    assert!(sent >= 215 && start.elapsed() < Duration::from_millis(2_400), "{sent} in {:?}", start.elapsed());
    house.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_dies_while_it_waits_holds_up_nobody() {
    let mut house = House::new(None, 1).await;
    slow(&house.link, 100);
    let voice: Vec<_> = (0..4).filter_map(|_| house.send_by(Channel::Voice, 1)).collect();
    let sms: Vec<_> = (0..4).filter_map(|_| house.send_by(Channel::Sms, 1)).collect();
    settle_down().await;
    house.cast(Message::Panic);
    let start = Instant::now();
    for answered in sms {
        assert_eq!(answered.await, Ok(DispatchAnswer::Out));
    }
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    for answered in voice {
        answered.await.expect("answered");
    }
    house.finish().await;
}
