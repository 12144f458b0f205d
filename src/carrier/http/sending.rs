//! One attempt, from its request to its outcome.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::answer::{Judged, Verdict, judge};
use super::exchange::Undone;
use super::request::Prepared;
use super::{Shared, ambiguous, not_sent};
use crate::carrier::upstream::{Attempt, FailureClass, Naming, Outcome};
use crate::domain::delivery::CarrierStatus;
use crate::domain::reference::Reference;

/// The pause before the same request goes again; each one after it is twice as long.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// The same where a name is not durable yet.
const NAME_AGAIN_AFTER: Duration = Duration::from_millis(50);
const NAME_AGAIN_AFTER_MAX: Duration = Duration::from_secs(1);

impl Shared {
    /// Sends `attempt`, again where that is safe, until it has its outcome.
    pub(super) async fn send(self: Arc<Self>, attempt: Attempt) -> Outcome {
        let prepared = Prepared::of_attempt(&self.config, &attempt);
        let (mut maybe, mut again_after) = (None, AGAIN_AFTER);
        loop {
            // What may have reached the provider stays so, whatever becomes of the same request sent again.
            if !self.throttle.pass(attempt.leave_by).await {
                return maybe.unwrap_or_else(|| not_sent("throttled"));
            }
            let sent_at = Instant::now();
            let judged = match self.try_once(&attempt, &prepared).await {
                Ok(judged) => judged,
                Err(not_sent) => return maybe.unwrap_or(not_sent),
            };
            let Judged { verdict, status, .. } = judged;
            match verdict {
                Verdict::Accepted { reference } => {
                    self.throttle.went_well();
                    return self.accepted(&attempt, reference).await;
                }
                Verdict::Throttled { retry_after } => self.throttle.slow_down(sent_at, retry_after),
                Verdict::Ambiguous => {
                    let outcome = Outcome::Ambiguous { status };
                    let next = Instant::now() + again_after;
                    if self.config.idempotency_header.is_none() || next > attempt.leave_by {
                        return outcome;
                    }
                    maybe = Some(outcome);
                    sleep_until(next).await;
                    again_after *= 2;
                }
                // The limit may be there because the first request was taken.
                Verdict::PerPhone { retry_after } => {
                    return maybe.unwrap_or(Outcome::PerPhone { retry_after });
                }
                Verdict::NotSent => return maybe.unwrap_or(Outcome::NotSent { status }),
                // It may be of the second request alone ("in progress", a proxy in front of the provider), while the first is
                // being worked on. A true refusal that is told again costs a wait; a false one would call the phone twice.
                Verdict::Refused { class } => return maybe.unwrap_or(Outcome::Refused { class, status }),
            }
        }
    }

    /// One request and its answer; an error is the outcome if it certainly did not reach the provider.
    async fn try_once(&self, attempt: &Attempt, prepared: &Prepared) -> Result<Judged, Outcome> {
        let started = Instant::now();
        let answer = match self.lines.exchange(attempt.leave_by, || prepared.request()).await {
            Ok(answer) => answer,
            Err(Undone::Unreachable(why)) => {
                self.meters.unreachable();
                self.vitals.unreachable(&why);
                // Where the provider is, is nothing that a customer reads.
                return Err(not_sent("unreachable"));
            }
            Err(Undone::NotSent(why)) => {
                self.meters.unreachable();
                tracing::debug!(link = self.id.as_str(), why, "an attempt was not sent");
                return Err(not_sent("not sent"));
            }
            Err(Undone::Lost(why)) => {
                self.meters.lost(started.elapsed());
                self.vitals.reached();
                let status = CarrierStatus::clean(why);
                return Ok(Judged { verdict: Verdict::Ambiguous, status, foreseen: true });
            }
        };
        let judged = judge(&self.config, &answer, &attempt.code);
        self.meters.answered(answer.status, &judged, started.elapsed());
        self.vitals.reached();
        match judged.verdict {
            Verdict::Refused { class: FailureClass::Misconfigured } => self.vitals.refused_us(judged.status.as_str()),
            _ => self.vitals.admitted(),
        }
        Ok(judged)
    }

    /// The provider took it: what it calls it is durable before anybody hears so.
    async fn accepted(self: &Arc<Self>, attempt: &Attempt, reference: Option<Reference>) -> Outcome {
        let Some(reference) = reference else {
            if self.config.needs_reference() {
                self.meters.unnamed();
            }
            return Outcome::Accepted;
        };
        if let Some(poll) = &self.config.poll {
            self.poll_attempt(attempt, poll, &reference);
        }
        let by_reference = self.config.callback.as_ref().is_some_and(|callback| callback.reference.is_some());
        let poller = self.config.poll.is_some().then_some(self.poller);
        if !by_reference && poller.is_none() {
            return Outcome::Accepted;
        }
        let naming = Naming {
            upstream: self.id.clone(),
            delivery: attempt.delivery,
            channel: attempt.channel,
            phone: attempt.phone,
            references: vec![reference],
            poller,
        };
        let mut again_after = NAME_AGAIN_AFTER;
        while self.sink.name(naming.clone()).await.is_err() {
            if Instant::now() + again_after > attempt.settle_by {
                return ambiguous("its name could not be kept");
            }
            sleep(again_after).await;
            again_after = (again_after * 2).min(NAME_AGAIN_AFTER_MAX);
        }
        Outcome::Accepted
    }
}
