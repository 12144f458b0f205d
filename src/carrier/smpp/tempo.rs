//! How fast a session sends: its configured pace, and less after the SMSC has said that it is too much.
//!
//! Bind-wide: half the rate at each time of throttling and a pause of 1, 2, 4 and at most 8 seconds; then a tenth of the rate
//! more each second, until nothing slows it any more. What was sent when the first answer of such a wave came is one wave.

use std::time::Duration;

use tokio::time::Instant;

use crate::carrier::pace::Pace;

const SECOND: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(8);
/// After so long without it, throttling begins anew with the shortest pause.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30);

/// Of whom an SMSC says that it is too much.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Whose {
    All,
    /// Perhaps of the phone of one message alone.
    Perhaps,
}

#[derive(Debug)]
pub(super) struct Tempo {
    limit: Option<u32>,
    pace: Option<Pace>,
    slowed: Option<Slowed>,
    /// Something was accepted since the last wave.
    accepted: bool,
    /// When the present second began, and what was sent in it and in the one before.
    second: (Instant, u32, u32),
}

#[derive(Clone, Copy, Debug)]
struct Slowed {
    rate: u32,
    /// What it was before the first wave.
    peak: u32,
    until: Instant,
    pause: Duration,
    /// When the rate grows.
    grows: Instant,
}

impl Tempo {
    pub(super) fn new(limit: Option<u32>) -> Self {
        // Whoever brings the messages paces them too.
        Self {
            limit,
            pace: limit.map(Pace::behind_another),
            slowed: None,
            accepted: false,
            second: (Instant::now(), 0, 0),
        }
    }

    /// Takes leave to send one message.
    ///
    /// # Errors
    /// When to ask again.
    pub(super) fn take(&mut self) -> Result<(), Instant> {
        let now = Instant::now();
        if let Some(slowed) = self.slowed {
            if now < slowed.until {
                return Err(slowed.until);
            }
            self.grow(slowed, now);
        }
        if let Some(pace) = &self.pace {
            pace.take()?;
        }
        self.count(now);
        Ok(())
    }

    /// The SMSC took a message.
    pub(super) fn accepted(&mut self) {
        self.accepted = true;
    }

    /// The SMSC threw back a message that was written at `written`; until when nothing is sent.
    pub(super) fn throttled(&mut self, written: Instant, whose: Whose) -> Instant {
        let now = Instant::now();
        let pause = match self.slowed {
            // Written before we paused: the same wave.
            Some(slowed) if written < slowed.until => return slowed.until,
            // Others were taken: this one pauses us, but it does not slow us more.
            Some(slowed) if whose == Whose::Perhaps && std::mem::take(&mut self.accepted) => {
                let until = now + SECOND;
                self.slowed = Some(Slowed { until, grows: until + SECOND, ..slowed });
                return until;
            }
            Some(slowed) if now < slowed.until + FORGOTTEN_AFTER => (slowed.pause * 2).min(PAUSE_MAX),
            _ => SECOND,
        };
        self.accepted = false;
        let before = self.slowed.map_or_else(|| self.limit.unwrap_or_else(|| self.seen()), |slowed| slowed.rate);
        let peak = self.slowed.map_or(before, |slowed| slowed.peak);
        let rate = (before / 2).max(1);
        let until = now + pause;
        self.slowed = Some(Slowed { rate, peak, until, pause, grows: until + SECOND });
        self.pace_at(rate);
        until
    }

    /// What was sent a moment ago counts at the new rate too.
    fn pace_at(&mut self, rate: u32) {
        match &mut self.pace {
            Some(pace) => pace.change(rate),
            None => self.pace = Some(Pace::behind_another(rate)),
        }
    }

    /// Whether the SMSC's throttling still slows us.
    #[cfg(test)]
    fn is_slowed(&self) -> bool {
        self.slowed.is_some()
    }

    fn grow(&mut self, slowed: Slowed, now: Instant) {
        if now < slowed.grows {
            return;
        }
        let seconds = u32::try_from((now - slowed.grows).as_secs()).unwrap_or(u32::MAX).saturating_add(1);
        let step = (slowed.peak / 10).max(1);
        let rate = slowed.rate.saturating_add(step.saturating_mul(seconds));
        // Without a limit nobody knows what is too much: twice the rate that was is tried before it is let go.
        let enough = self.limit.unwrap_or_else(|| slowed.peak.saturating_mul(2));
        if rate < enough {
            self.slowed = Some(Slowed { rate, grows: slowed.grows + SECOND * seconds, ..slowed });
            self.pace_at(rate);
        } else {
            self.slowed = None;
            match self.limit {
                Some(limit) => self.pace_at(limit),
                None => self.pace = None,
            }
        }
    }

    fn count(&mut self, now: Instant) {
        let (began, present, _) = self.second;
        let age = now - began;
        self.second = match age {
            _ if age < SECOND => (began, present.saturating_add(1), self.second.2),
            _ if age < SECOND * 2 => (began + SECOND, 1, present),
            _ => (now, 1, 0),
        };
    }

    /// What was sent in the busier of the last two seconds; at least one.
    fn seen(&self) -> u32 {
        self.second.1.max(self.second.2).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sent_in(tempo: &mut Tempo, time: Duration) -> u32 {
        let end = Instant::now() + time;
        let mut sent = 0;
        while Instant::now() < end {
            match tempo.take() {
                Ok(()) => sent += 1,
                Err(at) => tokio::time::sleep_until(at.min(end)).await,
            }
        }
        sent
    }

    #[tokio::test(start_paused = true)]
    async fn each_wave_halves_the_rate_and_doubles_the_pause_up_to_eight_seconds() {
        let mut tempo = Tempo::new(Some(100));
        let mut pauses = Vec::new();
        for _ in 0..5 {
            while let Err(at) = tempo.take() {
                tokio::time::sleep_until(at).await;
            }
            let written = Instant::now();
            tempo.throttled(written, Whose::All);
            tempo.throttled(written, Whose::All);
            let until = tempo.take().expect_err("paused");
            pauses.push((until - Instant::now()).as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 8], "a second answer of the same wave changes nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_be_of_one_phone_alone_makes_no_wave_deeper_while_others_are_taken() {
        let mut tempo = Tempo::new(Some(100));
        let mut pauses = Vec::new();
        for is_taken in [true, true, true, false] {
            while let Err(at) = tempo.take() {
                tokio::time::sleep_until(at).await;
            }
            if is_taken {
                tempo.accepted();
            }
            tempo.throttled(Instant::now(), Whose::Perhaps);
            pauses.push((tempo.take().expect_err("paused") - Instant::now()).as_secs());
        }
        assert_eq!(pauses, [1, 1, 1, 2], "the last of them may be of all");
    }

    #[tokio::test(start_paused = true)]
    async fn it_recovers_by_a_tenth_a_second_and_never_exceeds_the_limit() {
        let mut tempo = Tempo::new(Some(100));
        tempo.take().expect("free");
        tempo.throttled(Instant::now(), Whose::All);
        assert_eq!(sent_in(&mut tempo, Duration::from_secs(1)).await, 0, "the pause");
        let first = sent_in(&mut tempo, Duration::from_secs(1)).await;
        assert!((48..=52).contains(&first), "half: {first}");
        let later = sent_in(&mut tempo, Duration::from_secs(3)).await;
        assert!((190..=225).contains(&later), "60, 70, 80: {later}");
        sent_in(&mut tempo, Duration::from_secs(2)).await;
        assert!(!tempo.is_slowed());
        let whole = sent_in(&mut tempo, Duration::from_secs(1)).await;
        assert!((95..=100).contains(&whole), "{whole}");
    }

    /// What is sent in a minute by somebody who wakes `late`, with a message thrown back at second 5 or without.
    async fn sent_in_a_minute(late: Duration, mut throttles: bool) -> u32 {
        let (mut tempo, begin, mut sent) = (Tempo::new(Some(100)), Instant::now(), 0);
        while begin.elapsed() < SECOND * 60 {
            if begin.elapsed() >= SECOND * 5 && std::mem::take(&mut throttles) {
                tempo.throttled(Instant::now(), Whose::All);
            }
            match tempo.take() {
                Ok(()) => sent += 1,
                Err(at) => tokio::time::sleep_until(at + late).await,
            }
        }
        sent
    }

    #[tokio::test(start_paused = true)]
    async fn one_throttled_answer_costs_no_more_than_four_seconds_of_a_minute() {
        for late_ms in [0, 1, 30, 90] {
            let late = Duration::from_millis(late_ms);
            let (whole, throttled) = (sent_in_a_minute(late, false).await, sent_in_a_minute(late, true).await);
            assert!(late_ms > 30 || throttled >= 5_400, "{late_ms} ms late: {throttled}");
            assert!(throttled + 400 >= whole, "{late_ms} ms late: {throttled} of {whole}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slowed_session_never_exceeds_a_small_limit() {
        for limit in [1, 2, 3] {
            let (mut tempo, mut second) = (Tempo::new(Some(limit)), std::collections::VecDeque::new());
            for round in 0..200 {
                if round % 20 == 10 {
                    tempo.throttled(Instant::now(), Whose::All);
                }
                while let Err(at) = tempo.take() {
                    tokio::time::sleep_until(at).await;
                }
                let now = Instant::now();
                while second.pop_front_if(|at| now.duration_since(*at) >= SECOND).is_some() {}
                second.push_back(now);
                assert!(second.len() <= limit as usize, "{limit}/s after {round}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_the_rate_that_was_is_halved() {
        let mut tempo = Tempo::new(None);
        for _ in 0..40 {
            tempo.take().expect("no limit");
        }
        tempo.throttled(Instant::now(), Whose::All);
        tokio::time::advance(Duration::from_secs(1)).await;
        let first = sent_in(&mut tempo, Duration::from_secs(1)).await;
        assert!((18..=21).contains(&first), "{first}");
        tokio::time::advance(Duration::from_secs(30)).await;
        tempo.take().expect("free again");
        assert!(!tempo.is_slowed());
    }
}
