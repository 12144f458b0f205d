//! What became of a commit whose answer was lost.
//!
//! A tracked task asks on a new connection until the database knows; the shard goes on meanwhile. The waiters learn the
//! verdicts if they still wait, and otherwise the charges are given back.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use metrics::counter;
use tokio::time::Instant;
use tracing::warn;

use super::Charge;
use super::handover::{Refund, Waiter, give_back};
use crate::actors::supervise::Tasks;
use crate::domain::ids::BatchId;
use crate::records::acceptance::Accepted;
use crate::store::StoreError;
use crate::telemetry::names;

const BACKOFF: Duration = Duration::from_millis(20);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Asks the database whether a batch committed; the store's in the house, a script in tests.
pub(super) type Resolve = Arc<dyn Fn(BatchId) -> BoxFuture<'static, Result<bool, StoreError>> + Send + Sync>;

/// What one transaction decided, and an instant before it was sent.
pub(super) struct Decided {
    pub(super) accepted: Accepted,
    pub(super) since: Instant,
}

/// What a shard's teller needs to leave a doubt behind.
#[derive(Clone)]
pub(super) struct Resolver {
    pub(super) resolve: Resolve,
    pub(super) refund: Refund,
    pub(super) tasks: Tasks,
}

impl Resolver {
    /// Leaves a batch to a task of its own. `outcome` is what the transaction decided, if it got that far.
    pub(super) fn leave(&self, batch: BatchId, waiters: Vec<Waiter>, outcome: Option<Decided>) {
        let resolver = self.clone();
        self.tasks.spawn(async move { resolver.run(batch, waiters, outcome).await });
    }

    async fn run(self, batch: BatchId, waiters: Vec<Waiter>, outcome: Option<Decided>) {
        warn!(%batch, orders = waiters.len(), "the commit's outcome is unknown");
        let committed = self.ask(batch).await;
        let label = if committed { "committed" } else { "never" };
        counter!(names::COMMITS_RESOLVED, "outcome" => label).increment(1);
        warn!(%batch, committed, "the commit's outcome is known");
        match outcome.filter(|_| committed) {
            Some(decided) => hand_over(waiters, decided, &self.refund),
            None => {
                for waiter in waiters {
                    if committed {
                        // What it decided is lost with its task: whatever was charged goes back.
                        give_back(&self.refund, waiter.delivery);
                    }
                    waiter.tell(Charge::Unavailable, &self.refund);
                }
            }
        }
    }

    async fn ask(&self, batch: BatchId) -> bool {
        let mut wait = BACKOFF;
        loop {
            match (self.resolve)(batch).await {
                Ok(committed) => return committed,
                Err(why) => warn!(%batch, %why, "the commit cannot be resolved yet"),
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(BACKOFF_MAX);
        }
    }
}

/// Gives every waiter its verdict; they are in the same order.
pub(super) fn hand_over(waiters: Vec<Waiter>, decided: Decided, refund: &Refund) {
    let Decided { accepted, since } = decided;
    assert_eq!(waiters.len(), accepted.verdicts.len(), "every order has its verdict");
    for (waiter, verdict) in waiters.into_iter().zip(accepted.verdicts) {
        waiter.tell(Charge::Decided { verdict, since }, refund);
    }
}
