//! A claim: due events leave the outbox in one transaction, and what was certainly claimed may be sent.
//!
//! It owns a committing connection. A claim of unknown outcome is never sent: if it happened, its attempts show as `unknown`;
//! if it did not, their events are still in the outbox. An endpoint that cannot be read rests for a while, and its events with
//! it. Rows that cannot be claimed (a bug) are found by halving, down to one event of one endpoint, which then rests too: it
//! holds up nobody else.

use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, histogram};
use tokio::time::Instant;
use tracing::{error, warn};

use super::Parts;
use super::outbox::Outbox;
use crate::domain::ids::EndpointId;
use crate::domain::webhook::Outcome;
use crate::records::endpoints::{Reach, Recipient};
use crate::records::outbox::{Claimed, ClaimedEndpoint, Demand};
use crate::store::{CommitError, StoreError};
use crate::telemetry::{count, names};

const BACKOFF: Duration = Duration::from_millis(20);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// What was claimed for one endpoint and may be sent.
#[derive(Debug)]
pub(super) struct Lot {
    pub(super) to: Arc<Recipient>,
    pub(super) attempts: Vec<Claimed>,
    /// Before the claim was asked for: its attempts are no older.
    pub(super) since: Instant,
}

/// What became of the demands of one claim.
#[derive(Debug, Default)]
pub(super) struct Claim {
    pub(super) lots: Vec<Lot>,
    /// Endpoints of which more may be due.
    pub(super) again: Vec<EndpointId>,
    /// Endpoints of which nothing, or an event, cannot be claimed.
    pub(super) stuck: Vec<EndpointId>,
}

pub(super) struct Claimer {
    outbox: Box<dyn Outbox>,
    /// How long the next failure rests.
    rest: Duration,
}

impl Claimer {
    pub(super) fn new(parts: &Parts) -> Self {
        Self { outbox: (parts.outbox)(), rest: BACKOFF }
    }

    /// Claims what is due up to the demands. After a failure it returns a while later, so that a database that is away is
    /// not hammered.
    pub(super) async fn claim(&mut self, demands: Vec<Demand>) -> Claim {
        let mut claim = Claim::default();
        let mut parts = vec![demands];
        let mut away = false;
        while let Some(part) = parts.pop() {
            let since = Instant::now();
            let part = Arc::new(part);
            let outcome = self.outbox.claim(Arc::clone(&part)).await;
            histogram!(names::COMMIT_SECONDS, "kind" => "claim").record(since.elapsed());
            match outcome {
                Ok(claimed) => {
                    self.rest = BACKOFF;
                    let rows: usize = claimed.iter().map(|claimed| claimed.attempts.len()).sum();
                    histogram!(names::COMMIT_ROWS, "kind" => "claim").record(count(rows));
                    claimed.into_iter().for_each(|claimed| sort(claimed, since, &mut claim));
                }
                Err(CommitError::NotCommitted(StoreError::Internal(why))) => {
                    count_failure("not_committed");
                    let smaller = smaller(&part);
                    if smaller.is_empty() {
                        let endpoint = part.first().map(|demand| tracing::field::display(demand.endpoint));
                        error!(%why, endpoint, "a webhook event cannot be claimed");
                        claim.stuck.extend(part.iter().map(|demand| demand.endpoint));
                    }
                    parts.extend(smaller);
                }
                Err(CommitError::NotCommitted(why)) => {
                    count_failure("not_committed");
                    warn!(%why, endpoints = part.len(), "webhook events wait for the database");
                    parts.push(part.to_vec());
                    away = true;
                }
                Err(CommitError::Unknown { outcome }) => {
                    count_failure("unknown");
                    let lost: usize = outcome.iter().map(|claimed| claimed.attempts.len()).sum();
                    warn!(attempts = lost, "a claim of unknown outcome is not sent");
                    counter!(names::WEBHOOK_UNRESOLVED, "reason" => "claim").increment(lost as u64);
                    parts.push(part.to_vec());
                    away = true;
                }
            }
            if away {
                // What was claimed before must not grow old while one part after the other waits for an answer.
                break;
            }
        }
        claim.again.extend(parts.iter().flatten().map(|demand| demand.endpoint));
        if away && claim.lots.is_empty() {
            tokio::time::sleep(self.rest).await;
            self.rest = (self.rest * 2).min(BACKOFF_MAX);
        }
        claim
    }
}

fn sort(claimed: ClaimedEndpoint, since: Instant, claim: &mut Claim) {
    let ClaimedEndpoint { id, reach, attempts, discarded, more } = claimed;
    for fault in discarded {
        let labels = [("outcome", Outcome::Discarded.as_str()), ("fault", fault.as_str())];
        counter!(names::WEBHOOK_ATTEMPTS, &labels).increment(1);
    }
    match reach {
        Reach::Unreadable(why) => {
            error!(%why, endpoint = %id, "the events of a webhook endpoint wait until it can be read");
            claim.stuck.push(id);
            return;
        }
        Reach::Active(to) if !attempts.is_empty() => {
            claim.lots.push(Lot { to: Arc::new(*to), attempts, since });
        }
        Reach::Active(_) | Reach::Inactive => {}
    }
    if more {
        claim.again.push(id);
    }
}

/// What to ask for instead of all of it: half of the endpoints, then the others; of one endpoint half as much. Nothing, if
/// that was one event of one endpoint.
fn smaller(demands: &[Demand]) -> Vec<Vec<Demand>> {
    if let [one] = demands {
        let limit = one.limit / 2;
        return if limit > 0 { vec![vec![Demand { limit, ..*one }]] } else { Vec::new() };
    }
    let (first, second) = demands.split_at(demands.len() / 2);
    vec![second.to_vec(), first.to_vec()]
}

fn count_failure(outcome: &'static str) {
    counter!(names::COMMITS_FAILED, "kind" => "claim", "outcome" => outcome).increment(1);
}
