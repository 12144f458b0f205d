//! How fast jobs leave: what the places of a queue are counted by.
//!
//! A link takes no more than its rate allows, and no more than its window lets through while attempts keep their places in
//! it. The second is measured, so that a provider who answers slowly is promised little before it is given too much.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long an attempt is taken to keep its place before any has told.
const HELD_AT_FIRST: Duration = Duration::from_millis(500);
/// Each attempt moves the mean by one part in so many.
const WEIGHT: u64 = 8;

/// Jobs that leave in a thousand seconds: many queues may share a link that takes a few in a second.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct Speed(u64);

impl Speed {
    pub(super) const fn per_second(jobs: u32) -> Self {
        Self(jobs as u64 * 1_000)
    }

    /// Of a window of `places`, each of which an attempt keeps for `held`.
    pub(super) fn of_window(places: usize, held: Duration) -> Self {
        let places = u64::try_from(places).unwrap_or(u64::MAX);
        Self(places.saturating_mul(1_000_000_000) / micros(held).max(1))
    }

    /// What is left of it to each of `queues`.
    pub(super) fn shared_by(self, queues: u32) -> Self {
        Self(self.0 / u64::from(queues.max(1)))
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    pub(super) const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// How long `jobs` need to leave.
    pub(super) fn needs(self, jobs: u64) -> Duration {
        Duration::from_micros(jobs.saturating_mul(1_000_000_000) / self.0.max(1))
    }

    /// How many jobs leave `within` so long, in hundredths.
    pub(super) fn hundredths(self, within: Duration) -> u64 {
        let jobs = u128::from(self.0).saturating_mul(within.as_millis()) / 10_000;
        u64::try_from(jobs).unwrap_or(u64::MAX)
    }

    pub(super) const fn to_number(self) -> u64 {
        self.0
    }

    pub(super) const fn from_number(number: u64) -> Self {
        Self(number)
    }
}

/// How long attempts of late kept their places in a window, on the mean. Two that tell at once may lose one's word.
#[derive(Debug)]
pub(super) struct Held(AtomicU64);

impl Default for Held {
    fn default() -> Self {
        Self(AtomicU64::new(micros(HELD_AT_FIRST)))
    }
}

impl Held {
    /// An attempt kept its place for `held`.
    pub(super) fn heard(&self, held: Duration) {
        let mean = self.0.load(Ordering::Relaxed);
        let (more, less) = (micros(held).saturating_sub(mean), mean.saturating_sub(micros(held)));
        // Rounded up: a mean comes down to what it is the mean of.
        self.0.store((mean + more.div_ceil(WEIGHT)).saturating_sub(less.div_ceil(WEIGHT)), Ordering::Relaxed);
    }

    pub(super) fn mean(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_as_fast_as_its_places_come_free_and_shares_add_up() {
        let window = Speed::of_window(32, Duration::from_millis(300));
        assert_eq!(window.hundredths(Duration::from_secs(5)), 53_333);
        assert_eq!(Speed::per_second(100).needs(30), Duration::from_millis(300));
        assert_eq!(Speed::per_second(5).shared_by(8).hundredths(Duration::from_secs(5)), 312);
        let half = Speed::per_second(10).shared_by(2);
        assert_eq!(half.and(half), Speed::per_second(10));
        // Nothing divides by zero, nothing overflows.
        assert_eq!(Speed::default().needs(0), Duration::ZERO);
        assert!(Speed::default().is_zero() && Speed::default().needs(1) > Duration::from_secs(900));
        let most = Speed::of_window(usize::MAX, Duration::ZERO);
        assert_eq!((most.and(most), most.hundredths(Duration::MAX)), (most, u64::MAX));
    }

    #[test]
    fn the_mean_follows_what_it_hears_up_and_down() {
        let held = Held::default();
        assert_eq!(held.mean(), HELD_AT_FIRST);
        (0..100).for_each(|_| held.heard(Duration::from_millis(2)));
        assert_eq!(held.mean(), Duration::from_millis(2));
        (0..100).for_each(|_| held.heard(Duration::ZERO));
        assert_eq!(held.mean(), Duration::ZERO);
        (0..100).for_each(|_| held.heard(Duration::from_secs(1)));
        assert_eq!(held.mean(), Duration::from_secs(1));
    }
}
