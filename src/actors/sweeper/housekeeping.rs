//! Housekeeping: drops and folds what is old, a bounded number of rows at a time.
//!
//! It owns a place in each table that has no order of age, and walks it round and round; what it forgets by a restart is
//! walked again. A table that has nothing old costs a look at its keys.

use std::time::Duration;

use metrics::counter;
use tokio::time::Instant;
use tracing::warn;

use crate::config::SweeperConfig;
use crate::domain::ids::{AttemptId, DeliveryId, MovementId};
use crate::domain::time::Timestamp;
use crate::records::attempts;
use crate::records::carrier_attempts;
use crate::records::idempotency::{self, KEPT, Place};
use crate::records::parked;
use crate::records::polls;
use crate::records::pruning;
use crate::store::{Store, StoreError, Tx};
use crate::telemetry::names;

const EVERY: Duration = Duration::from_secs(60);
/// The share of a round that it may take when much is old.
const BUDGET: Duration = Duration::from_millis(250);
/// Keys and windows that one transaction looks at.
const SLICE_ROWS: i64 = 2_000;
/// An unknown commit is resolved in seconds, or its node is gone.
const KEEP_BATCHES: Duration = Duration::from_secs(60 * 60);
/// How late a receipt may still find its attempt: carriers try a phone that is off for a day, and say so after that.
const KEEP_CARRIER_ATTEMPTS: Duration = Duration::from_secs(48 * 60 * 60);
/// How much longer than a delivery can settle the polls of its attempts are kept.
const POLLS_MARGIN: Duration = Duration::from_secs(60);
/// How much longer than its polls a poller is kept that was not heard of: one that was only slow goes on under its id.
const KEEP_POLLERS: Duration = Duration::from_secs(60 * 60);
/// How long a receipt waits for its attempt to be named: longer than any ack.
const KEEP_PARKED: Duration = Duration::from_secs(60);
/// A window is of no use after its end; what is dropped later spares a phone that is called again its new row.
const KEEP_WINDOWS: Duration = Duration::from_secs(30);

pub(super) struct Housekeeping {
    store: Store,
    batch_max: i64,
    keep_deliveries: Duration,
    keep_attempts: Duration,
    keep_polls: Duration,
    /// Chores that are done for this time.
    done: usize,
    keys_from: Place,
    windows_from: i64,
    due: Instant,
}

/// What a step of a chore did.
struct Done {
    dropped: u64,
    /// Whether nothing is left for this time.
    all: bool,
}

const TABLES: [&str; 8] = [
    "parked_receipts",
    "polls",
    "batches",
    "deliveries",
    "webhook_attempts",
    "attempts",
    "cooldown_windows",
    "idempotency_keys",
];

impl Housekeeping {
    pub(super) fn new(
        config: &SweeperConfig,
        keep_attempts: Duration,
        longest_settle: Duration,
        store: &Store,
    ) -> Self {
        Self {
            store: store.clone(),
            batch_max: i64::try_from(config.batch_max).unwrap_or(i64::MAX),
            keep_deliveries: Duration::from_secs(config.keep_deliveries_days.saturating_mul(24 * 60 * 60)),
            keep_attempts,
            keep_polls: longest_settle + POLLS_MARGIN,
            done: 0,
            keys_from: Place::FIRST,
            windows_from: i64::MIN,
            due: Instant::now(),
        }
    }

    /// Does the chores that are due, one table after the other, within its budget; the next call goes on from there.
    pub(super) async fn run(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let since = Instant::now();
        if since < self.due {
            return Ok(());
        }
        while let Some(table) = TABLES.get(self.done) {
            let Done { dropped, all } = match self.done {
                0 => self.parked_receipts(now).await?,
                1 => self.polls(now).await?,
                2 => self.batches(now).await?,
                3 => self.deliveries(now).await?,
                4 => self.webhook_attempts(now).await?,
                5 => self.carrier_attempts(now).await?,
                6 => self.windows(now).await?,
                _ => self.keys(now).await?,
            };
            counter!(names::PRUNED, "table" => *table).increment(dropped);
            self.done += usize::from(all);
            if since.elapsed() > BUDGET {
                return Ok(());
            }
        }
        self.done = 0;
        self.due = Instant::now() + EVERY;
        Ok(())
    }

    async fn batches(&self, now: Timestamp) -> Result<Done, StoreError> {
        let (old, limit) = (DeliveryId::floor(now.minus(KEEP_BATCHES)), self.batch_max);
        let dropped = self.store.write(move |tx| Box::pin(pruning::prune_batches(tx, old, limit))).await?;
        Ok(self.limited(dropped))
    }

    async fn deliveries(&self, now: Timestamp) -> Result<Done, StoreError> {
        let (old, limit) = (DeliveryId::floor(now.minus(self.keep_deliveries)), self.batch_max);
        let dropped = self.store.write(move |tx| Box::pin(fold(tx, old, limit, now))).await?;
        Ok(self.limited(dropped))
    }

    async fn webhook_attempts(&self, now: Timestamp) -> Result<Done, StoreError> {
        let old = AttemptId::from_bytes(*DeliveryId::floor(now.minus(self.keep_attempts)).as_bytes());
        let limit = self.batch_max;
        let dropped = self.store.write(move |tx| Box::pin(attempts::prune(tx, old, limit))).await?;
        Ok(self.limited(dropped))
    }

    async fn carrier_attempts(&self, now: Timestamp) -> Result<Done, StoreError> {
        let (old, limit) = (now.minus(KEEP_CARRIER_ATTEMPTS), self.batch_max);
        let dropped = self.store.write(move |tx| Box::pin(carrier_attempts::prune(tx, old, limit))).await?;
        Ok(self.limited(dropped))
    }

    async fn polls(&self, now: Timestamp) -> Result<Done, StoreError> {
        let (old, limit) = (DeliveryId::floor(now.minus(self.keep_polls)), self.batch_max);
        let gone = now.minus(self.keep_polls + KEEP_POLLERS);
        let dropped = self.store.write(move |tx| Box::pin(polls::prune(tx, old, gone, limit))).await?;
        Ok(self.limited(dropped))
    }

    /// Receipts that nobody named in time: a row of each form, and a count of each receipt.
    async fn parked_receipts(&self, now: Timestamp) -> Result<Done, StoreError> {
        let (old, limit) = (now.minus(KEEP_PARKED), self.batch_max);
        let expired = self.store.write(move |tx| Box::pin(parked::expire(tx, old, limit))).await?;
        for (upstream, receipts) in expired.by_upstream {
            warn!(upstream = upstream.as_str(), receipts, "receipts of attempts that nobody named were dropped");
            counter!(names::RECEIPTS_UNMATCHED, "upstream" => upstream.as_str().to_owned()).increment(receipts);
        }
        Ok(self.limited(expired.rows))
    }

    fn limited(&self, dropped: u64) -> Done {
        Done { dropped, all: i64::try_from(dropped).unwrap_or(i64::MAX) < self.batch_max }
    }

    async fn windows(&mut self, now: Timestamp) -> Result<Done, StoreError> {
        let (from, old) = (self.windows_from, now.minus(KEEP_WINDOWS));
        let step = self.store.write(move |tx| Box::pin(pruning::prune_windows(tx, from, SLICE_ROWS, old))).await?;
        let all = step.next.is_none();
        self.windows_from = step.next.unwrap_or(i64::MIN);
        Ok(Done { dropped: step.dropped, all })
    }

    async fn keys(&mut self, now: Timestamp) -> Result<Done, StoreError> {
        let (from, old) = (self.keys_from.clone(), now.minus(KEPT));
        let step = self
            .store
            .write(move |tx| {
                let from = from.clone();
                Box::pin(async move { idempotency::prune(tx, &from, SLICE_ROWS, old).await })
            })
            .await?;
        let all = step.next.is_none();
        self.keys_from = step.next.unwrap_or(Place::FIRST);
        Ok(Done { dropped: step.dropped, all })
    }
}

pub(super) async fn fold(tx: &Tx, before: DeliveryId, limit: i64, now: Timestamp) -> Result<u64, StoreError> {
    pruning::fold_deliveries(tx, before, limit, &|| MovementId::new(now, rand::random())).await
}
