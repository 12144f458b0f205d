//! Parked receipts whose attempt has a name now: settled like any other, and taken out.
//!
//! A failed one is taken out first, because whoever judges it may send the code on its next channel, and a second judge would
//! end the delivery meanwhile; if this node dies in between, the delivery ends by its settle time, failed as it was. A
//! delivered one is settled first and taken out then: to settle it twice changes nothing, to lose it would refund a code that
//! came.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{info, warn};

use super::book::{Book, state};
use super::{Deliver, RECEIPT_WAIT};
use crate::carrier::upstream::{Receipt, ReceiptState, Subject};
use crate::domain::ids::ReceiptId;
use crate::records::parked::{Matched, Place};
use crate::store::StoreError;

/// How long one look goes on when very many are parked; the next one goes on from there.
const LOOK_BUDGET: Duration = Duration::from_millis(250);

/// Settles parked receipts and takes them out.
#[derive(Clone)]
pub(super) struct Matcher {
    pub(super) book: Arc<dyn Book>,
    pub(super) deliver: Deliver,
}

impl Matcher {
    /// Walks over what is parked from `after` on, and settles what has an attempt. Where the next look begins.
    pub(super) async fn look(&self, mut after: Place) -> Place {
        let since = Instant::now();
        loop {
            match self.book.matches(after.clone()).await {
                Ok(step) => {
                    self.settle(step.matched).await;
                    let Some(next) = step.next else { return Place::FIRST };
                    after = next;
                }
                // The sinks say that the database is away: links hear it, and so do logs.
                Err(
                    StoreError::Unavailable(_) | StoreError::Unfit(_) | StoreError::Conflict(_) | StoreError::Locked(_),
                ) => return after,
                Err(StoreError::Internal(why)) => {
                    warn!(why, "parked receipts cannot be read");
                    return Place::FIRST;
                }
            }
            if since.elapsed() > LOOK_BUDGET {
                return after;
            }
        }
    }

    /// What fails stays parked, for the next look.
    pub(super) async fn settle(&self, matched: Vec<Matched>) {
        if matched.is_empty() {
            return;
        }
        let receipts = matched.into_iter().filter_map(|matched| Some((state(matched.state)?, matched)));
        let (delivered, others): (Vec<_>, Vec<_>) =
            receipts.partition(|(state, _)| matches!(state, ReceiptState::Delivered));
        if let Some(taken) = self.take(others.iter().map(|(_, matched)| matched.receipt).collect()).await {
            let ours = others.into_iter().filter(|(_, matched)| taken.contains(&matched.receipt));
            join_all(ours.map(|(state, matched)| self.judge(state, matched))).await;
        }
        let settled = join_all(delivered.into_iter().map(|(state, matched)| self.judge(state, matched))).await;
        self.take(settled.into_iter().flatten().collect()).await;
    }

    async fn take(&self, receipts: Vec<ReceiptId>) -> Option<HashSet<ReceiptId>> {
        if receipts.is_empty() {
            return None;
        }
        match self.book.take(receipts).await {
            Ok(taken) => Some(taken),
            Err(why) => {
                info!(%why, "parked receipts stay for the next look");
                None
            }
        }
    }

    /// The receipt, if it has had its effect.
    async fn judge(&self, state: ReceiptState, matched: Matched) -> Option<ReceiptId> {
        let Matched { receipt: id, upstream, attempt, status, .. } = matched;
        let subject = Subject::Attempt { delivery: attempt.delivery, channel: attempt.channel };
        let (reply, durable) = oneshot::channel();
        (self.deliver)(attempt, Receipt { upstream, subject, state, status, network: None }, reply);
        matches!(tokio::time::timeout(RECEIPT_WAIT, durable).await, Ok(Ok(()))).then_some(id)
    }
}
