//! How a job ends that did not leave, or that its carrier refused: settled first, answered then.
//!
//! An [`Owed`] job that is dropped, by whomever and for whatever reason (its queue panicked, a mailbox was lost, the house
//! is stopping), is settled as not sent. So no queue can lose a charge, and nothing here is ever sent late.

use std::sync::Arc;
use std::time::Duration;

use metrics::Counter;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tracing::warn;

use super::job::{Claim, DispatchAnswer, Fallback, Job};
use super::link::Link;
use super::neighbours::Neighbours;
use super::parts::{Member, Parts, Times};
use crate::actors::supervise::Tasks;
use crate::carrier::upstream::{FailureClass, Outcome};
use crate::domain::carrier::{Carrier, Channel, Channels};
use crate::domain::delivery::{CarrierStatus, End, FailureCode, HOLD_MAX, WindowAfter};
use crate::domain::ids::DeliveryId;
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

/// What becomes of a job after its attempt.
pub(super) enum Next {
    /// Nothing here: it is out, it has ended, or somebody else goes on with it.
    Nothing,
    /// Another link of the same channel.
    Link(Owed),
    /// Its next channel.
    Channel(Owed),
}

/// What a customer reads of a delivery whose upstream tells no more than that it took it.
const WITHOUT_RECEIPT: &str = "accepted without receipt";

impl Ender {
    /// Ends a delivery as delivered that will get no receipt, because its upstream sends none and the operator said so.
    pub(super) fn delivered(&self, delivery: DeliveryId, channel: Channel) {
        // Without a runtime the process is ending: the sweeper of the next one settles, with a refund.
        if Handle::try_current().is_err() {
            return;
        }
        let end = End::Delivered { carrier_status: CarrierStatus::clean(WITHOUT_RECEIPT) };
        let channel = Some(channel);
        let settled = self.neighbours.settle(Settlement { delivery, end, channel, window: WindowAfter::Keep });
        self.tasks.spawn(async move {
            if settled.await.is_err() {
                warn!(%delivery, "a delivery without receipts could not be ended: it is refunded at its settle time");
            }
        });
    }

    /// Settles the delivery of `job` and then answers its caller. The job's place and its code are free at once.
    pub(super) fn end(&self, job: Job, why: Why) {
        let Job { delivery, phone_key, answer, window_kept, channels, .. } = job;
        // What could not leave ended on the channel before, if there was one.
        let channel = (!matches!(why, Why::TooLate)).then(|| channels.first());
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
    claim: Option<Claim>,
    /// Links of its channel that did not send it. Empty, and so without memory, for almost every job.
    tried: Vec<UpstreamId>,
    /// The upstream that took an earlier attempt and now refuses the phone for a while.
    gapped: Option<UpstreamId>,
    /// What the last link that was tried said.
    last: Option<CarrierStatus>,
    ender: Arc<Ender>,
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
        let waiting = Waiting { job, leave_by, claim: None, tried: Vec::new(), gapped: None, last: None, ender };
        Self(Some(Box::new(waiting)))
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

impl Waiting {
    /// Whether it must not leave by `upstream`.
    pub(super) fn bars(&self, upstream: &UpstreamId) -> bool {
        self.gapped.as_ref() == Some(upstream) || self.tried.contains(upstream)
    }

    /// Whether it may leave by any link.
    pub(super) const fn is_free(&self) -> bool {
        self.gapped.is_none() && self.tried.is_empty()
    }

    /// Whether an attempt that starts at `now` would be too late for it.
    pub(super) fn is_late(&self, now: Instant, times: Times) -> bool {
        self.leave_by <= now || now + times.attempt_needs > self.job.settle_by
    }

    /// What a failed receipt of the attempt that starts by `by` would bring back; `None` on the last channel.
    pub(super) fn fallback(&mut self, by: &Member) -> Option<Box<Fallback>> {
        let channel = self.job.channels.after_first()?.first();
        // The claim is made all the same: it tells a refusal of this attempt from one that came too late.
        let claim = self.claim.get_or_insert_with(Claim::new).clone();
        by.falls_back.then(|| {
            Box::new(Fallback {
                delivery: self.job.delivery,
                account: self.job.account,
                phone: self.job.phone,
                phone_key: self.job.phone_key,
                code: self.job.code.clone(),
                route: Arc::clone(&self.job.route),
                channel,
                claimed_at: self.job.claimed_at,
                settle_by: self.job.settle_by,
                gapped: by.link.has_gap().then(|| by.link.id().clone()),
                claim,
            })
        })
    }

    /// What becomes of the job after an attempt by `link`.
    ///
    /// Only a refusal and what certainly was not sent go on: the latter by another link if there is `another` that does
    /// not bar it. Whoever takes the claim first decides, so that a refusal and a failed receipt of one attempt do not
    /// both go on.
    pub(super) fn conclude(
        mut self: Box<Self>,
        outcome: Outcome,
        times: Times,
        link: &Link,
        another: impl Fn(&Self) -> bool,
    ) -> Next {
        let unsent = matches!(outcome, Outcome::NotSent { .. });
        if outcome == Outcome::Accepted && link.accepts_for_good() {
            self.ender.delivered(self.job.delivery, self.job.channels.first());
        }
        let why = match outcome {
            Outcome::Accepted | Outcome::Ambiguous { .. } => {
                self.tell(DispatchAnswer::Out);
                return Next::Nothing;
            }
            Outcome::PerPhone { retry_after } => Why::PerPhone(retry_after),
            Outcome::Refused { class: FailureClass::InvalidNumber, status } => Why::Invalid(status),
            Outcome::NotSent { status } | Outcome::Refused { status, .. } => Why::Refused(status),
        };
        if self.claim.take().is_some_and(|claim| !claim.take()) {
            self.tell(DispatchAnswer::Undecided);
            return Next::Nothing;
        }
        if !self.job.window_kept {
            self.ender.neighbours.refused(self.job.phone_key);
        }
        match why {
            Why::Refused(status) if unsent && !self.is_late(Instant::now(), times) => {
                self.tried.push(link.id().clone());
                if another(&self) {
                    self.last = Some(status);
                    return Next::Link(Owed(Some(self)));
                }
                self.next_channel(Why::Refused(status), times)
            }
            Why::Refused(_) => self.next_channel(why, times),
            Why::TooLate | Why::Invalid(_) | Why::PerPhone(_) => self.end(why),
        }
    }

    /// The next channel, which must start within its own time, in the delivery's own window.
    fn next_channel(mut self: Box<Self>, why: Why, times: Times) -> Next {
        let Times { within, attempt_needs, .. } = times;
        let now = Instant::now();
        let in_time = now + attempt_needs <= self.job.settle_by && now + within <= self.job.claimed_at + WINDOW;
        match self.job.channels.after_first() {
            Some(rest) if in_time => {
                self.job.channels = Channels::only(rest.first());
                self.leave_by = now + within;
                self.tried.clear();
                self.last = None;
                Next::Channel(Owed(Some(self)))
            }
            _ => self.end(why),
        }
    }

    fn end(self: Box<Self>, why: Why) -> Next {
        let ender = Arc::clone(&self.ender);
        ender.end(self.job, why);
        Next::Nothing
    }

    fn tell(&mut self, answer: DispatchAnswer) {
        if let Some(caller) = self.job.answer.take() {
            let _gone = caller.send(answer);
        }
    }
}
