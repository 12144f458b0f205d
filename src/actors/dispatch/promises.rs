//! What a queue has promised: every job that was given a place leaves in time.
//!
//! The places of a lane are so many that jobs which leave in the order of their arrival are all in time. Turns between
//! accounts let younger jobs overtake older ones. It tells when no job may be overtaken any more, or one would be late.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::speed::Speed;

/// The time in which a job must leave is told apart in so many steps.
const STEPS: u32 = 50;

/// How many jobs must leave by when.
#[derive(Debug)]
pub(super) struct Promises {
    /// Jobs that must leave between `origin` and one step later, and so on. What is overdue is in the first.
    due: VecDeque<u32>,
    origin: Instant,
    step: Duration,
    /// All that are counted.
    jobs: u64,
}

impl Promises {
    /// Of jobs that leave within `within` of their arrival.
    pub(super) fn new(within: Duration) -> Self {
        let step = (within / STEPS).max(Duration::from_millis(1));
        Self { due: VecDeque::new(), origin: Instant::now(), step, jobs: 0 }
    }

    pub(super) fn add(&mut self, leave_by: Instant) {
        if self.jobs == 0 {
            // Steps that went by while there was nothing to count are not made up for.
            self.due.clear();
            self.origin = self.origin.max(Instant::now());
        }
        let at = self.at(leave_by);
        if self.due.len() <= at {
            self.due.resize(at + 1, 0);
        }
        self.due[at] += 1;
        self.jobs += 1;
    }

    pub(super) fn remove(&mut self, leave_by: Instant) {
        let at = self.at(leave_by);
        if let Some(count) = self.due.get_mut(at).filter(|count| **count > 0) {
            *count -= 1;
            self.jobs -= 1;
        }
    }

    /// Time that is over takes no room.
    pub(super) fn pass(&mut self, now: Instant) {
        while self.due.front() == Some(&0) && self.origin + self.step <= now {
            self.due.pop_front();
            self.origin += self.step;
        }
    }

    /// Whether the oldest job must be next, where jobs leave at `speed`. One step is kept in hand.
    pub(super) fn pressing(&self, now: Instant, speed: Speed) -> bool {
        let in_hand = now + self.step;
        let Some(first) = self.due.iter().zip(0..).find_map(|(count, steps)| (*count > 0).then_some(steps)) else {
            return false;
        };
        // Mostly all of them are in time for the first.
        let mut by = self.origin + self.step * first;
        if in_hand + speed.needs(self.jobs) <= by {
            return false;
        }
        let mut ahead = 0;
        for count in self.due.iter().skip(usize::try_from(first).unwrap_or(usize::MAX)) {
            ahead += u64::from(*count);
            if *count > 0 && in_hand + speed.needs(ahead) > by {
                return true;
            }
            by += self.step;
        }
        false
    }

    fn at(&self, leave_by: Instant) -> usize {
        let steps = leave_by.saturating_duration_since(self.origin).as_nanos() / self.step.as_nanos();
        usize::try_from(steps).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn pressing(promises: &mut Promises, now: Instant) -> bool {
        promises.pass(now);
        promises.pressing(now, Speed::per_second(100))
    }

    #[tokio::test(start_paused = true)]
    async fn it_presses_when_what_is_ahead_of_a_job_takes_up_its_time() {
        let now = Instant::now();
        let mut promises = Promises::new(SECOND * 5);
        for _ in 0..400 {
            promises.add(now + SECOND * 5);
        }
        assert!(!pressing(&mut promises, now), "four seconds of work, five to do it in");
        assert!(!pressing(&mut promises, now + Duration::from_millis(800)));
        assert!(pressing(&mut promises, now + SECOND));
        promises.add(now + SECOND * 3);
        assert!(!pressing(&mut promises, now + Duration::from_millis(500)), "one more, earlier");
        (0..401).for_each(|_| promises.add(now + SECOND * 3));
        assert!(pressing(&mut promises, now), "what is due in three seconds needs four");
        (0..402).for_each(|_| promises.remove(now + SECOND * 3));
        (0..400).for_each(|_| promises.remove(now + SECOND * 5));
        assert!(!pressing(&mut promises, now + SECOND * 9));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_overdue_presses_until_it_is_gone() {
        let now = Instant::now();
        let mut promises = Promises::new(SECOND * 5);
        promises.add(now + SECOND);
        assert!(pressing(&mut promises, now + SECOND * 7));
        promises.add(now + SECOND * 12);
        promises.remove(now + SECOND);
        assert!(!pressing(&mut promises, now + SECOND * 8));
        assert!(promises.due.len() <= 50, "time that is over takes no room");
        promises.remove(now + SECOND * 12);
        assert_eq!(promises.due.iter().sum::<u32>(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn how_fast_jobs_leave_is_looked_at_each_time() {
        let now = Instant::now();
        let mut promises = Promises::new(SECOND * 5);
        (0..400).for_each(|_| promises.add(now + SECOND * 5));
        assert!(!promises.pressing(now, Speed::per_second(100)));
        assert!(promises.pressing(now, Speed::per_second(50)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_month_without_a_job_takes_no_room() {
        let mut promises = Promises::new(SECOND * 5);
        for _ in 0..2 {
            tokio::time::advance(SECOND * 2_592_000).await;
            promises.add(Instant::now() + SECOND * 5);
            assert!(promises.due.len() <= 51, "{}", promises.due.len());
            promises.remove(Instant::now() + SECOND * 5);
        }
        assert_eq!(promises.jobs, 0);
    }
}
