//! One round of the sweeper: the time, overdue deliveries by age and wherever else they are, the watermark, housekeeping.
//!
//! Every statement reads a bounded number of rows and every round takes a bounded time, however many deliveries lie
//! between the watermark and now: the walk goes from one slice of the primary key to the next, and over gaps at once.

use std::time::Duration;

use metrics::{Counter, counter, gauge};
use tokio::time::Instant;
use tracing::{error, warn};

use super::house_time::HouseTime;
use super::housekeeping::Housekeeping;
use crate::config::SweeperConfig;
use crate::domain::delivery::{End, FailureCode, WindowAfter};
use crate::domain::ids::DeliveryId;
use crate::domain::time::Timestamp;
use crate::records::pruning;
use crate::records::settlement::{Settled, Settlement, first_overdue, overdue, settle_unwaited};
use crate::store::{Store, StoreError, Tx};
use crate::telemetry::names;

/// How long the node that holds a delivery is left to end it by its own clock; more than an id may be older than its row.
const MARGIN: Duration = Duration::from_secs(15);
/// How much older than the longest settle time the watermark stays: nothing is written behind it.
const WATERMARK_MARGIN: Duration = Duration::from_secs(60);
const WATERMARK_EVERY: Duration = Duration::from_secs(10);
/// Deliveries that one statement reads at most: some milliseconds, where a statement may take 2 s.
const SLICE_ROWS: i64 = 10_000;
/// How long a round walks before it lets other messages (the stop) in between.
const WALK_BUDGET: Duration = Duration::from_secs(1);
const WATERMARK_BUDGET: Duration = Duration::from_millis(500);
/// From one slice of the walk over all deliveries to the next while no clock is stepped: a thousandth of a core.
const PATROL_EVERY: Duration = Duration::from_secs(5);
const FIRST: DeliveryId = DeliveryId::from_bytes([0; 16]);
const LAST: DeliveryId = DeliveryId::from_bytes([0xff; 16]);

pub(super) struct Rounds {
    store: Store,
    time: HouseTime,
    longest_settle: Duration,
    margin: Duration,
    watermark_margin: Duration,
    slice_rows: i64,
    batch_max: i64,
    /// Every delivery up to here has been looked at since this node started; `None` before the first round.
    cursor: Option<DeliveryId>,
    /// Whether the walk of this node's start is done: it waits for nobody, because the nodes that held what is overdue may
    /// be dead.
    caught_up: bool,
    watermark_due: Instant,
    /// Where the walk over all deliveries, whatever their age, goes on, and when.
    patrol: DeliveryId,
    patrol_due: Instant,
    /// Whether it goes through without a pause: the clock was stepped.
    patrol_hurries: bool,
    housekeeping: Housekeeping,
    swept: Counter,
    stuck: Counter,
}

impl Rounds {
    pub(super) fn new(
        config: &SweeperConfig,
        keep_attempts: Duration,
        store: &Store,
        longest_settle: Duration,
    ) -> Self {
        Self {
            store: store.clone(),
            time: HouseTime::new(store),
            longest_settle,
            margin: MARGIN,
            watermark_margin: WATERMARK_MARGIN,
            slice_rows: SLICE_ROWS,
            batch_max: i64::try_from(config.batch_max).unwrap_or(i64::MAX),
            cursor: None,
            caught_up: false,
            watermark_due: Instant::now(),
            patrol: FIRST,
            patrol_due: Instant::now(),
            patrol_hurries: false,
            housekeeping: Housekeeping::new(config, keep_attempts, longest_settle, store),
            swept: counter!(names::SWEPT),
            stuck: counter!(names::SWEEP_STUCK),
        }
    }

    /// Runs one round; `false` if it stopped for its time and the next one should follow at once.
    pub(super) async fn run(&mut self) -> Result<bool, StoreError> {
        let told = self.time.read().await?;
        if told.stepped {
            (self.patrol, self.patrol_due, self.patrol_hurries) = (FIRST, Instant::now(), true);
        }
        if told.held {
            self.watermark_due = Instant::now();
            return Ok(true);
        }
        let now = told.now;
        // Each does its part whatever became of the others: a row that cannot be ended must not stop the rest for good.
        let swept = self.sweep(now).await;
        let patrolled = self.patrol(now).await;
        let advanced = self.keep_watermark(now).await;
        let kept = self.housekeeping.run(now).await;
        let marked = self.time.mark(&told).await;
        advanced.and(kept).and(marked)?;
        Ok(swept? && patrolled?)
    }

    /// Looks at the next slice of all deliveries, and ends what is overdue there although its id says otherwise: it was made
    /// under another clock. `false` if the next slice should follow at once.
    async fn patrol(&mut self, now: Timestamp) -> Result<bool, StoreError> {
        if Instant::now() < self.patrol_due {
            return Ok(true);
        }
        let (reached, found) = self.sweep_slice(self.patrol, LAST, now.minus(self.margin)).await?;
        let is_over = reached == LAST;
        self.patrol = if is_over { FIRST } else { reached };
        self.patrol_hurries &= !is_over;
        if is_over || !(found || self.patrol_hurries) {
            self.patrol_due = Instant::now() + PATROL_EVERY;
        }
        Ok(!self.patrol_hurries)
    }

    /// Ends the overdue deliveries between the cursor and the youngest that can be overdue. Whether it came to the end.
    async fn sweep(&mut self, now: Timestamp) -> Result<bool, StoreError> {
        let oldest_live = DeliveryId::floor(now.minus(self.longest_settle + self.margin));
        let until = if self.caught_up { oldest_live } else { DeliveryId::floor(now.minus(self.longest_settle)) };
        let mut after = match self.cursor {
            Some(cursor) => cursor,
            None => self.store.read(|tx| Box::pin(pruning::watermark(tx))).await?,
        };
        // Further only after an operator accepted an earlier time: what is made from now on has not been looked at.
        after = after.min(until);
        let since = Instant::now();
        while after < until {
            if since.elapsed() > WALK_BUDGET {
                return Ok(false);
            }
            (after, _) = self.sweep_slice(after, until, now).await?;
            self.cursor = Some(after);
        }
        if !self.caught_up {
            // What was too young to be overdue is looked at again.
            self.caught_up = true;
            after = after.min(oldest_live);
        }
        self.cursor = Some(after);
        Ok(true)
    }

    /// Ends at most a batch of one slice; returns up to where it has looked, and whether it found any. A batch that cannot be ended is halved, down
    /// to the one delivery that is to blame, which is passed: the watermark stays behind it.
    async fn sweep_slice(
        &self,
        after: DeliveryId,
        until: DeliveryId,
        due: Timestamp,
    ) -> Result<(DeliveryId, bool), StoreError> {
        let rows = self.slice_rows;
        let (end, first) = self.store.read(move |tx| Box::pin(look(tx, after, until, rows, due))).await?;
        let Some(first) = first else { return Ok((end, false)) };
        let mut limit = self.batch_max;
        loop {
            // Alone, it is the one that was seen, whoever else holds it locked.
            let end = if limit == 1 { first } else { end };
            match self.store.write(move |tx| Box::pin(end_overdue(tx, before(first), end, due, limit))).await {
                Ok((looked_at, ended)) => {
                    if ended > 0 {
                        self.swept.increment(ended);
                        warn!(deliveries = ended, "overdue deliveries were ended and refunded");
                    }
                    return Ok((looked_at, true));
                }
                Err(StoreError::Internal(why)) if limit == 1 => {
                    self.stuck.increment(1);
                    error!(delivery = %first, why, "an overdue delivery cannot be ended");
                    return Ok((first, true));
                }
                Err(StoreError::Internal(_)) => limit = (limit / 2).max(1),
                Err(error) => return Err(error),
            }
        }
    }

    async fn keep_watermark(&mut self, now: Timestamp) -> Result<(), StoreError> {
        if self.watermark_due <= Instant::now() && self.advance_watermark(now).await? {
            self.watermark_due = Instant::now() + WATERMARK_EVERY;
        }
        Ok(())
    }

    /// Moves the watermark up to the oldest delivery that is still `sent`. One that this node's walk has passed — it was
    /// locked by somebody who did not end it — is walked over again. Whether it came to the end.
    async fn advance_watermark(&mut self, now: Timestamp) -> Result<bool, StoreError> {
        let bound = DeliveryId::floor(now.minus(self.longest_settle + self.watermark_margin));
        let (rows, since) = (self.slice_rows, Instant::now());
        let done = loop {
            let (from, end) = self.store.read(move |tx| Box::pin(next_slice(tx, bound, rows))).await?;
            gauge!(names::SWEEPER_LAG_SECONDS).set(now.since(from.timestamp()).as_secs_f64());
            if from >= bound {
                break true;
            }
            if !self.store.write(move |tx| Box::pin(pruning::advance_watermark(tx, end))).await? {
                // Another node has moved it, or a delivery of this slice is still `sent`.
                let sent = self.store.read(move |tx| Box::pin(pruning::first_sent(tx, from, end))).await?;
                if let Some(sent) = sent {
                    let to = before(sent);
                    self.store.write(move |tx| Box::pin(pruning::advance_watermark(tx, to))).await?;
                    self.cursor = self.cursor.map(|cursor| cursor.min(to));
                    break true;
                }
            }
            if since.elapsed() > WATERMARK_BUDGET {
                break false;
            }
        };
        Ok(done)
    }
}

/// The end of the next slice, and its first overdue delivery.
async fn look(
    tx: &Tx,
    after: DeliveryId,
    until: DeliveryId,
    rows: i64,
    due: Timestamp,
) -> Result<(DeliveryId, Option<DeliveryId>), StoreError> {
    let end = pruning::slice_end(tx, after, until, rows).await?;
    Ok((end, first_overdue(tx, after, end, due).await?))
}

/// The watermark, and the end of the slice after it.
async fn next_slice(tx: &Tx, bound: DeliveryId, rows: i64) -> Result<(DeliveryId, DeliveryId), StoreError> {
    let from = pruning::watermark(tx).await?;
    Ok((from, pruning::slice_end(tx, from, bound, rows).await?))
}

/// Ends one batch of overdue deliveries; returns up to where it has looked and how many it ended.
async fn end_overdue(
    tx: &Tx,
    after: DeliveryId,
    until: DeliveryId,
    due: Timestamp,
    limit: i64,
) -> Result<(DeliveryId, u64), StoreError> {
    let found = overdue(tx, after, until, due, limit).await?;
    let looked_at =
        if i64::try_from(found.len()).unwrap_or(i64::MAX) < limit { until } else { *found.last().unwrap_or(&until) };
    let settlements: Vec<Settlement> = found.into_iter().map(timed_out).collect();
    if settlements.is_empty() {
        return Ok((looked_at, 0));
    }
    // Whom it queued events for, the poll of the outbox finds. What would have to wait for a wallet stays behind: the watermark
    // does not pass it, and the walk comes back to it.
    let settled = settle_unwaited(tx, &settlements, &[]).await?.settled;
    Ok((looked_at, settled.iter().filter(|settled| **settled == Settled::Ended).count() as u64))
}

fn timed_out(delivery: DeliveryId) -> Settlement {
    let end = End::Failed { code: FailureCode::Timeout, carrier_status: None };
    Settlement { delivery, end, channel: None, unless_moved: false, window: WindowAfter::Keep }
}

/// The largest id that is smaller.
fn before(delivery: DeliveryId) -> DeliveryId {
    DeliveryId::from_bytes(u128::from_be_bytes(*delivery.as_bytes()).saturating_sub(1).to_be_bytes())
}

#[cfg(test)]
mod tests;
