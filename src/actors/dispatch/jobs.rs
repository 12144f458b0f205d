//! The jobs of one carrier that have not left: those whose phone must rest a little longer, and those whose turn comes.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::time::Duration;

use tokio::time::Instant;

use super::ending::Owed;
use super::fair::FairQueue;

/// Jobs that could not leave in time are settled this much later at most.
const EXPIRE_EVERY: Duration = Duration::from_millis(20);
/// How old the oldest job is, is looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Everything that waits. Dropping it settles it.
#[derive(Default)]
pub(super) struct Jobs {
    queue: FairQueue<Owed>,
    held: BinaryHeap<Reverse<Held>>,
    arrivals: u64,
    /// No queued job must leave earlier than this.
    look_at: Option<Instant>,
}

impl Jobs {
    pub(super) fn enqueue(&mut self, owed: Owed, now: Instant) {
        match owed.waiting().job.not_before {
            Some(until) if until > now => {
                self.arrivals += 1;
                self.held.push(Reverse(Held { until, arrival: self.arrivals, owed }));
            }
            _ => self.push(owed),
        }
    }

    /// Queues a job that may leave at once.
    pub(super) fn push(&mut self, owed: Owed) {
        let waiting = owed.waiting();
        self.look_at.get_or_insert(waiting.leave_by);
        self.queue.push(waiting.job.account, owed);
    }

    /// Queues the held jobs whose phone has rested.
    pub(super) fn release(&mut self, now: Instant) {
        while self.held.peek().is_some_and(|Reverse(held)| held.until <= now) {
            if let Some(Reverse(held)) = self.held.pop() {
                self.push(held.owed);
            }
        }
    }

    /// Who is next.
    pub(super) fn peek(&self) -> Option<&Owed> {
        self.queue.peek()
    }

    pub(super) fn pop(&mut self) -> Option<Owed> {
        self.queue.pop()
    }

    /// Takes out what can no longer leave in time, if it is time to look at all.
    pub(super) fn look(&mut self, now: Instant) -> Option<Vec<Owed>> {
        if self.queue.is_empty() {
            return self.look_at.take().map(|_| Vec::new());
        }
        if self.look_at.is_some_and(|look_at| look_at > now) {
            return None;
        }
        let over = self.queue.take_heads(|owed| owed.waiting().leave_by <= now);
        self.look_at = self.first_leave_by().map(|leave_by| leave_by.clamp(now + EXPIRE_EVERY, now + LOOK_EVERY));
        Some(over)
    }

    /// How long the oldest queued job waits by now.
    pub(super) fn oldest_age(&self, now: Instant, within: Duration) -> Duration {
        let age = |leave_by: Instant| within.saturating_sub(leave_by.saturating_duration_since(now));
        self.first_leave_by().map(age).unwrap_or_default()
    }

    /// When time alone changes something here.
    pub(super) fn next_look(&self) -> Option<Instant> {
        let held = self.held.peek().map(|Reverse(held)| held.until);
        [held, self.look_at].into_iter().flatten().min()
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len() + self.held.len()
    }

    pub(super) fn take_all(&mut self) -> Vec<Owed> {
        self.look_at = None;
        let held = self.held.drain().map(|Reverse(held)| held.owed);
        std::iter::from_fn(|| self.queue.pop()).chain(held).collect()
    }

    fn first_leave_by(&self) -> Option<Instant> {
        self.queue.heads().map(|owed| owed.waiting().leave_by).min()
    }
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
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Held {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl Held {
    fn key(&self) -> (Instant, u64) {
        (self.until, self.arrival)
    }
}
