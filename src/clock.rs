//! Floor 1: time. The only place that reads the wall clock.
//!
//! Decisions use the *database's* clock: a transaction reads it, or [`DatabaseClock`] estimates it between transactions
//! from the last one seen and the monotonic clock, so that a node whose wall clock is wrong still makes ids and settle
//! times that agree with its rows. [`wall_now`] is for logs, the skew check and audit rows only.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::time::{Timestamp, duration_micros};

/// Further than this from the estimate, the database's clock itself was set: it is believed at once.
const STEP: Duration = Duration::from_secs(1);
/// How much of a smaller lag is believed at each observation: an answer that was slow to come says little.
const LAG_DIVISOR: i64 = 64;

/// The database's clock as this node last saw it. Cheap to clone and lock-free; all clones share what they observe.
#[derive(Clone, Debug)]
pub struct DatabaseClock {
    started: Instant,
    /// Database microseconds at `started`.
    offset_us: Arc<AtomicI64>,
}

impl DatabaseClock {
    /// A clock that shows `now` now.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { started: Instant::now(), offset_us: Arc::new(AtomicI64::new(now.micros())) }
    }

    /// The database's time now, as well as it can be told from here.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let offset_us = self.offset_us.load(Ordering::Relaxed);
        Timestamp::from_micros(offset_us.saturating_add(self.elapsed_us()))
    }

    /// Learns from a time that a transaction just read. What was read is older than now by the way back, so a later one
    /// is believed at once and an earlier one a little; a step of more than a second is believed either way.
    pub fn observe(&self, seen: Timestamp) {
        let candidate_us = seen.micros().saturating_sub(self.elapsed_us());
        let learn = |offset_us: i64| {
            let behind_us = offset_us.saturating_sub(candidate_us);
            let stepped = behind_us > duration_micros(STEP);
            Some(if behind_us <= 0 || stepped { candidate_us } else { offset_us - behind_us / LAG_DIVISOR })
        };
        let _ = self.offset_us.fetch_update(Ordering::Relaxed, Ordering::Relaxed, learn);
    }

    fn elapsed_us(&self) -> i64 {
        duration_micros(self.started.elapsed())
    }
}

/// This node's wall clock: for logs, the skew check and audit rows, never for a decision.
#[must_use]
pub fn wall_now() -> Timestamp {
    #[allow(clippy::disallowed_methods, reason = "this is the place")]
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(duration_micros(since_epoch))
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    #[tokio::test(start_paused = true)]
    async fn runs_with_the_monotonic_clock_and_believes_what_is_later() {
        let clock = DatabaseClock::new(START);
        tokio::time::advance(Duration::from_millis(250)).await;
        assert_eq!(clock.now(), START.plus(Duration::from_millis(250)));
        let other = clock.clone();
        other.observe(START.plus(Duration::from_millis(300)));
        assert_eq!(clock.now(), START.plus(Duration::from_millis(300)), "clones share what they observe");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_answer_hardly_moves_it_and_a_step_does() {
        let clock = DatabaseClock::new(START);
        clock.observe(START.minus(Duration::from_millis(640)));
        assert_eq!(clock.now(), START.minus(Duration::from_millis(10)));
        clock.observe(START.minus(Duration::from_secs(3_600)));
        assert_eq!(clock.now(), START.minus(Duration::from_secs(3_600)));
    }

    #[tokio::test(start_paused = true)]
    async fn many_observations_converge_on_a_clock_that_runs_slower() {
        let clock = DatabaseClock::new(START);
        for _ in 0..1_000 {
            clock.observe(START.minus(Duration::from_millis(900)));
        }
        assert!(clock.now().since(START.minus(Duration::from_millis(900))) < Duration::from_millis(1));
    }
}
