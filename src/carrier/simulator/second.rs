//! The simulated carrier's own limit: how many attempts it takes in any second. The judge of whoever paces.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

/// The attempts of the last second, exactly.
#[derive(Debug)]
pub struct Second {
    limit: Option<usize>,
    taken: Mutex<VecDeque<Instant>>,
}

impl Second {
    /// At most `limit` in any second.
    #[must_use]
    pub fn new(limit: Option<NonZeroU32>) -> Self {
        let limit = limit.map(|limit| usize::try_from(limit.get()).unwrap_or(usize::MAX));
        Self { limit, taken: Mutex::default() }
    }

    /// Counts an attempt if the limit has room for it.
    #[must_use]
    pub fn allows(&self, now: Instant) -> bool {
        let Some(limit) = self.limit else {
            return true;
        };
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        while taken.pop_front_if(|at| now.saturating_duration_since(*at) >= SECOND).is_some() {}
        let allowed = taken.len() < limit;
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
        let (second, start) = (Second::new(NonZeroU32::new(2)), Instant::now());
        let at = |ms| second.allows(start + Duration::from_millis(ms));
        assert_eq!([0, 900, 950, 999, 1_000, 1_001, 1_900].map(at), [true, true, false, false, true, false, true]);
        let unlimited = Second::new(None);
        assert!((0..1_000).all(|_| unlimited.allows(start)));
    }
}
