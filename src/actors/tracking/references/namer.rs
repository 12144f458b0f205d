//! The committer of names: one transaction at a time, tried until the database took it.
//!
//! A name that is lost is a delivered code refunded, so it is tried longer than its link waits. Writing one twice changes
//! nothing: a commit of unknown outcome is simply repeated. A row that cannot be written (a bug) is found by halving.

use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, histogram};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{error, warn};

use super::matcher::Matcher;
use crate::actors::group_commit::{Committer, Done, Item};
use crate::actors::supervise::Tasks;
use crate::records::carrier_attempts::Named;
use crate::records::parked::Matched;
use crate::store::{CommitError, StoreError};
use crate::telemetry::names;

const BACKOFF: Duration = Duration::from_millis(20);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// A name, and the link that waits for it to be durable.
#[derive(Debug)]
pub(in crate::actors::tracking) struct Naming {
    pub(in crate::actors::tracking) named: Named,
    pub(in crate::actors::tracking) reply: oneshot::Sender<()>,
}

impl Item for Naming {
    /// Two of one attempt may share a batch: the second changes nothing.
    fn conflicts(&self) -> [Option<u64>; 2] {
        [None; 2]
    }
}

pub(in crate::actors::tracking) struct Namer {
    pub(super) matcher: Matcher,
    pub(super) tasks: Tasks,
}

impl Namer {
    /// Writes one part, however long it takes. What was parked for it; `None` if it cannot be written.
    async fn write(&self, part: &Arc<[Named]>) -> Option<Vec<Matched>> {
        let mut wait = BACKOFF;
        loop {
            let since = Instant::now();
            let outcome = self.matcher.book.name(Arc::clone(part)).await;
            histogram!(names::COMMIT_SECONDS, "kind" => "name").record(since.elapsed());
            match outcome {
                Ok(matched) => return Some(matched),
                Err(CommitError::Unknown { .. }) => count_failure("unknown"),
                Err(CommitError::NotCommitted(StoreError::Internal(why))) => {
                    count_failure("not_committed");
                    error!(why, attempts = part.len(), "the names of attempts cannot be written");
                    return None;
                }
                Err(CommitError::NotCommitted(why)) => {
                    count_failure("not_committed");
                    warn!(%why, attempts = part.len(), "the names of attempts wait for the database");
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(BACKOFF_MAX);
        }
    }
}

impl Committer for Namer {
    type Item = Naming;

    async fn commit(&mut self, items: Vec<Naming>) -> Done {
        histogram!(names::COMMIT_ROWS, "kind" => "name").record(f64::from(u32::try_from(items.len()).unwrap_or(0)));
        let (mut parts, mut durable, mut matched) = (vec![items], Vec::new(), Vec::new());
        while let Some(mut part) = parts.pop() {
            let named: Arc<[Named]> = part.iter().map(|naming| naming.named.clone()).collect();
            match self.write(&named).await {
                Some(found) => {
                    matched.extend(found);
                    durable.extend(part);
                }
                // Alone, its link hears by the drop of its reply that nobody will write it.
                None if part.len() == 1 => {}
                None => {
                    let second = part.split_off(part.len() / 2);
                    parts.extend([second, part]);
                }
            }
        }
        if !matched.is_empty() {
            let matcher = self.matcher.clone();
            self.tasks.spawn(async move { matcher.settle(matched).await });
        }
        let answers = Box::new(|| {
            for naming in durable {
                let _gone = naming.reply.send(());
            }
        });
        Done { answers, rest: Duration::ZERO }
    }
}

fn count_failure(outcome: &'static str) {
    counter!(names::COMMITS_FAILED, "kind" => "name", "outcome" => outcome).increment(1);
}
