//! What a queue has promised: every job that was given a place leaves in time.
//!
//! The places of a lane are so many that jobs which leave in the order of their arrival are all in time. Turns between
//! accounts let younger jobs overtake older ones. It tells when no job may be overtaken any more, or one would be late.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The time in which a job must leave is told apart in so many steps.
const STEPS: u32 = 50;

/// How many jobs must leave by when, over links of a known rate.
#[derive(Debug)]
pub(super) struct Promises {
    /// Jobs that must leave between `origin` and one step later, and so on. What is overdue is in the first.
    due: VecDeque<u32>,
    origin: Instant,
    step: Duration,
    /// Without a rate nobody knows what is in time.
    per_second: Option<u32>,
}

impl Promises {
    /// Of jobs that leave within `within` of their arrival.
    pub(super) fn new(within: Duration, per_second: Option<u32>) -> Self {
        let step = (within / STEPS).max(Duration::from_millis(1));
        Self { due: VecDeque::new(), origin: Instant::now(), step, per_second }
    }

    pub(super) fn add(&mut self, leave_by: Instant) {
        if self.per_second.is_some() {
            let at = self.at(leave_by);
            if self.due.len() <= at {
                self.due.resize(at + 1, 0);
            }
            self.due[at] += 1;
        }
    }

    pub(super) fn remove(&mut self, leave_by: Instant) {
        let at = self.at(leave_by);
        if let Some(count) = self.due.get_mut(at) {
            *count = count.saturating_sub(1);
        }
    }

    /// Whether the oldest job must be next. One step is kept in hand.
    pub(super) fn pressing(&mut self, now: Instant) -> bool {
        while self.due.front() == Some(&0) && self.origin + self.step <= now {
            self.due.pop_front();
            self.origin += self.step;
        }
        let Some(per_second) = self.per_second else { return false };
        let (mut ahead, mut by) = (0_u64, self.origin);
        for count in &self.due {
            ahead += u64::from(*count);
            let needs = Duration::from_micros(ahead * 1_000_000 / u64::from(per_second.max(1)));
            if *count > 0 && now + needs + self.step > by {
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

    #[tokio::test(start_paused = true)]
    async fn it_presses_when_what_is_ahead_of_a_job_takes_up_its_time() {
        let now = Instant::now();
        let mut promises = Promises::new(SECOND * 5, Some(100));
        for _ in 0..400 {
            promises.add(now + SECOND * 5);
        }
        assert!(!promises.pressing(now), "four seconds of work, five to do it in");
        assert!(!promises.pressing(now + Duration::from_millis(800)));
        assert!(promises.pressing(now + SECOND));
        promises.add(now + SECOND * 3);
        assert!(!promises.pressing(now + Duration::from_millis(500)), "one more, earlier");
        (0..401).for_each(|_| promises.add(now + SECOND * 3));
        assert!(promises.pressing(now), "what is due in three seconds needs four");
        (0..402).for_each(|_| promises.remove(now + SECOND * 3));
        (0..400).for_each(|_| promises.remove(now + SECOND * 5));
        assert!(!promises.pressing(now + SECOND * 9));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_overdue_presses_until_it_is_gone() {
        let now = Instant::now();
        let mut promises = Promises::new(SECOND * 5, Some(100));
        promises.add(now + SECOND);
        assert!(promises.pressing(now + SECOND * 7));
        promises.add(now + SECOND * 12);
        promises.remove(now + SECOND);
        assert!(!promises.pressing(now + SECOND * 8));
        assert!(promises.due.len() <= 50, "time that is over takes no room");
        promises.remove(now + SECOND * 12);
        assert_eq!(promises.due.iter().sum::<u32>(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_it_never_presses() {
        let mut promises = Promises::new(SECOND, None);
        promises.add(Instant::now());
        promises.remove(Instant::now());
        assert!(!promises.pressing(Instant::now() + SECOND * 9));
    }
}
