//! How a job ends that did not leave, or that its carrier refused: settled first, answered then.
//!
//! An [`Owed`] job that is dropped, by whomever and for whatever reason (its queue panicked, a mailbox was lost, the house
//! is stopping), is settled as not sent. So no queue can lose a charge, and nothing here is ever sent late.

use std::sync::Arc;
use std::time::Duration;

use metrics::Counter;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::job::{Claim, DispatchAnswer, Fallback, Job};
use super::neighbours::Neighbours;
use crate::actors::supervise::Tasks;
use crate::carrier::upstream::Outcome;
use crate::domain::carrier::Channels;
use crate::domain::delivery::{CarrierStatus, End, FailureCode, HOLD_MAX, WindowAfter};
use crate::records::acceptance::WINDOW;
use crate::records::settlement::{Settled, Settlement};

/// Ends deliveries off the queue's own thread of work.
#[derive(Debug)]
pub(super) struct Ender {
    pub(super) neighbours: Arc<dyn Neighbours>,
    /// What is being settled; the graceful stop waits for it.
    pub(super) tasks: Tasks,
    pub(super) lost: Counter,
}

/// Why a job goes no further.
#[derive(Debug)]
pub(super) enum Why {
    /// It could not leave in time.
    TooLate,
    /// The last channel was tried.
    Refused(CarrierStatus),
    /// The carrier refuses this phone for now.
    PerPhone(Duration),
}

impl Ender {
    /// Settles the delivery of `job` and then answers its caller. The job's place and its code are free at once.
    pub(super) fn end(&self, job: Job, why: Why) {
        let Job { delivery, phone_key, answer, window_kept, channels, .. } = job;
        // What could not leave ended on the channel before, if there was one.
        let channel = (!matches!(why, Why::TooLate)).then(|| channels.first());
        let unless_called = if window_kept { WindowAfter::Keep } else { WindowAfter::Release };
        let (code, carrier_status, window, told) = match why {
            Why::TooLate => (FailureCode::NoRoute, None, unless_called, DispatchAnswer::Refused),
            Why::Refused(status) => (FailureCode::NoRoute, Some(status), unless_called, DispatchAnswer::Refused),
            Why::PerPhone(remaining) => {
                let remaining = remaining.min(HOLD_MAX);
                let hold = if window_kept { WindowAfter::Extend } else { WindowAfter::Hold };
                (FailureCode::RateLimited, None, hold(remaining), DispatchAnswer::PerPhone { remaining })
            }
        };
        // Without a runtime the process is ending: the sweeper of the next one settles.
        if Handle::try_current().is_err() {
            return;
        }
        let settled =
            self.neighbours.settle(Settlement { delivery, end: End::Failed { code, carrier_status }, channel, window });
        let neighbours = Arc::clone(&self.neighbours);
        self.tasks.spawn(async move {
            let told = match settled.await {
                Ok(Settled::Ended) => {
                    neighbours.window(phone_key, window);
                    told
                }
                // A receipt was faster, or nobody can tell yet.
                Ok(Settled::Unchanged) | Err(_) => DispatchAnswer::Undecided,
            };
            if let Some(answer) = answer {
                let _gone = answer.send(told);
            }
        });
    }
}

/// A job and when it must leave.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) job: Job,
    pub(super) leave_by: Instant,
    /// Shared with tracking from the first attempt of two.
    pub(super) claim: Option<Claim>,
    pub(super) ender: Arc<Ender>,
}

/// A charged job that has not left.
#[derive(Debug)]
pub(super) struct Owed(Option<Box<Waiting>>);

impl Owed {
    pub(super) fn new(job: Job, within: Duration, ender: Arc<Ender>) -> Self {
        let from = job.not_before.map_or(job.claimed_at, |not_before| not_before.max(job.claimed_at));
        let mut leave_by = from + within;
        if job.window_kept {
            // A second channel leaves in its delivery's own window: after it another order may call the phone.
            leave_by = leave_by.min(job.claimed_at + WINDOW);
        }
        Self(Some(Box::new(Waiting { job, leave_by, claim: None, ender })))
    }

    pub(super) fn waiting(&self) -> &Waiting {
        self.0.as_ref().expect("only `leave` and `end` empty it, and they consume it")
    }

    /// It leaves now: from here on tracking knows of the delivery.
    pub(super) fn leave(mut self) -> Box<Waiting> {
        self.0.take().expect("only `leave` and `end` empty it, and they consume it")
    }

    pub(super) fn end(self, why: Why) {
        let waiting = self.leave();
        let ender = Arc::clone(&waiting.ender);
        ender.end(waiting.job, why);
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        if let Some(waiting) = self.0.take() {
            waiting.ender.lost.increment(1);
            let ender = Arc::clone(&waiting.ender);
            ender.end(waiting.job, Why::TooLate);
        }
    }
}

impl Waiting {
    /// What a failed receipt of the attempt that starts would bring back; `None` on the last channel.
    pub(super) fn fallback(&mut self) -> Option<Box<Fallback>> {
        let channel = self.job.channels.after_first()?.first();
        let claim = self.claim.get_or_insert_with(Claim::new).clone();
        Some(Box::new(Fallback {
            delivery: self.job.delivery,
            account: self.job.account,
            phone: self.job.phone,
            phone_key: self.job.phone_key,
            code: self.job.code.clone(),
            route: Arc::clone(&self.job.route),
            channel,
            claimed_at: self.job.claimed_at,
            settle_by: self.job.settle_by,
            claim,
        }))
    }

    /// What becomes of the job after its attempt. `Some` is owed its next channel, which must start within `within`.
    ///
    /// Only a refusal and what certainly was not sent go on; whoever takes the claim first decides, so that a refusal
    /// and a failed receipt of one attempt do not both go on.
    pub(super) fn conclude(mut self: Box<Self>, outcome: Outcome, within: Duration, needs: Duration) -> Option<Owed> {
        let why = match outcome {
            Outcome::Accepted | Outcome::Ambiguous { .. } => {
                self.tell(DispatchAnswer::Out);
                return None;
            }
            Outcome::PerPhone { retry_after } => Why::PerPhone(retry_after),
            Outcome::NotSent { status } | Outcome::Refused { status, .. } => Why::Refused(status),
        };
        if self.claim.take().is_some_and(|claim| !claim.take()) {
            self.tell(DispatchAnswer::Undecided);
            return None;
        }
        if !self.job.window_kept {
            self.ender.neighbours.refused(self.job.phone_key);
        }
        let now = Instant::now();
        let in_time = now + needs <= self.job.settle_by && now + within <= self.job.claimed_at + WINDOW;
        match self.job.channels.after_first() {
            Some(rest) if matches!(why, Why::Refused(_)) && in_time => {
                self.job.channels = Channels::only(rest.first());
                self.leave_by = now + within;
                Some(Owed(Some(self)))
            }
            _ => {
                let ender = Arc::clone(&self.ender);
                ender.end(self.job, why);
                None
            }
        }
    }

    fn tell(&mut self, answer: DispatchAnswer) {
        if let Some(caller) = self.job.answer.take() {
            let _gone = caller.send(answer);
        }
    }
}
