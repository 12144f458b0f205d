//! The messages that wait for a session with a free place: one line for all sessions of a link.
//!
//! A message leaves the line in exactly one of three ways: a session takes it, its time to leave passes, or the line closes.
//! What stands here has certainly not reached the SMSC.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::carrier::upstream::{Attempt, FailureClass, Outcome};
use crate::domain::delivery::CarrierStatus;

/// One message and whoever waits for its outcome.
pub(super) struct Job {
    ticket: u64,
    pub(super) attempt: Attempt,
    /// The SMSC has thrown it back before, perhaps for its phone.
    pub(super) was_thrown_back: bool,
    reply: oneshot::Sender<Outcome>,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Job({:?})", self.attempt.delivery)
    }
}

impl Job {
    /// Whether somebody heard it: whoever waited may have given it up as ambiguous.
    pub(super) fn resolve(self, outcome: Outcome) -> bool {
        self.reply.send(outcome).is_ok()
    }

    pub(super) fn not_sent(self, why: &str) {
        let _heard = self.resolve(not_sent(why));
    }

    pub(super) fn ambiguous(self, why: &str) {
        let _heard = self.resolve(Outcome::Ambiguous { status: CarrierStatus::clean(why) });
    }
}

pub(super) fn not_sent(why: &str) -> Outcome {
    Outcome::NotSent { status: CarrierStatus::clean(why) }
}

/// The line; open while some session could take what stands in it.
#[derive(Debug)]
pub(super) struct Line {
    state: Mutex<State>,
    arrived: Notify,
    len_max: usize,
}

#[derive(Debug)]
struct State {
    jobs: VecDeque<Job>,
    next_ticket: u64,
    /// Why nothing is taken now.
    closed: Option<&'static str>,
    is_over: bool,
    /// Until then the SMSC wants nothing.
    held_until: Option<Instant>,
}

impl Line {
    pub(super) fn new(len_max: usize) -> Self {
        let state = State {
            jobs: VecDeque::new(),
            next_ticket: 0,
            closed: Some("link down"),
            is_over: false,
            held_until: None,
        };
        Self { state: Mutex::new(state), arrived: Notify::new(), len_max }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a message last.
    ///
    /// # Errors
    /// Why it is not taken.
    pub(super) fn join(&self, attempt: Attempt) -> Result<(u64, oneshot::Receiver<Outcome>), &'static str> {
        let mut state = self.state();
        if let Some(why) = state.closed {
            return Err(why);
        }
        if state.jobs.len() >= self.len_max {
            return Err("window full");
        }
        let (reply, outcome) = oneshot::channel();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.jobs.push_back(Job { ticket, attempt, was_thrown_back: false, reply });
        drop(state);
        self.arrived.notify_one();
        Ok((ticket, outcome))
    }

    /// Puts a message that the SMSC would not take now back to where it stood, or ends it if it can wait no longer.
    pub(super) fn rejoin(&self, job: Job, why: &'static str) {
        let mut state = self.state();
        let ended = state.closed.or_else(|| (job.attempt.leave_by <= Instant::now()).then_some(why));
        if let Some(why) = ended {
            drop(state);
            return job.not_sent(why);
        }
        let place = state.jobs.partition_point(|other| other.ticket < job.ticket);
        state.jobs.insert(place, job);
        drop(state);
        self.arrived.notify_one();
    }

    /// Has another session look: whoever was woken may take nothing now.
    pub(super) fn pass_on(&self) {
        self.arrived.notify_one();
    }

    /// The first message that may still leave; those before it that may not are ended.
    pub(super) fn take(&self) -> Option<Job> {
        let now = Instant::now();
        let mut state = self.state();
        let mut late = Vec::new();
        let mut taken = None;
        while let Some(job) = state.jobs.pop_front() {
            if job.attempt.leave_by > now {
                taken = Some(job);
                break;
            }
            late.push(job);
        }
        let has_more = !state.jobs.is_empty();
        drop(state);
        late.into_iter().for_each(|job| job.not_sent("too late"));
        if has_more {
            // Another session may have a place for the next.
            self.arrived.notify_one();
        }
        taken
    }

    /// The SMSC has said that it is too much, and is given so much time.
    pub(super) fn hold(&self, until: Instant) {
        let mut state = self.state();
        state.held_until = state.held_until.max(Some(until));
    }

    /// Takes a message out that has waited too long; its outcome, if it still stood there. One that the SMSC kept from leaving
    /// is refused by it: a line full of them says nothing against the link, which would be left alone for longer than it asked.
    pub(super) fn leave(&self, ticket: u64) -> Option<Outcome> {
        let mut state = self.state();
        let at = state.jobs.iter().position(|job| job.ticket == ticket);
        at.and_then(|at| state.jobs.remove(at))?;
        let is_held = state.held_until.is_some_and(|until| Instant::now() < until);
        let refused =
            || Outcome::Refused { class: FailureClass::Congestion, status: CarrierStatus::clean("throttled") };
        Some(if is_held { refused() } else { not_sent("too late") })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state().jobs.is_empty()
    }

    /// Resolves when somebody has come since the last time; may resolve for nothing.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    pub(super) fn open(&self) {
        let mut state = self.state();
        if !state.is_over {
            state.closed = None;
        }
    }

    /// Ends everybody in it and takes nobody any more.
    pub(super) fn end(&self, why: &'static str) {
        self.state().is_over = true;
        self.close(why);
    }

    /// Ends everybody in it, and takes nobody until it opens.
    pub(super) fn close(&self, why: &'static str) {
        let mut state = self.state();
        state.closed = Some(why);
        let jobs = std::mem::take(&mut state.jobs);
        drop(state);
        jobs.into_iter().for_each(|job| job.not_sent(why));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::carrier::smpp::samples::attempt;

    fn statuses(outcomes: Vec<oneshot::Receiver<Outcome>>) -> Vec<Option<Outcome>> {
        outcomes.into_iter().map(|mut outcome| outcome.try_recv().ok()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn first_come_first_taken_and_what_is_thrown_back_keeps_its_place() {
        let line = Line::new(3);
        assert_eq!(line.join(attempt(1, 10)).err(), Some("link down"));
        line.open();
        for n in 1..=3 {
            line.join(attempt(n, 10)).expect("room");
        }
        assert_eq!(line.join(attempt(4, 10)).err(), Some("window full"));
        let (first, second) = (line.take().expect("stands"), line.take().expect("stands"));
        let (one, two) = (first.attempt.delivery, second.attempt.delivery);
        line.rejoin(second, "throttled");
        line.rejoin(first, "throttled");
        let order = [line.take(), line.take()].map(|job| job.expect("stands").attempt.delivery);
        assert_eq!(order, [one, two]);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_leaves_late() {
        let line = Line::new(3);
        line.open();
        let outcomes = [(1, 5), (2, 20), (3, 5)].map(|(n, seconds)| line.join(attempt(n, seconds)).expect("room").1);
        tokio::time::advance(Duration::from_secs(5)).await;
        let job = line.take().expect("the second can still leave");
        tokio::time::advance(Duration::from_secs(15)).await;
        line.rejoin(job, "throttled");
        assert!(line.take().is_none());
        let expected = ["too late", "throttled", "too late"].map(|why| Some(not_sent(why)));
        assert_eq!(statuses(outcomes.into()), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn whom_the_smsc_kept_from_leaving_it_has_refused() {
        let line = Line::new(3);
        line.open();
        let [first, second] = [1, 2].map(|n| line.join(attempt(n, 1)).expect("room").0);
        line.hold(Instant::now() + Duration::from_secs(2));
        line.hold(Instant::now());
        tokio::time::advance(Duration::from_secs(1)).await;
        let refused = line.leave(first);
        assert!(matches!(refused, Some(Outcome::Refused { class: FailureClass::Congestion, .. })), "{refused:?}");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(line.leave(second), Some(not_sent("too late")));
    }

    #[tokio::test]
    async fn closing_ends_everybody_and_a_ticket_leaves_once() {
        let line = Line::new(3);
        line.open();
        let (ticket, gone) = line.join(attempt(1, 10)).expect("room");
        let (_, waiting) = line.join(attempt(2, 10)).expect("room");
        assert_eq!([line.leave(ticket), line.leave(ticket)], [Some(not_sent("too late")), None]);
        line.close("stopping");
        assert_eq!(statuses(vec![gone, waiting]), [None, Some(not_sent("stopping"))]);
        assert!(line.is_empty());
    }
}
