//! The scripted database's names and parked receipts.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::script::{Fault, Rows, Script};
use crate::actors::tracking::references::Book;
use crate::carrier::upstream::{Polling, TakenOver};
use crate::domain::ids::ReceiptId;
use crate::records::carrier_attempts::{CarrierAttempt, Named, Sought};
use crate::records::parked::{Matched, Parked, Place, Step};
use crate::store::{CommitError, StoreError};

fn is_of(sought: &Sought, named: &Named) -> bool {
    sought.upstream == named.upstream
        && sought.phone_key.is_none_or(|phone_key| phone_key == named.phone_key)
        && sought.references.iter().any(|reference| named.references.contains(reference))
}

fn matches(rows: &Rows, names: &[Named]) -> Vec<Matched> {
    let of = |parked: &Parked| {
        let named = names.iter().rev().find(|named| is_of(&parked.of, named))?;
        Some(Matched {
            receipt: parked.receipt,
            upstream: parked.of.upstream.clone(),
            attempt: named.attempt,
            state: parked.state,
            status: parked.status.clone(),
        })
    };
    rows.parked.iter().filter_map(of).collect()
}

fn away() -> StoreError {
    StoreError::Unavailable("scripted".into())
}

impl Script {
    /// A transaction of the book, which may fail as the script says.
    fn write<T: Clone>(&self, nothing: &T, apply: impl FnOnce(&mut Rows) -> T) -> Result<T, CommitError<T>> {
        self.with(|rows| match rows.book_faults.pop_front() {
            Some(Fault::Away) => Err(away().into()),
            Some(Fault::LostAfterCommit) => Err(CommitError::Unknown { outcome: apply(rows) }),
            Some(Fault::LostBeforeCommit) => Err(CommitError::Unknown { outcome: nothing.clone() }),
            Some(Fault::Panic) => panic!("on purpose"),
            None => Ok(apply(rows)),
        })
    }
}

impl Book for Script {
    fn name(&self, names: Arc<[Named]>) -> BoxFuture<'static, Result<Vec<Matched>, CommitError<Vec<Matched>>>> {
        let script = self.clone();
        Box::pin(async move {
            if names.iter().any(|named| script.with(|rows| rows.poison == Some(named.attempt.delivery))) {
                return Err(StoreError::Internal("scripted".into()).into());
            }
            script.write(&Vec::new(), |rows| {
                for named in names.iter() {
                    if rows.named.insert((named.attempt.delivery, named.attempt.channel)) {
                        rows.names.push(named.clone());
                    }
                }
                if rows.blind { Vec::new() } else { matches(rows, &names) }
            })
        })
    }

    fn find(&self, sought: Vec<Sought>) -> BoxFuture<'static, Result<Vec<Option<CarrierAttempt>>, StoreError>> {
        let found = self.with(|rows| {
            rows.reads += 1;
            if matches!(rows.book_faults.front(), Some(Fault::Away)) {
                rows.book_faults.pop_front();
                return Err(away());
            }
            let find = |sought: &Sought| {
                let named = rows.names.iter().rev().find(|named| is_of(sought, named));
                named.filter(|_| !rows.blind).map(|named| named.attempt)
            };
            Ok(sought.iter().map(find).collect())
        });
        Box::pin(async move { found })
    }

    fn park(&self, parked: Arc<[Parked]>) -> BoxFuture<'static, Result<(), CommitError<()>>> {
        let script = self.clone();
        Box::pin(async move {
            script.write(&(), |rows| {
                let known: HashSet<ReceiptId> = rows.parked.iter().map(|parked| parked.receipt).collect();
                rows.parked.extend(parked.iter().filter(|parked| !known.contains(&parked.receipt)).cloned());
            })
        })
    }

    fn matches(&self, _after: Place) -> BoxFuture<'static, Result<Step, StoreError>> {
        let step = self.with(|rows| match rows.book_faults.front() {
            Some(Fault::Away) => Err(away()),
            _ => Ok(Step { matched: matches(rows, &rows.names), next: None }),
        });
        Box::pin(async move { step })
    }

    fn poll(&self, _: Polling) -> BoxFuture<'static, Result<TakenOver, StoreError>> {
        Box::pin(async { Ok(TakenOver::default()) })
    }

    fn take(&self, receipts: Vec<ReceiptId>) -> BoxFuture<'static, Result<HashSet<ReceiptId>, StoreError>> {
        let taken = self.with(|rows| {
            let asked: HashSet<ReceiptId> = receipts.into_iter().collect();
            rows.parked.extract_if(.., |parked| asked.contains(&parked.receipt)).map(|parked| parked.receipt).collect()
        });
        Box::pin(async move { Ok(taken) })
    }
}
