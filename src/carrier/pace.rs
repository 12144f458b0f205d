//! The pace of one link: no second of wire time ever sees more dispatches than the carrier allows.
//!
//! `governor` keeps the schedule (GCRA). Timers fire up to two milliseconds late, so a small burst catches up; what the
//! burst could add to a second is taken off the rate.

use std::fmt;
use std::num::NonZeroU32;
use std::ops::Add;
use std::time::Duration;

use governor::clock::{Clock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

/// A burst is what is due in this long.
const CATCH_UP: Duration = Duration::from_millis(20);

/// A schedule of permits. It outlives restarts of the queue that it paces.
pub(crate) struct Pace {
    limiter: RateLimiter<NotKeyed, InMemoryState, Monotonic, NoOpMiddleware<At>>,
    per_second: u32,
    burst: u32,
}

impl fmt::Debug for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pace({}/s)", self.per_second)
    }
}

impl Pace {
    /// At most `limit` permits in any second; zero is taken as one.
    pub(crate) fn new(limit: u32) -> Self {
        let limit = limit.max(1);
        let catch_up_ms = u64::try_from(CATCH_UP.as_millis()).unwrap_or(0);
        let burst = u32::try_from(u64::from(limit) * catch_up_ms / 1_000).unwrap_or(1).max(1);
        let per_second = limit - (burst - 1);
        // Rounded up: a permit that comes a nanosecond late breaks no limit.
        let spacing = Duration::from_nanos(1_000_000_000_u64.div_ceil(u64::from(per_second)));
        let burst_max = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(spacing).unwrap_or(Quota::per_second(NonZeroU32::MIN)).allow_burst(burst_max);
        Self { limiter: RateLimiter::direct_with_clock(quota, Monotonic), per_second, burst }
    }

    /// The permits that may be taken at once.
    pub(crate) fn burst(&self) -> u32 {
        self.burst
    }

    /// The permits of one second.
    pub(crate) fn per_second(&self) -> u32 {
        self.per_second
    }

    /// Takes a permit.
    ///
    /// # Errors
    /// When the next one is due.
    pub(crate) fn take(&self) -> Result<(), Instant> {
        self.limiter.check().map_err(|later| later.earliest_possible().0)
    }
}

/// tokio's clock, so that paused tests pace in their own time.
#[derive(Clone, Copy, Debug)]
struct Monotonic;

impl Clock for Monotonic {
    type Instant = At;

    fn now(&self) -> At {
        At(Instant::now())
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct At(Instant);

impl Add<Nanos> for At {
    type Output = Self;

    fn add(self, nanos: Nanos) -> Self {
        Self(self.0 + Duration::from(nanos))
    }
}

impl Reference for At {
    fn duration_since(&self, earlier: Self) -> Nanos {
        self.0.saturating_duration_since(earlier.0).into()
    }

    fn saturating_sub(&self, duration: Nanos) -> Self {
        Self(self.0.checked_sub(duration.into()).unwrap_or(self.0))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Takes every permit for `secs` seconds, looking each `tick`; returns how many, and fails if a second saw too many.
    async fn run(limit: u32, tick: Duration, secs: u64) -> u32 {
        let pace = Pace::new(limit);
        let end = Instant::now() + Duration::from_secs(secs);
        let (mut taken, mut second) = (0, VecDeque::new());
        while Instant::now() < end {
            while pace.take().is_ok() {
                let now = Instant::now();
                second.push_back(now);
                while second.front().is_some_and(|at| now.duration_since(*at) >= Duration::from_secs(1)) {
                    second.pop_front();
                }
                assert!(second.len() <= usize::try_from(limit).expect("small"), "{limit}/s is exceeded");
                taken += 1;
            }
            tokio::time::advance(tick).await;
        }
        taken
    }

    #[tokio::test(start_paused = true)]
    async fn no_second_sees_more_than_the_limit_and_late_timers_cost_little() {
        for (limit, at_least) in [(1, 10), (3, 29), (50, 470), (100, 950), (1_000, 9_500), (5_000, 48_000)] {
            for tick_us in [500, 1_700] {
                let taken = run(limit, Duration::from_micros(tick_us), 10).await;
                assert!(taken >= at_least, "{limit}/s with a tick of {tick_us} µs: {taken}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn says_exactly_when_the_next_permit_is_due() {
        let pace = Pace::new(10);
        assert_eq!(pace.take(), Ok(()));
        assert_eq!(pace.take(), Err(Instant::now() + Duration::from_millis(100)));
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!(pace.take(), Ok(()));
    }
}
