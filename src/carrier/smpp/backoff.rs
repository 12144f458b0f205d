//! How long a session waits before it tries again.

use std::time::Duration;

use crate::config::millis;
use crate::config::upstreams::smpp::SmppConfig;

/// The longest wait after an answer that the account is wrong.
const REFUSED_MAX: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub(super) struct Backoff {
    min: Duration,
    max: Duration,
    refused_min: Duration,
    next: Duration,
    next_refused: Duration,
}

impl Backoff {
    pub(super) fn new(config: &SmppConfig) -> Self {
        let (min, max) = (millis(config.reconnect_min_ms), millis(config.reconnect_max_ms));
        let refused_min = millis(config.refused_wait_ms);
        Self { min, max, refused_min, next: min, next_refused: refused_min }
    }

    /// A session was bound and held for a while.
    pub(super) fn reset(&mut self) {
        self.next = self.min;
        self.next_refused = self.refused_min;
    }

    /// The wait after a connection that failed or ended; `dice` is 0 to 1 and shortens it by up to a half, so that the
    /// sessions of many nodes do not come back at once.
    pub(super) fn after_failure(&mut self, dice: f64) -> Duration {
        let wait = self.next;
        self.next = (self.next * 2).min(self.max);
        wait.mul_f64(1.0 - 0.5 * dice.clamp(0.0, 1.0))
    }

    /// The wait after an answer that the account is wrong: never shorter than it says, and up to a tenth longer.
    pub(super) fn after_refusal(&mut self, dice: f64) -> Duration {
        let wait = self.next_refused;
        self.next_refused = (self.next_refused * 2).min(REFUSED_MAX);
        wait.mul_f64(1.0 + 0.1 * dice.clamp(0.0, 1.0)).min(REFUSED_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::carrier::smpp::samples::config;

    #[test]
    fn failures_double_the_wait_and_a_wrong_account_is_never_hammered() {
        let mut backoff = Backoff::new(&config("reconnect_min_ms = 500\nreconnect_max_ms = 3000"));
        let waits: Vec<u128> = (0..5).map(|_| backoff.after_failure(0.0).as_millis()).collect();
        assert_eq!(waits, [500, 1_000, 2_000, 3_000, 3_000]);
        assert_eq!(backoff.after_failure(1.0).as_millis(), 1_500, "half at most");
        let refused: Vec<u64> = (0..4).map(|_| backoff.after_refusal(1.0).as_secs()).collect();
        assert_eq!(refused, [66, 132, 264, 300]);
        backoff.reset();
        assert_eq!((backoff.after_failure(0.0).as_millis(), backoff.after_refusal(0.0).as_secs()), (500, 60));
    }
}
