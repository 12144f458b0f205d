//! The committer of what became of attempts: one transaction at a time, however long it takes.
//!
//! A result is tried until the database took it; it and its repetition after an unknown commit are idempotent. A row that
//! the database will never take (a bug) is found by halving its batch and left out, so that it holds up nobody else: its
//! attempt then shows as `unknown`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, histogram};
use tokio::time::Instant;
use tracing::{error, warn};

use super::outbox::Book;
use crate::actors::group_commit::{Committer, Done, Item};
use crate::domain::ids::EndpointId;
use crate::records::attempts::Finished;
use crate::records::endpoints::GivenUp;
use crate::store::{CommitError, StoreError};
use crate::telemetry::{count, names};

const BACKOFF: Duration = Duration::from_millis(20);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

impl Item for Finished {
    fn conflicts(&self) -> [Option<u64>; 2] {
        // An attempt ends once, and changes of endpoints are gathered by the transaction.
        [None, None]
    }
}

pub(super) struct Recorder {
    book: Box<dyn Book>,
}

impl Recorder {
    pub(super) fn new(book: Box<dyn Book>) -> Self {
        Self { book }
    }

    /// Commits one part, however long it takes; halves it if a row in it cannot be written. `None` if it is that row.
    async fn commit_part(&mut self, part: Arc<Vec<Finished>>) -> Result<(), Option<[Vec<Finished>; 2]>> {
        let mut wait = BACKOFF;
        let mut maybe: Vec<(EndpointId, GivenUp)> = Vec::new();
        loop {
            let since = Instant::now();
            let outcome = self.book.finish(Arc::clone(&part)).await;
            histogram!(names::COMMIT_SECONDS, "kind" => "result").record(since.elapsed());
            match outcome {
                Ok(given_up) => {
                    tell(maybe.into_iter().chain(given_up));
                    return Ok(());
                }
                Err(CommitError::Unknown { outcome }) => {
                    count_failure("unknown");
                    maybe.extend(outcome);
                }
                Err(CommitError::NotCommitted(StoreError::Internal(why))) => {
                    count_failure("not_committed");
                    error!(%why, rows = part.len(), "results of webhook attempts cannot be written");
                    return Err(halves(&part));
                }
                Err(CommitError::NotCommitted(why)) => {
                    count_failure("not_committed");
                    warn!(%why, rows = part.len(), "results of webhook attempts wait for the database");
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(BACKOFF_MAX);
        }
    }
}

impl Committer for Recorder {
    type Item = Finished;

    async fn commit(&mut self, items: Vec<Finished>) -> Done {
        histogram!(names::COMMIT_ROWS, "kind" => "result").record(count(items.len()));
        let mut parts = vec![items];
        while let Some(part) = parts.pop() {
            match self.commit_part(Arc::new(part)).await {
                Ok(()) => {}
                Err(Some([first, second])) => parts.extend([second, first]),
                Err(None) => counter!(names::WEBHOOK_UNRESOLVED, "reason" => "unwritable").increment(1),
            }
        }
        Done { answers: Box::new(|| ()), rest: Duration::ZERO }
    }
}

fn halves(part: &[Finished]) -> Option<[Vec<Finished>; 2]> {
    if part.len() < 2 {
        return None;
    }
    let (first, second) = part.split_at(part.len() / 2);
    Some([first.to_vec(), second.to_vec()])
}

/// Says which endpoints were given up: their owners hear no more. A commit of unknown outcome and its repetition may both
/// name one.
fn tell(given_up: impl Iterator<Item = (EndpointId, GivenUp)>) {
    for (endpoint, why) in given_up.collect::<BTreeMap<_, _>>() {
        let reason = why.as_str();
        warn!(%endpoint, reason, "a webhook endpoint was disabled");
        counter!(names::WEBHOOK_ENDPOINTS_DISABLED, "reason" => reason).increment(1);
    }
}

fn count_failure(outcome: &'static str) {
    counter!(names::COMMITS_FAILED, "kind" => "result", "outcome" => outcome).increment(1);
}
