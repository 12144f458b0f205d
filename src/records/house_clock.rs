//! What the rows know of the house's time: the mark that it goes on from, holds after a step, and an operator's word.
//!
//! Every daemon reads the row at its start and in each round of its sweeper. The mark is written seldom, not with each
//! commit: what was accepted since is told by the batches.

use std::time::Duration;

use crate::clock::{DOUBT_FROM, DatabaseClock, HOLD as HOLD_FOR};
use crate::domain::ids::{BatchId, DeliveryId};
use crate::domain::time::Timestamp;
use crate::records::acceptance::ID_SKEW_MAX;
use crate::records::audit::{self, Actor};
use crate::store::{Scalar, Statement, Store, StoreError, Tx, Type};

/// How far behind the mark the ids of batches that are younger may begin.
const BEHIND_MARK: Duration = Duration::from_secs(60);
/// How far ahead of the mark a batch is still told from one that was written under a wrong clock.
const AHEAD_OF_MARK: Duration = Duration::from_secs(5 * 60);
/// Batches that are looked at: those of several nodes are not written in the order of their ids.
const BATCHES_MAX: i64 = 100;
/// How far behind an accepted clock the sweeper begins anew.
const WALKED_AGAIN: Duration = Duration::from_secs(60 * 60);

static READ: Statement = Statement::new(
    "house_clock.read",
    &[],
    &[],
    "SELECT {now_us}, {server_us}, mark_us, accepted, held_until_us FROM house_clock WHERE one = 1",
);

static LAST_BATCHES: Statement = Statement::new(
    "house_clock.last_batches",
    &[],
    &[Type::Id, Type::Id, Type::I64],
    "SELECT id, at_us FROM batches WHERE id > $1 AND id <= $2 ORDER BY id DESC LIMIT $3",
);

static MARK: Statement = Statement::new(
    "house_clock.mark",
    &[],
    &[Type::I64, Type::I64],
    "UPDATE house_clock SET mark_us = $1 WHERE one = 1 AND mark_us < $1 AND accepted = $2",
);

static HOLD: Statement =
    Statement::new("house_clock.hold", &[], &[Type::I64], "UPDATE house_clock SET held_until_us = $1 WHERE one = 1");

static ACCEPT: Statement = Statement::new(
    "house_clock.accept",
    &[],
    &[Type::I64],
    "UPDATE house_clock SET mark_us = $1, accepted = accepted + 1, held_until_us = 0 WHERE one = 1",
);

static LOWER_WATERMARK: Statement = Statement::new(
    "house_clock.lower_watermark",
    &[],
    &[Type::Id],
    "UPDATE sweeper SET watermark = $1 WHERE one = 1 AND watermark > $1",
);

/// The row, and the clocks at the same moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HouseClock {
    /// The house's time.
    pub now: Timestamp,
    /// What the database's clock itself shows.
    pub server: Timestamp,
    pub mark: Timestamp,
    /// How often an operator accepted the clock.
    pub accepted: i64,
    /// By the server's clock.
    pub held_until: Timestamp,
}

/// Reads the row and the clocks.
///
/// # Errors
/// [`StoreError`].
pub async fn read(tx: &Tx) -> Result<HouseClock, StoreError> {
    let rows = tx.query(&READ, &[], &[]).await?;
    let row = rows.first().ok_or_else(|| StoreError::Internal("the house's clock has no row".into()))?;
    let time = |at: usize| row.i64(at).map(Timestamp::from_micros);
    Ok(HouseClock { now: time(0)?, server: time(1)?, mark: time(2)?, accepted: row.i64(3)?, held_until: time(4)? })
}

/// The latest time that the house has certainly reached: the mark, or that of a batch which was written since.
///
/// # Errors
/// [`StoreError`].
pub async fn reached(tx: &Tx, mark: Timestamp) -> Result<Timestamp, StoreError> {
    // The second: a database that no daemon with a mark has served.
    let range = if mark > Timestamp::default() {
        [DeliveryId::floor(mark.minus(BEHIND_MARK)), DeliveryId::floor(mark.plus(AHEAD_OF_MARK))]
    } else {
        [DeliveryId::from_bytes([0; 16]), DeliveryId::from_bytes([0xff; 16])]
    };
    let [from, until] = range.map(|id| Scalar::Id(*id.as_bytes()));
    let mut reached = mark;
    for row in tx.query(&LAST_BATCHES, &[], &[from, until, Scalar::I64(BATCHES_MAX)]).await? {
        let (made, at) = (BatchId::from_bytes(row.id(0)?).timestamp(), Timestamp::from_micros(row.i64(1)?));
        // One whose row says another time than its id was written while the clock was stepped, and accepted nothing.
        reached = reached.max(if at.since(made) <= ID_SKEW_MAX { at.max(made) } else { made });
    }
    Ok(reached)
}

/// Has the clock of `store` go on from what the rows know, and returns them. For who opens a database whose schema is up to
/// date, before anything is written.
///
/// # Errors
/// [`StoreError`].
pub async fn begin(store: &Store) -> Result<HouseClock, StoreError> {
    let (row, reached) = store
        .read(|tx| {
            Box::pin(async move {
                let row = read(tx).await?;
                Ok((row, reached(tx, row.mark).await?))
            })
        })
        .await?;
    store.clock().hear(row.accepted, row.server);
    store.clock().begin(row.server, reached);
    hold_as_told(store.clock(), &row);
    Ok(row)
}

/// Holds what another daemon says is to be held.
pub fn hold_as_told(clock: &DatabaseClock, row: &HouseClock) {
    let left = row.held_until.since(row.server);
    // Longer than any hold: it was written before the clock went back.
    if left <= HOLD_FOR {
        clock.hold_for(left);
    }
}

/// Raises the mark to `now`, unless an operator has accepted the clock more than `accepted` times: `now` is then another time's.
///
/// # Errors
/// [`StoreError`].
pub async fn mark(tx: &Tx, now: Timestamp, accepted: i64) -> Result<(), StoreError> {
    tx.execute(&MARK, &[], &[Scalar::I64(now.micros()), Scalar::I64(accepted)]).await.map(drop)
}

/// Has every daemon of the house hold until the server's clock shows `until`.
///
/// # Errors
/// [`StoreError`].
pub async fn hold(tx: &Tx, until: Timestamp) -> Result<(), StoreError> {
    tx.execute(&HOLD, &[], &[Scalar::I64(until.micros())]).await.map(drop)
}

/// What an operator who accepts the clock is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Accepted {
    /// What the database's clock shows: the house's time from now on.
    pub server: Timestamp,
    /// What the rows had reached before.
    pub reached: Timestamp,
}

/// Makes what the database's clock shows the house's time, even if that is earlier: the mark and the sweeper's
/// watermark are lowered. Daemons follow with their next round.
///
/// # Errors
/// [`StoreError`].
pub async fn accept(tx: &Tx, actor: &Actor) -> Result<Accepted, StoreError> {
    let row = read(tx).await?;
    let (server, reached) = (row.server, reached(tx, row.mark).await?);
    tx.execute(&ACCEPT, &[], &[Scalar::I64(server.micros())]).await?;
    let again = DeliveryId::floor(server.minus(WALKED_AGAIN));
    tx.execute(&LOWER_WATERMARK, &[], &[Scalar::Id(*again.as_bytes())]).await?;
    let detail = format!("from {} to {}", reached.rfc3339(), server.rfc3339());
    audit::record(tx, actor, server, "clock.accept", "house_clock", &detail).await?;
    Ok(Accepted { server, reached })
}

/// Whether a daemon that starts now would not believe the clock: a mark this far ahead was written under another one.
#[must_use]
pub fn is_out_of_reason(server: Timestamp, reached: Timestamp) -> bool {
    reached.since(server) > DOUBT_FROM
}
