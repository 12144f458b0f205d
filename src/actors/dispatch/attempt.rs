//! One attempt: handed to a link, polled once where it is, awaited by a task of its own only if the link is not done.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, timeout_at};

use super::parts::{Departed, Parts, Times};
use super::queue::Message;
use super::waiting::Waiting;
use crate::actors::tracking::InFlight;
use crate::carrier::upstream::{Attempt, Outcome, Upstream};
use crate::domain::delivery::CarrierStatus;

/// An attempt that was not done at once.
#[derive(Debug)]
pub(super) struct UnderWay {
    pub(super) waiting: Box<Waiting>,
    pub(super) link: usize,
    pub(super) started: Instant,
    pub(super) departed: Departed,
}

/// An attempt that was under way and has its outcome. Dropped unheard, it is concluded all the same: its caller is
/// answered, and a job that is owed another channel is settled.
#[derive(Debug)]
pub(super) struct Finished {
    known: Option<(UnderWay, Outcome)>,
    times: Times,
}

impl Finished {
    pub(super) const fn new(attempt: UnderWay, outcome: Outcome, times: Times) -> Self {
        Self { known: Some((attempt, outcome)), times }
    }

    pub(super) fn take(mut self) -> (UnderWay, Outcome) {
        self.known.take().expect("only `take` empties it, and it consumes it")
    }
}

impl Drop for Finished {
    fn drop(&mut self) {
        if let Some((attempt, outcome)) = self.known.take() {
            let UnderWay { waiting, departed, .. } = attempt;
            let _settled = waiting.conclude(outcome, self.times, departed.link(), |_| false);
        }
    }
}

/// What handing an attempt to a link gave at once.
pub(super) enum Begun {
    Done(Outcome),
    Pending(BoxFuture<'static, Outcome>),
}

/// Hands `attempt` over and polls it once. The waker does nothing: whoever gets [`Begun::Pending`] polls again.
pub(super) fn begin(upstream: &dyn Upstream, attempt: Attempt) -> Begun {
    let begun = catch_unwind(AssertUnwindSafe(|| {
        let mut future = upstream.dispatch(attempt);
        match future.poll_unpin(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => Begun::Done(outcome),
            Poll::Pending => Begun::Pending(future),
        }
    }));
    begun.unwrap_or_else(|_panic| Begun::Done(panicked()))
}

/// Tells the actors beside dispatch that an attempt starts on the link `at`, before the wire knows of it.
pub(super) fn announce(parts: &Parts, waiting: &mut Waiting, at: usize, now: Instant) -> Attempt {
    let fallback = waiting.fallback(&parts.links[at]);
    let moved = std::mem::take(&mut waiting.moved);
    let job = &waiting.job;
    let channel = job.channels.first();
    parts.ender.neighbours.left(job.phone_key, now);
    parts.ender.neighbours.watch(InFlight {
        delivery: job.delivery,
        carrier: parts.carrier.clone(),
        channel,
        upstream: parts.links[at].link.id().clone(),
        moved,
        price: job.route.price,
        accepted_at: parts.times.accepted_at(job.settle_by),
        settle_by: job.settle_by,
        fallback,
    });
    Attempt {
        delivery: job.delivery,
        phone: job.phone,
        carrier: parts.carrier.clone(),
        channel,
        code: job.code.clone(),
        leave_by: waiting.leave_by,
        settle_by: job.settle_by,
    }
}

/// Awaits a pending attempt in a task of its own, which tells whatever incarnation of the queue lives then.
pub(super) fn follow(parts: &Arc<Parts>, attempt: UnderWay, future: BoxFuture<'static, Outcome>) {
    let told = Arc::clone(parts);
    parts.attempts.spawn(async move {
        let outcome = outcome_by(attempt.started + told.times.attempt_timeout, future).await;
        let finished = Finished::new(attempt, outcome, told.times);
        // If nobody lives to hear it, it is concluded by being dropped.
        let _dropped = told.mailbox.cast(Message::Finished(Box::new(finished)));
    });
}

/// The outcome of an attempt that was pending: by `deadline`, whatever the link does.
async fn outcome_by(deadline: Instant, future: BoxFuture<'static, Outcome>) -> Outcome {
    match timeout_at(deadline, AssertUnwindSafe(future).catch_unwind()).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_panic)) => panicked(),
        Err(_elapsed) => Outcome::Ambiguous { status: CarrierStatus::clean("no answer from the link") },
    }
}

/// A link that panics may have sent before it did.
fn panicked() -> Outcome {
    Outcome::Ambiguous { status: CarrierStatus::clean("the link failed") }
}
