//! How a job ends that did not leave, or that its carrier refused: settled first, answered then.
//!
//! An [`Owed`] job that is dropped, by whomever and for whatever reason (its queue panicked, a mailbox was lost, the house
//! is stopping), is settled as not sent. So no queue can lose a charge, and nothing here is ever sent late.

use std::sync::Arc;
use std::time::Duration;

use metrics::Counter;
use tokio::runtime::Handle;

use super::job::{DispatchAnswer, Job};
use super::neighbours::Neighbours;
use super::parts::{Parts, Times};
use super::waiting::{Next, Waiting};
use crate::actors::supervise::Tasks;
use crate::domain::carrier::{Carrier, Channel};
use crate::domain::delivery::{CarrierStatus, End, FailureCode, HOLD_MAX, WindowAfter};
use crate::domain::reference::UpstreamId;
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
    /// The carrier knows no such number, on whatever channel.
    Invalid(CarrierStatus),
    /// The carrier refuses this phone for now.
    PerPhone(Duration),
}

impl Ender {
    /// Settles the delivery of `job` and then answers its caller. The job's place and its code are free at once.
    pub(super) fn end(&self, job: Job, why: Why) {
        let Job { delivery, phone_key, answer, window_kept, channels, .. } = job;
        let channel = match why {
            // What could not leave ended on the channel before, if there was one.
            Why::TooLate => window_kept.then(|| channels.first().other()),
            Why::Refused(_) | Why::Invalid(_) | Why::PerPhone(_) => Some(channels.first()),
        };
        let unless_called = if window_kept { WindowAfter::Keep } else { WindowAfter::Release };
        let (code, carrier_status, window, told) = match why {
            Why::TooLate => (FailureCode::NoRoute, None, unless_called, DispatchAnswer::Refused),
            Why::Refused(status) => (FailureCode::NoRoute, Some(status), unless_called, DispatchAnswer::Refused),
            Why::Invalid(status) => (FailureCode::InvalidNumber, Some(status), unless_called, DispatchAnswer::Refused),
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
        let settled = self.neighbours.settle(Settlement {
            delivery,
            end: End::Failed { code, carrier_status },
            channel,
            unless_moved: false,
            window,
        });
        let neighbours = Arc::clone(&self.neighbours);
        self.tasks.spawn(async move {
            let told = match settled.await {
                Ok(Settled::Ended) => {
                    neighbours.window(phone_key, window);
                    told
                }
                // A receipt was faster, or nobody can tell yet.
                Ok(Settled::Unchanged | Settled::Postponed) | Err(_) => DispatchAnswer::Undecided,
            };
            if let Some(answer) = answer {
                let _gone = answer.send(told);
            }
        });
    }
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
        let (tried, moved) = (Vec::new(), false);
        let waiting = Waiting { job, leave_by, claim: None, tried, moved, gapped: None, last: None, ender };
        Self(Some(Box::new(waiting)))
    }

    /// It is to leave once more.
    pub(super) fn again(waiting: Box<Waiting>) -> Self {
        Self(Some(waiting))
    }

    /// Of a delivery whose first attempt `gapped` took.
    pub(super) fn not_by(mut self, gapped: Option<UpstreamId>) -> Self {
        self.waiting_mut().gapped = gapped;
        self
    }

    pub(super) fn waiting(&self) -> &Waiting {
        self.0.as_ref().expect("only `leave` and `end` empty it, and they consume it")
    }

    fn waiting_mut(&mut self) -> &mut Waiting {
        self.0.as_mut().expect("only `leave` and `end` empty it, and they consume it")
    }

    /// Where it is to leave.
    pub(super) fn heads_for(&self) -> (&Carrier, Channel) {
        let Job { route, channels, .. } = &self.waiting().job;
        (&route.carrier, channels.first())
    }

    /// From now on it is in the queue of `parts`, full or not.
    pub(super) fn move_to(&mut self, parts: &Parts) {
        let waiting = self.waiting_mut();
        if !waiting.job.slot.is_of(&parts.lane) {
            waiting.job.slot = parts.lane.occupy(waiting.job.account);
            waiting.ender = Arc::clone(&parts.ender);
        }
    }

    /// Goes on to the next channel without an attempt. Returns whether there is one.
    pub(super) fn skip_channel(&mut self) -> bool {
        let waiting = self.waiting_mut();
        let rest = waiting.job.channels.after_first();
        if let Some(rest) = rest {
            waiting.job.channels = rest;
            waiting.moved = true;
            waiting.tried.clear();
        }
        rest.is_some()
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

    /// No link of its channel is left to try: its next channel, in time, or its end.
    pub(super) fn give_up_channel(self, times: Times) -> Next {
        let mut waiting = self.leave();
        match waiting.last.take() {
            Some(status) => waiting.next_channel(Why::Refused(status), times),
            None => waiting.next_channel(Why::TooLate, times),
        }
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
