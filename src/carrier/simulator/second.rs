//! The simulated carrier's own limit: how many attempts it takes in any second. The judge of whoever paces.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

/// The attempts of the last second, exactly.
#[derive(Debug)]
pub(super) struct Second {
    limit: usize,
    taken: Mutex<VecDeque<Instant>>,
}

impl Second {
    /// At most `limit` in any second; zero is no limit.
    pub(super) fn new(limit: u32) -> Self {
        Self { limit: usize::try_from(limit).unwrap_or(usize::MAX), taken: Mutex::default() }
    }

    /// Counts an attempt if the limit has room for it.
    pub(super) fn allows(&self, now: Instant) -> bool {
        if self.limit == 0 {
            return true;
        }
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        while taken.pop_front_if(|at| now.saturating_duration_since(*at) >= SECOND).is_some() {}
        let allowed = taken.len() < self.limit;
        if allowed {
            taken.push_back(now);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_second_counts_not_only_whole_ones() {
        let (second, start) = (Second::new(2), Instant::now());
        let at = |ms| second.allows(start + Duration::from_millis(ms));
        assert_eq!([0, 900, 950, 999, 1_000, 1_001, 1_900].map(at), [true, true, false, false, true, false, true]);
        assert!((0..1_000).all(|_| Second::new(0).allows(start)));
    }
}
