//! A job that waits for its next attempt, and what becomes of it after one.

use std::sync::Arc;

use tokio::time::Instant;

use super::ending::{Ender, Owed, Why};
use super::job::{Claim, DispatchAnswer, Fallback, Job};
use super::link::Link;
use super::parts::{Member, Times};
use crate::carrier::upstream::{FailureClass, Outcome};
use crate::domain::carrier::Channels;
use crate::domain::delivery::CarrierStatus;
use crate::domain::reference::UpstreamId;
use crate::records::acceptance::WINDOW;

/// A job and when it must leave.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) job: Job,
    pub(super) leave_by: Instant,
    /// Shared with tracking from the first attempt of two.
    pub(super) claim: Option<Claim>,
    /// Links of its channel that did not send it, or refused it for a reason of their own. Empty, and so without memory, for
    /// almost every job.
    pub(super) tried: Vec<UpstreamId>,
    /// It came here from its first channel by itself: its row does not say so yet.
    pub(super) moved: bool,
    /// The upstream that took an earlier attempt and now refuses the phone for a while.
    pub(super) gapped: Option<UpstreamId>,
    /// What the last link that was tried said.
    pub(super) last: Option<CarrierStatus>,
    pub(super) ender: Arc<Ender>,
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

/// Whether an attempt came to nothing for a reason of its link, that another link need not have.
fn is_of_the_link(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::NotSent { .. } => true,
        Outcome::Refused { class, .. } => matches!(class, FailureClass::Misconfigured | FailureClass::Congestion),
        Outcome::Accepted | Outcome::PerPhone { .. } | Outcome::Ambiguous { .. } => false,
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
    /// Only a refusal and what certainly was not sent go on: what is the link's own trouble, and not the phone's, by another
    /// link if there is `another` that does not bar it. Whoever takes the claim first decides, so that a refusal and a failed
    /// receipt of one attempt do not both go on.
    pub(super) fn conclude(
        mut self: Box<Self>,
        outcome: Outcome,
        times: Times,
        link: &Link,
        another: impl Fn(&Self) -> bool,
    ) -> Next {
        let of_the_link = is_of_the_link(&outcome);
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
            Why::Refused(status) if of_the_link && !self.is_late(Instant::now(), times) => {
                self.tried.push(link.id().clone());
                if another(&self) {
                    self.last = Some(status);
                    return Next::Link(Owed::again(self));
                }
                self.next_channel(Why::Refused(status), times)
            }
            Why::Refused(_) => self.next_channel(why, times),
            Why::TooLate | Why::Invalid(_) | Why::PerPhone(_) => self.end(why),
        }
    }

    /// The next channel, which must start within its own time, in the delivery's own window.
    pub(super) fn next_channel(mut self: Box<Self>, why: Why, times: Times) -> Next {
        let Times { within, attempt_needs, .. } = times;
        let now = Instant::now();
        let in_time = now + attempt_needs <= self.job.settle_by && now + within <= self.job.claimed_at + WINDOW;
        match self.job.channels.after_first() {
            Some(rest) if in_time => {
                self.job.channels = Channels::only(rest.first());
                self.leave_by = now + within;
                self.moved = true;
                self.tried.clear();
                self.last = None;
                Next::Channel(Owed::again(self))
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
