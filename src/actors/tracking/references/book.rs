//! What is asked of the database for receipts by reference: to write names, to find attempts, to park and to take; and who asks
//! for receipts that are not brought.
//!
//! It never tries again: that is its callers'.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::{BoxFuture, try_join};
use tokio::time::Instant;

use crate::carrier::upstream::{FailureClass, Orphan, Polling, ReceiptState, TakenOver};
use crate::domain::ids::ReceiptId;
use crate::records::carrier_attempts::{self, CarrierAttempt, Named, Sought};
use crate::records::parked::{self, Matched, Parked, Place, Step};
use crate::records::polls::{self, Poller};
use crate::store::{CommitError, Store, StoreError};

/// The transactions; the store's in the house, a script in tests.
pub(in crate::actors::tracking) trait Book: Send + Sync + 'static {
    /// Writes names, and says which parked receipts are of these attempts.
    fn name(&self, names: Arc<[Named]>) -> BoxFuture<'static, Result<Vec<Matched>, CommitError<Vec<Matched>>>>;

    /// The attempt of each of `sought`, in their order.
    fn find(&self, sought: Vec<Sought>) -> BoxFuture<'static, Result<Vec<Option<CarrierAttempt>>, StoreError>>;

    fn park(&self, parked: Arc<[Parked]>) -> BoxFuture<'static, Result<(), CommitError<()>>>;

    /// One step of the walk over what is parked.
    fn matches(&self, after: Place) -> BoxFuture<'static, Result<Step, StoreError>>;

    /// Takes receipts out; which of them were there.
    fn take(&self, receipts: Vec<ReceiptId>) -> BoxFuture<'static, Result<HashSet<ReceiptId>, StoreError>>;

    /// Writes that a link asks for receipts, and gives it what others that are gone asked for.
    fn poll(&self, polling: Polling) -> BoxFuture<'static, Result<TakenOver, StoreError>>;
}

/// Parked rows that one step of the walk looks at.
const STEP_ROWS: i64 = 2_000;

pub(in crate::actors::tracking) struct StoreBook(pub(in crate::actors::tracking) Store);

impl Book for StoreBook {
    fn name(&self, names: Arc<[Named]>) -> BoxFuture<'static, Result<Vec<Matched>, CommitError<Vec<Matched>>>> {
        let mut writer = self.0.writer();
        Box::pin(async move {
            let write = writer.commit(None, move |tx| {
                let names = Arc::clone(&names);
                Box::pin(async move {
                    let written = try_join(carrier_attempts::insert(tx, &names), polls::insert(tx, &names));
                    let (_, matched) = try_join(written, parked::for_names(tx, &names)).await?;
                    Ok(matched)
                })
            });
            write.await
        })
    }

    fn find(&self, sought: Vec<Sought>) -> BoxFuture<'static, Result<Vec<Option<CarrierAttempt>>, StoreError>> {
        let store = self.0.clone();
        Box::pin(async move {
            store.read(move |tx| Box::pin(async move { carrier_attempts::find(tx, &sought).await })).await
        })
    }

    fn park(&self, receipts: Arc<[Parked]>) -> BoxFuture<'static, Result<(), CommitError<()>>> {
        let mut writer = self.0.writer();
        Box::pin(async move {
            let write = writer.commit(None, move |tx| {
                let receipts = Arc::clone(&receipts);
                Box::pin(async move { parked::park(tx, &receipts).await })
            });
            write.await
        })
    }

    fn matches(&self, after: Place) -> BoxFuture<'static, Result<Step, StoreError>> {
        let store = self.0.clone();
        Box::pin(async move {
            store.read(move |tx| Box::pin(async move { parked::matches(tx, &after, STEP_ROWS).await })).await
        })
    }

    fn take(&self, receipts: Vec<ReceiptId>) -> BoxFuture<'static, Result<HashSet<ReceiptId>, StoreError>> {
        let store = self.0.clone();
        Box::pin(async move {
            let write = store.write(move |tx| {
                let receipts = receipts.clone();
                Box::pin(async move { parked::take(tx, &receipts).await })
            });
            write.await
        })
    }

    fn poll(&self, polling: Polling) -> BoxFuture<'static, Result<TakenOver, StoreError>> {
        let mut writer = self.0.writer();
        let Polling { upstream, poller, lives_for, takes } = polling;
        let poller = Poller { poller, upstream, lives_for, takes: i64::try_from(takes).unwrap_or(i64::MAX) };
        Box::pin(async move {
            let write = writer.commit(None, move |tx| {
                let poller = poller.clone();
                Box::pin(async move { polls::live(tx, &poller).await })
            });
            let taken_over = match write.await {
                // If it did not commit, another one asks for them too: that ends with the deliveries. Left alone, nobody would.
                Ok(taken_over) | Err(CommitError::Unknown { outcome: taken_over }) => taken_over,
                Err(CommitError::NotCommitted(why)) => return Err(why),
            };
            let now = Instant::now();
            let orphan = |polls::Orphan { attempt: CarrierAttempt { delivery, channel }, reference, settles_in }| {
                Orphan { delivery, channel, reference, settle_by: now + settles_in }
            };
            Ok(TakenOver { orphans: taken_over.orphans.into_iter().map(orphan).collect(), more: taken_over.more })
        })
    }
}

/// What a state is in a row; never changed, because rows outlive a daemon's version.
pub(super) const fn number(state: ReceiptState) -> i64 {
    match state {
        ReceiptState::InProgress => 0,
        ReceiptState::Delivered => 1,
        ReceiptState::Failed(class) => match class {
            FailureClass::Unreachable => 2,
            FailureClass::InvalidNumber => 3,
            FailureClass::Rejected => 4,
            FailureClass::Congestion => 5,
            FailureClass::Misconfigured => 6,
            FailureClass::Expired => 7,
            FailureClass::WrongNetwork => 8,
        },
    }
}

/// `None` for what only a later version writes: its node knows what to do.
pub(super) const fn state(number: i64) -> Option<ReceiptState> {
    Some(match number {
        0 => ReceiptState::InProgress,
        1 => ReceiptState::Delivered,
        2 => ReceiptState::Failed(FailureClass::Unreachable),
        3 => ReceiptState::Failed(FailureClass::InvalidNumber),
        4 => ReceiptState::Failed(FailureClass::Rejected),
        5 => ReceiptState::Failed(FailureClass::Congestion),
        6 => ReceiptState::Failed(FailureClass::Misconfigured),
        7 => ReceiptState::Failed(FailureClass::Expired),
        8 => ReceiptState::Failed(FailureClass::WrongNetwork),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_gives_back_the_state_that_it_was_given() {
        for written in 0..=8 {
            assert_eq!(state(written).map(number), Some(written));
        }
        assert_eq!((state(-1), state(9)), (None, None));
    }
}
