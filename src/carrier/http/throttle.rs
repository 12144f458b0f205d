//! What a link does when its provider says "slower": all of it pauses, then goes on at half the rate, and finds its way back up.
//!
//! Additive increase, multiplicative decrease. An attempt keeps its place and waits here as long as it may still leave.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// The first pause where the provider names none; each one after it is twice as long.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(8);
/// The longest pause that a provider is believed.
const ASKED_MAX: Duration = Duration::from_secs(60);
/// Sendings in a second at least.
const RATE_MIN: f64 = 0.5;
const SECOND: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Throttle(Mutex<State>);

#[derive(Debug)]
struct State {
    paused_until: Instant,
    next_pause: Duration,
    /// Since the last decrease; what was sent before it says nothing new.
    slowed_at: Option<Instant>,
    limit: Option<Limit>,
    second: Second,
}

#[derive(Clone, Copy, Debug)]
struct Limit {
    per_second: f64,
    /// What was sent before the first "slower": from there on there is no limit.
    ceiling: f64,
    next: Instant,
}

/// Sendings of this second and the last.
#[derive(Debug)]
struct Second {
    began: Instant,
    count: u32,
    before: u32,
}

impl Throttle {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self(Mutex::new(State {
            paused_until: now,
            next_pause: PAUSE,
            slowed_at: None,
            limit: None,
            second: Second { began: now, count: 0, before: 0 },
        }))
    }

    /// Waits for the next place; `false` if there is none until `leave_by`.
    pub(super) async fn pass(&self, leave_by: Instant) -> bool {
        loop {
            let now = Instant::now();
            let (wait, is_pause) = self.state().reserve(now, leave_by);
            if wait > leave_by {
                return false;
            }
            if wait > now {
                sleep_until(wait).await;
            }
            if !is_pause {
                return true;
            }
        }
    }

    /// The provider has thrown back what was sent at `sent_at`, and asks for a pause perhaps.
    pub(super) fn slow_down(&self, sent_at: Instant, asked: Option<Duration>) {
        let mut state = self.state();
        let now = Instant::now();
        if let Some(asked) = asked {
            state.paused_until = state.paused_until.max(now + asked.min(ASKED_MAX));
        }
        if state.slowed_at.is_some_and(|slowed_at| sent_at <= slowed_at) {
            return;
        }
        let before = state.limit.map_or_else(|| state.second.rate(now), |limit| limit.per_second);
        let ceiling = state.limit.map_or(before, |limit| limit.ceiling);
        let pause = asked.map_or(state.next_pause, |asked| asked.min(ASKED_MAX));
        state.paused_until = state.paused_until.max(now + pause);
        state.next_pause = (state.next_pause * 2).min(PAUSE_MAX);
        state.slowed_at = Some(now);
        state.limit = Some(Limit { per_second: (before / 2.0).max(RATE_MIN), ceiling, next: state.paused_until });
    }

    /// The provider took one.
    pub(super) fn went_well(&self) {
        let mut state = self.state();
        state.next_pause = PAUSE;
        if let Some(limit) = &mut state.limit {
            // About one more in a second for each second that goes well.
            limit.per_second += 1.0 / limit.per_second.max(1.0);
            if limit.per_second >= limit.ceiling {
                state.limit = None;
            }
        }
    }

    /// Whether nothing pauses now.
    #[cfg(test)]
    pub(super) fn is_free(&self) -> bool {
        self.state().paused_until <= Instant::now()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// When the next place is, which is taken unless it is too late; or the end of a pause, after which to ask again.
    fn reserve(&mut self, now: Instant, leave_by: Instant) -> (Instant, bool) {
        if self.paused_until > now {
            return (self.paused_until, true);
        }
        let place = self.limit.map_or(now, |limit| limit.next.max(now));
        if place <= leave_by {
            self.second.count(now);
            if let Some(limit) = &mut self.limit {
                limit.next = place + Duration::from_secs_f64(1.0 / limit.per_second);
            }
        }
        (place, false)
    }
}

impl Second {
    fn count(&mut self, now: Instant) {
        self.turn(now);
        self.count = self.count.saturating_add(1);
    }

    fn turn(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.began);
        if elapsed >= SECOND {
            self.before = if elapsed < SECOND * 2 { self.count } else { 0 };
            (self.began, self.count) = (now, 0);
        }
    }

    fn rate(&mut self, now: Instant) -> f64 {
        self.turn(now);
        f64::from(self.count.max(self.before).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn passes(throttle: &Throttle, count: usize) -> f64 {
        let started = Instant::now();
        for _ in 0..count {
            assert!(throttle.pass(started + Duration::from_secs(600)).await);
        }
        started.elapsed().as_secs_f64()
    }

    #[tokio::test(start_paused = true)]
    async fn all_of_it_pauses_then_goes_on_at_half_the_rate_and_back_up() {
        let throttle = Throttle::new();
        assert_eq!(passes(&throttle, 100).await, 0.0);
        throttle.slow_down(Instant::now(), None);
        let took = passes(&throttle, 51).await;
        assert!((1.9..2.2).contains(&took), "a second's pause, then 50 a second: {took}");
        for _ in 0..5_000 {
            throttle.went_well();
        }
        assert_eq!(passes(&throttle, 1_000).await, 0.0, "no limit is left");
    }

    #[tokio::test(start_paused = true)]
    async fn many_that_are_thrown_back_at_once_count_as_one() {
        let throttle = Throttle::new();
        passes(&throttle, 64).await;
        let sent_at = Instant::now();
        tokio::time::advance(Duration::from_millis(100)).await;
        for _ in 0..64 {
            throttle.slow_down(sent_at, None);
        }
        let took = passes(&throttle, 32).await;
        assert!((1.8..2.2).contains(&took), "{took}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_that_is_too_late_is_not_taken_and_a_pause_is_not_believed_without_end() {
        let throttle = Throttle::new();
        throttle.slow_down(Instant::now(), Some(Duration::from_secs(100_000)));
        assert!(!throttle.pass(Instant::now() + Duration::from_secs(59)).await);
        let started = Instant::now();
        assert!(throttle.pass(started + Duration::from_secs(61)).await);
        assert_eq!(started.elapsed().as_secs(), 60);
    }
}
