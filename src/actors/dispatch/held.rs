//! Jobs whose phone may not be called yet, by the instant from which it may.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use tokio::time::Instant;

use super::ending::Owed;

/// The earliest first; of the same instant, the one that came first.
#[derive(Default)]
pub(super) struct HeldJobs {
    jobs: BinaryHeap<Reverse<Held>>,
    arrivals: u64,
}

/// A job whose phone may not be called yet.
struct Held {
    until: Instant,
    arrival: u64,
    owed: Owed,
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Held {}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Held {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl Held {
    fn key(&self) -> (Instant, u64) {
        (self.until, self.arrival)
    }
}

impl HeldJobs {
    pub(super) fn hold(&mut self, until: Instant, owed: Owed) {
        self.arrivals += 1;
        self.jobs.push(Reverse(Held { until, arrival: self.arrivals, owed }));
    }

    /// The next job whose phone may be called by `now`.
    pub(super) fn due(&mut self, now: Instant) -> Option<Owed> {
        self.next().filter(|until| *until <= now)?;
        self.jobs.pop().map(|Reverse(held)| held.owed)
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.jobs.peek().map(|Reverse(held)| held.until)
    }

    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = Owed> {
        self.jobs.drain().map(|Reverse(held)| held.owed)
    }
}
