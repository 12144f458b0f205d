//! A database in memory, and what it is told to do wrong.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;

use crate::actors::tracking::ledger::{Batch, Ledger, Patience};
use crate::domain::carrier::Channel;
use crate::domain::delivery::End;
use crate::domain::ids::{DeliveryId, EndpointId};
use crate::records::carrier_attempts::Named;
use crate::records::idempotency::AnswerRecord;
use crate::records::parked::Parked;
use crate::records::settlement::{Settled, Settlement, Settlements};
use crate::store::{CommitError, StoreError};

/// What the next transactions do instead of committing.
pub(super) enum Fault {
    Away,
    LostAfterCommit,
    LostBeforeCommit,
    Panic,
}

/// A database in memory: deliveries that are not named are still `sent`.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) ended: HashMap<DeliveryId, End>,
    pub(super) answers: Vec<AnswerRecord>,
    /// Those of deliveries that went on; else it is the voice channel that was charged for.
    pub(super) channels: HashMap<DeliveryId, Channel>,
    pub(super) faults: VecDeque<Fault>,
    pub(super) poison: Option<DeliveryId>,
    /// Deliveries whose wallets another session holds.
    pub(super) held: HashSet<DeliveryId>,
    pub(super) transactions: usize,
    pub(super) names: Vec<Named>,
    pub(super) named: HashSet<(DeliveryId, Channel)>,
    pub(super) parked: Vec<Parked>,
    /// What the book's next transactions do instead.
    pub(super) book_faults: VecDeque<Fault>,
    /// Looks for attempts by reference.
    pub(super) reads: usize,
    /// A name and a receipt that commit at once do not see each other.
    pub(super) blind: bool,
}

#[derive(Clone, Default)]
pub(super) struct Script(Arc<Mutex<Rows>>);

impl Script {
    pub(super) fn with<T>(&self, look: impl FnOnce(&mut Rows) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn ended(&self, delivery: DeliveryId) -> Option<End> {
        self.with(|rows| rows.ended.get(&delivery).cloned())
    }
}

fn apply(rows: &mut Rows, batch: &Batch) -> Settlements {
    rows.answers.extend(batch.answers.iter().cloned());
    rows.channels.extend(batch.moves.iter().map(|moved| (moved.delivery, moved.channel)));
    let mut end = |settlement: &Settlement| {
        let on = rows.channels.get(&settlement.delivery).copied();
        let has_moved = settlement.unless_moved && on.is_some() && on != settlement.channel;
        let is_failing = matches!(settlement.end, End::Failed { .. });
        if is_failing && rows.held.contains(&settlement.delivery) && !rows.ended.contains_key(&settlement.delivery) {
            return Settled::Postponed;
        }
        if has_moved || rows.ended.contains_key(&settlement.delivery) {
            return Settled::Unchanged;
        }
        rows.ended.insert(settlement.delivery, settlement.end.clone());
        Settled::Ended
    };
    let settled: Vec<Settled> = batch.settlements.iter().map(&mut end).collect();
    let told = if settled.contains(&Settled::Ended) { vec![ENDPOINT] } else { Vec::new() };
    Settlements { settled, told }
}

/// Whom every end is told.
pub(super) const ENDPOINT: EndpointId = EndpointId::from_bytes([7; 16]);

impl Ledger for Script {
    fn settle(
        &mut self,
        batch: Arc<Batch>,
        patience: Patience,
    ) -> BoxFuture<'_, Result<Settlements, CommitError<Settlements>>> {
        let unchanged = Settlements { settled: vec![Settled::Ended; batch.settlements.len()], told: vec![ENDPOINT] };
        let outcome = self.with(|rows| {
            rows.transactions += 1;
            match rows.faults.pop_front() {
                Some(Fault::Away) => return Err(StoreError::Unavailable("scripted".into()).into()),
                Some(Fault::LostAfterCommit) => return Err(CommitError::Unknown { outcome: apply(rows, &batch) }),
                Some(Fault::LostBeforeCommit) => return Err(CommitError::Unknown { outcome: unchanged }),
                Some(Fault::Panic) => return Ok(None),
                None => {}
            }
            if batch.settlements.iter().any(|settlement| Some(settlement.delivery) == rows.poison) {
                return Err(StoreError::Internal("scripted".into()).into());
            }
            let fails = |settlement: &&Settlement| matches!(settlement.end, End::Failed { .. });
            let mut failing = batch.settlements.iter().filter(fails);
            if patience == Patience::Waits && failing.any(|settlement| rows.held.contains(&settlement.delivery)) {
                return Err(StoreError::Locked("scripted".into()).into());
            }
            Ok(Some(apply(rows, &batch)))
        });
        Box::pin(async move { outcome.map(|settled| settled.expect("a scripted panic")) })
    }

    fn hold(&self, batch: Arc<Batch>) -> BoxFuture<'static, Result<Vec<bool>, StoreError>> {
        let ours = |settlement: &Settlement| self.ended(settlement.delivery).as_ref() == Some(&settlement.end);
        let held = batch.settlements.iter().map(ours).collect();
        Box::pin(async move { Ok(held) })
    }
}
