//! One round of the sweeper: overdue deliveries, the watermark, housekeeping.

use std::time::Duration;

use futures_util::future::BoxFuture;
use metrics::{Counter, counter, gauge};
use tokio::time::Instant;
use tracing::warn;

use crate::clock::{DatabaseClock, wall_now};
use crate::config::SweeperConfig;
use crate::domain::delivery::{End, FailureCode, WindowAfter};
use crate::domain::ids::{DeliveryId, MovementId};
use crate::domain::time::Timestamp;
use crate::records::settlement::{Settled, Settlement, overdue, settle};
use crate::records::{idempotency, pruning};
use crate::store::{Store, StoreError, Tx};
use crate::telemetry::names;

/// How long the node that holds a delivery is left to end it by its own clock.
const MARGIN: Duration = Duration::from_secs(15);
/// How much older than the longest settle time the watermark stays: nothing is written behind it.
const WATERMARK_MARGIN: Duration = Duration::from_secs(60);
const WATERMARK_EVERY: Duration = Duration::from_secs(10);
const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(60);
/// The share of a round that housekeeping may take when much is old.
const HOUSEKEEPING_BUDGET: Duration = Duration::from_millis(250);
/// An unknown commit is resolved in seconds, or its node is gone.
const KEEP_BATCHES: Duration = Duration::from_secs(60 * 60);
/// Windows are read for their remainder a while after their end; then they are of no use.
const KEEP_WINDOWS: Duration = Duration::from_secs(10 * 60);

pub(super) struct Rounds {
    store: Store,
    clock: DatabaseClock,
    /// How old a delivery is before it is looked at.
    sweep_after: Duration,
    /// How far behind the clock the watermark stays.
    watermark_after: Duration,
    batch_max: i64,
    keep_idempotency: Duration,
    keep_deliveries: Duration,
    /// Every delivery up to here has been looked at since this node started; `None` before the first round.
    cursor: Option<DeliveryId>,
    watermark_due: Instant,
    housekeeping_due: Instant,
    swept: Counter,
}

impl Rounds {
    pub(super) fn new(config: &SweeperConfig, store: &Store, clock: &DatabaseClock, longest_settle: Duration) -> Self {
        let now = Instant::now();
        Self {
            store: store.clone(),
            clock: clock.clone(),
            sweep_after: longest_settle + MARGIN,
            watermark_after: longest_settle + WATERMARK_MARGIN,
            batch_max: i64::try_from(config.batch_max).unwrap_or(i64::MAX),
            keep_idempotency: Duration::from_secs(config.keep_idempotency_hours.saturating_mul(60 * 60)),
            keep_deliveries: Duration::from_secs(config.keep_deliveries_days.saturating_mul(24 * 60 * 60)),
            cursor: None,
            watermark_due: now,
            housekeeping_due: now,
            swept: counter!(names::SWEPT),
        }
    }

    pub(super) async fn run(&mut self) -> Result<(), StoreError> {
        let now = self.store.ping().await?;
        self.clock.observe(now);
        let ahead_us = wall_now().micros().saturating_sub(now.micros());
        gauge!(names::CLOCK_SKEW_SECONDS).set(ahead_us as f64 / 1e6);
        self.sweep(now).await?;
        if self.watermark_due <= Instant::now() {
            self.advance_watermark(now).await?;
            self.watermark_due = Instant::now() + WATERMARK_EVERY;
        }
        if self.housekeeping_due <= Instant::now() && self.keep_house(now).await? {
            self.housekeeping_due = Instant::now() + HOUSEKEEPING_EVERY;
        }
        Ok(())
    }

    /// Ends the overdue deliveries between the cursor and the youngest that can be overdue.
    async fn sweep(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let until = DeliveryId::floor(now.minus(self.sweep_after));
        let mut after = match self.cursor {
            Some(cursor) => cursor,
            None => self.store.read(|tx| Box::pin(pruning::watermark(tx))).await?,
        };
        while after < until {
            let limit = self.batch_max;
            let (looked_at, ended) = self.store.write(move |tx| Box::pin(end_overdue(tx, after, until, limit))).await?;
            if ended > 0 {
                self.swept.increment(ended);
                warn!(deliveries = ended, "overdue deliveries were ended and refunded");
            }
            after = looked_at;
            self.cursor = Some(after);
        }
        self.cursor = Some(after);
        Ok(())
    }

    /// Moves the watermark up to the oldest delivery that is still `sent`. One that this node's walk has passed — it was
    /// locked by somebody who did not end it — is walked over again.
    async fn advance_watermark(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let bound = DeliveryId::floor(now.minus(self.watermark_after));
        let (from, first_sent) = self.store.read(move |tx| Box::pin(oldest_sent(tx, bound))).await?;
        let to = first_sent.map_or(bound, before);
        if first_sent.is_some() && self.cursor.is_some_and(|cursor| cursor > to) {
            self.cursor = Some(to);
        }
        if to > from {
            self.store
                .write(move |tx| Box::pin(async move { pruning::advance_watermark(tx, to).await.map(drop) }))
                .await?;
        }
        let reached = to.max(from).timestamp();
        gauge!(names::SWEEPER_LAG_SECONDS).set(now.since(reached).as_secs_f64());
        Ok(())
    }

    /// Drops what is old, a batch of each kind after the other, within its budget. Whether nothing is left to drop.
    async fn keep_house(&self, now: Timestamp) -> Result<bool, StoreError> {
        let (limit, since) = (self.batch_max, Instant::now());
        let mut done = true;
        for chore in self.chores(now) {
            loop {
                let dropped = (chore.drop)(&self.store, limit).await?;
                counter!(names::PRUNED, "table" => chore.table).increment(dropped);
                if i64::try_from(dropped).unwrap_or(i64::MAX) < limit {
                    break;
                }
                if since.elapsed() > HOUSEKEEPING_BUDGET {
                    done = false;
                    break;
                }
            }
        }
        Ok(done)
    }

    fn chores(&self, now: Timestamp) -> [Chore; 4] {
        let old_batches = DeliveryId::floor(now.minus(KEEP_BATCHES));
        let old_deliveries = DeliveryId::floor(now.minus(self.keep_deliveries));
        let keep_keys = self.keep_idempotency;
        [
            Chore::new("batches", move |store, limit| {
                Box::pin(store.write(move |tx| Box::pin(pruning::prune_batches(tx, old_batches, limit))))
            }),
            Chore::new("idempotency_keys", move |store, limit| {
                Box::pin(store.write(move |tx| Box::pin(idempotency::prune(tx, keep_keys, limit))))
            }),
            Chore::new("cooldown_windows", move |store, limit| {
                Box::pin(store.write(move |tx| Box::pin(pruning::prune_windows(tx, KEEP_WINDOWS, limit))))
            }),
            Chore::new("deliveries", move |store, limit| {
                Box::pin(store.write(move |tx| Box::pin(fold(tx, old_deliveries, limit, now))))
            }),
        ]
    }
}

type Work = dyn Fn(&Store, i64) -> BoxFuture<'_, Result<u64, StoreError>> + Send + Sync;

struct Chore {
    table: &'static str,
    drop: Box<Work>,
}

impl Chore {
    fn new(
        table: &'static str,
        drop: impl Fn(&Store, i64) -> BoxFuture<'_, Result<u64, StoreError>> + Send + Sync + 'static,
    ) -> Self {
        Self { table, drop: Box::new(drop) }
    }
}

/// Ends one batch of overdue deliveries; returns up to where it has looked and how many it ended.
async fn end_overdue(
    tx: &Tx,
    after: DeliveryId,
    until: DeliveryId,
    limit: i64,
) -> Result<(DeliveryId, u64), StoreError> {
    let found = overdue(tx, after, until, limit).await?;
    let looked_at =
        if i64::try_from(found.len()).unwrap_or(i64::MAX) < limit { until } else { *found.last().unwrap_or(&until) };
    let settlements: Vec<Settlement> = found.into_iter().map(timed_out).collect();
    if settlements.is_empty() {
        return Ok((looked_at, 0));
    }
    let settled = settle(tx, &settlements).await?;
    Ok((looked_at, settled.iter().filter(|settled| **settled == Settled::Ended).count() as u64))
}

fn timed_out(delivery: DeliveryId) -> Settlement {
    let end = End::Failed { code: FailureCode::Timeout, carrier_status: None };
    Settlement { delivery, end, window: WindowAfter::Keep }
}

/// The watermark and the oldest delivery after it, up to `bound`, that is still `sent`.
async fn oldest_sent(tx: &Tx, bound: DeliveryId) -> Result<(DeliveryId, Option<DeliveryId>), StoreError> {
    let from = pruning::watermark(tx).await?;
    Ok((from, pruning::first_sent(tx, from, bound).await?))
}

async fn fold(tx: &Tx, before: DeliveryId, limit: i64, now: Timestamp) -> Result<u64, StoreError> {
    pruning::fold_deliveries(tx, before, limit, &|| MovementId::new(now, rand::random())).await
}

/// The largest id that is smaller.
fn before(delivery: DeliveryId) -> DeliveryId {
    DeliveryId::from_bytes(u128::from_be_bytes(*delivery.as_bytes()).saturating_sub(1).to_be_bytes())
}

#[cfg(test)]
mod tests;
