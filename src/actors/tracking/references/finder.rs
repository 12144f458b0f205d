//! The committer of receipts by reference that this node does not remember: it finds their attempts, and parks the others.
//!
//! It does not try again when the database is away: the link keeps a receipt that was not acknowledged, and reports it again.
//! Only a park of unknown outcome is repeated, under the same id.

use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, histogram};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{error, warn};

use super::book::number;
use super::matcher::Matcher;
use crate::actors::group_commit::{Committer, Done, Item};
use crate::carrier::upstream::Receipt;
use crate::domain::ids::ReceiptId;
use crate::records::carrier_attempts::Sought;
use crate::records::parked::Parked;
use crate::store::{CommitError, StoreError};
use crate::telemetry::names;

/// How long the database is left alone after it failed.
const REST: Duration = Duration::from_millis(100);

/// A receipt, what it tells of its attempt, and the link that waits.
#[derive(Debug)]
pub(in crate::actors::tracking) struct ByReference {
    pub(in crate::actors::tracking) receipt: Receipt,
    pub(in crate::actors::tracking) sought: Sought,
    pub(in crate::actors::tracking) reply: oneshot::Sender<()>,
}

impl Item for ByReference {
    fn conflicts(&self) -> [Option<u64>; 2] {
        [None; 2]
    }
}

pub(in crate::actors::tracking) struct Finder {
    pub(super) matcher: Matcher,
}

impl Committer for Finder {
    type Item = ByReference;

    /// An item that is dropped tells its link to keep the receipt.
    async fn commit(&mut self, mut items: Vec<ByReference>) -> Done {
        // Whose link has stopped waiting comes again: a failed receipt is judged once.
        items.retain(|item| !item.reply.is_closed());
        if items.is_empty() {
            return Done { answers: Box::new(|| ()), rest: Duration::ZERO };
        }
        histogram!(names::COMMIT_ROWS, "kind" => "park").record(f64::from(u32::try_from(items.len()).unwrap_or(0)));
        let found = match self.matcher.book.find(items.iter().map(|item| item.sought.clone()).collect()).await {
            Ok(found) => found,
            Err(why) => {
                warn!(%why, receipts = items.len(), "receipts wait for the database");
                return Done { answers: Box::new(move || drop(items)), rest: REST };
            }
        };
        let mut strangers = Vec::new();
        for (item, found) in items.into_iter().zip(found) {
            match found {
                Some(attempt) => (self.matcher.deliver)(attempt, item.receipt, item.reply),
                None => strangers.push(item),
            }
        }
        let parked = self.park(strangers).await;
        let rest = if parked.is_some() { Duration::ZERO } else { REST };
        let answers = Box::new(|| {
            for reply in parked.into_iter().flatten() {
                let _gone = reply.send(());
            }
        });
        Done { answers, rest }
    }
}

impl Finder {
    /// Parks what nobody knows; whom to tell of it. `None` if the database is away.
    async fn park(&self, strangers: Vec<ByReference>) -> Option<Vec<oneshot::Sender<()>>> {
        let (mut parts, mut durable) = (vec![strangers], Vec::new());
        while let Some(mut part) = parts.pop() {
            match self.park_part(&part).await {
                Ok(()) => {
                    for item in part {
                        let upstream = item.receipt.upstream.as_str().to_owned();
                        counter!(names::RECEIPTS_PARKED, "upstream" => upstream).increment(1);
                        durable.push(item.reply);
                    }
                }
                Err(StoreError::Internal(why)) if part.len() == 1 => error!(why, "a receipt cannot be parked"),
                Err(StoreError::Internal(_)) => {
                    let second = part.split_off(part.len() / 2);
                    parts.extend([second, part]);
                }
                Err(why) => {
                    warn!(%why, receipts = part.len(), "receipts wait for the database");
                    return (!durable.is_empty()).then_some(durable);
                }
            }
        }
        Some(durable)
    }

    async fn park_part(&self, part: &[ByReference]) -> Result<(), StoreError> {
        let parked: Arc<[Parked]> = part.iter().map(ByReference::parked).collect();
        if parked.is_empty() {
            return Ok(());
        }
        loop {
            let since = Instant::now();
            let outcome = self.matcher.book.park(Arc::clone(&parked)).await;
            histogram!(names::COMMIT_SECONDS, "kind" => "park").record(since.elapsed());
            let (outcome, counted) = match outcome {
                Ok(()) => return Ok(()),
                Err(CommitError::Unknown { .. }) => (None, "unknown"),
                Err(CommitError::NotCommitted(why)) => (Some(why), "not_committed"),
            };
            counter!(names::COMMITS_FAILED, "kind" => "park", "outcome" => counted).increment(1);
            if let Some(why) = outcome {
                return Err(why);
            }
            tokio::time::sleep(REST).await;
        }
    }
}

impl ByReference {
    fn parked(&self) -> Parked {
        Parked {
            receipt: ReceiptId::from_bytes(rand::random()),
            of: self.sought.clone(),
            state: number(self.receipt.state),
            status: self.receipt.status.clone(),
        }
    }
}
