//! What goes when it is old: the sweeper's watermark, and rows past their keep time.
//!
//! Old deliveries are folded: what their charges and refunds sum to becomes part of the account's one carried-forward
//! movement, in the transaction that deletes them, so that the ledger's sums stay what they were.
//!
//! No statement here reads more rows than its caller allows, however large the tables are and however long nobody looked:
//! each walks a primary key in slices.

use std::collections::BTreeMap;

use crate::domain::ids::{AccountId, DeliveryId, MovementId};
use crate::domain::money::Buckets;
use crate::domain::time::Timestamp;
use crate::records::acceptance::buckets;
use crate::store::{Column, Scalar, Statement, StoreError, Tx, Type};

static WATERMARK: Statement =
    Statement::new("sweeper.watermark", &[], &[], "SELECT watermark FROM sweeper WHERE one = 1");

static ADVANCE: Statement = Statement::new(
    "sweeper.advance",
    &[],
    &[Type::Id],
    "UPDATE sweeper SET watermark = $1 WHERE one = 1 AND watermark < $1 AND NOT EXISTS \
     (SELECT 1 FROM deliveries d WHERE d.id > (SELECT watermark FROM sweeper WHERE one = 1) AND d.id <= $1 \
     AND d.status = 0)",
);

static FIRST_SENT: Statement = Statement::new(
    "deliveries.first_sent",
    &[],
    &[Type::Id, Type::Id],
    "SELECT id FROM deliveries WHERE id > $1 AND id <= $2 AND status = 0 ORDER BY id LIMIT 1",
);

static SLICE_END: Statement = Statement::new(
    "deliveries.slice_end",
    &[],
    &[Type::Id, Type::Id, Type::I64],
    "SELECT id FROM deliveries WHERE id > $1 AND id <= $2 ORDER BY id LIMIT 1 OFFSET $3",
);

static PRUNE_BATCHES: Statement = Statement::new(
    "batches.prune",
    &[],
    &[Type::Id, Type::I64],
    "DELETE FROM batches WHERE id IN (SELECT id FROM batches WHERE id < $1 ORDER BY id LIMIT $2)",
);

static NEXT_WINDOW: Statement = Statement::new(
    "windows.next_slice",
    &[],
    &[Type::I64, Type::I64],
    "SELECT phone_key FROM cooldown_windows WHERE phone_key >= $1 ORDER BY phone_key LIMIT 1 OFFSET $2",
);

static OLD_WINDOWS: Statement = Statement::new(
    "windows.old",
    &[],
    &[Type::I64, Type::I64, Type::I64],
    "SELECT phone_key FROM cooldown_windows WHERE phone_key >= $1 AND phone_key <= $2 AND until_us < $3 \
     ORDER BY phone_key {for_update} {skip_locked}",
);

static DROP_WINDOWS: Statement = Statement::new(
    "windows.drop",
    &[Type::I64],
    &[],
    "WITH r(phone_key) AS ({rows}) DELETE FROM cooldown_windows WHERE phone_key IN (SELECT phone_key FROM r)",
);

// One node folds at a time. What was folded is not walked over again: its index entries stay until a vacuum.
static LOCK_FOLDED: Statement =
    Statement::new("sweeper.folded", &[], &[], "SELECT folded FROM sweeper WHERE one = 1 {for_update}");

static SET_FOLDED: Statement =
    Statement::new("sweeper.set_folded", &[], &[Type::Id], "UPDATE sweeper SET folded = $1 WHERE one = 1");

static OLD_DELIVERIES: Statement = Statement::new(
    "deliveries.old",
    &[],
    &[Type::Id, Type::Id, Type::I64],
    "SELECT id, account, from_free, from_bonus, from_balance FROM deliveries \
     WHERE id > $1 AND id < $2 AND id <= (SELECT watermark FROM sweeper WHERE one = 1) AND status <> 0 \
     ORDER BY id LIMIT $3",
);

static DROP_DELIVERIES: Statement = Statement::new(
    "deliveries.drop",
    &[Type::Id],
    &[],
    "WITH r(id) AS ({rows}) DELETE FROM deliveries WHERE id IN (SELECT id FROM r)",
);

static DROP_REFUNDS: Statement = Statement::new(
    "movements.drop_refunds",
    &[Type::Id],
    &[],
    "WITH r(id) AS ({rows}) DELETE FROM movements WHERE id IN (SELECT id FROM r) AND kind = 'refund' \
     RETURNING account, free_credit, bonus_credit, balance",
);

static CARRY_FORWARD: Statement = Statement::new(
    "movements.carry_forward",
    &[Type::Id, Type::Id, Type::I64, Type::I64, Type::I64],
    &[],
    "WITH r(id, account, free_credit, bonus_credit, balance) AS ({rows}) \
     INSERT INTO movements (id, account, kind, reference, free_credit, bonus_credit, balance, at_us) \
     SELECT id, account, 'carried_forward', 'carried_forward', free_credit, bonus_credit, balance, {now_us} \
     FROM r WHERE true ORDER BY account \
     ON CONFLICT (account, reference) WHERE reference IS NOT NULL DO UPDATE SET \
     free_credit = movements.free_credit + excluded.free_credit, \
     bonus_credit = movements.bonus_credit + excluded.bonus_credit, \
     balance = movements.balance + excluded.balance, at_us = excluded.at_us",
);

/// Up to where every delivery has ended.
///
/// # Errors
/// [`StoreError`].
pub async fn watermark(tx: &Tx) -> Result<DeliveryId, StoreError> {
    let rows = tx.query(&WATERMARK, &[], &[]).await?;
    let row = rows.first().ok_or_else(|| StoreError::Internal("the sweeper has no row".into()))?;
    row.id(0).map(DeliveryId::from_bytes)
}

/// The end of the next slice of `rows` deliveries (at least one) after `after`; `until` if fewer are left before it.
///
/// # Errors
/// [`StoreError`].
pub async fn slice_end(tx: &Tx, after: DeliveryId, until: DeliveryId, rows: i64) -> Result<DeliveryId, StoreError> {
    let scalars = [Scalar::Id(*after.as_bytes()), Scalar::Id(*until.as_bytes()), Scalar::I64(rows.max(1) - 1)];
    let end = tx.query(&SLICE_END, &[], &scalars).await?;
    end.first().map_or(Ok(until), |row| row.id(0).map(DeliveryId::from_bytes))
}

/// Moves the watermark forward to `to`, unless a delivery before it is still `sent`; says whether it moved. It reads what
/// lies between: go by slices.
///
/// # Errors
/// [`StoreError`].
pub async fn advance_watermark(tx: &Tx, to: DeliveryId) -> Result<bool, StoreError> {
    Ok(tx.execute(&ADVANCE, &[], &[Scalar::Id(*to.as_bytes())]).await? == 1)
}

/// The oldest delivery in `(after, until]` that is still `sent`.
///
/// # Errors
/// [`StoreError`].
pub async fn first_sent(tx: &Tx, after: DeliveryId, until: DeliveryId) -> Result<Option<DeliveryId>, StoreError> {
    let scalars = [Scalar::Id(*after.as_bytes()), Scalar::Id(*until.as_bytes())];
    let rows = tx.query(&FIRST_SENT, &[], &scalars).await?;
    rows.first().map(|row| row.id(0).map(DeliveryId::from_bytes)).transpose()
}

/// Drops at most `limit` batches made before `before` (an id's floor) and says how many went. Keep them far longer than
/// an unknown commit may take to be resolved.
///
/// # Errors
/// [`StoreError`].
pub async fn prune_batches(tx: &Tx, before: DeliveryId, limit: i64) -> Result<u64, StoreError> {
    tx.execute(&PRUNE_BATCHES, &[], &[Scalar::Id(*before.as_bytes()), Scalar::I64(limit)]).await
}

/// One step of a walk over a table: how many rows went, and where the next step begins; `None` at the end of the table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step<Key> {
    pub dropped: u64,
    pub next: Option<Key>,
}

/// Looks at the next `rows` windows from phone key `from` on, and drops those that ended before `before`.
///
/// # Errors
/// [`StoreError`].
pub async fn prune_windows(tx: &Tx, from: i64, rows: i64, before: Timestamp) -> Result<Step<i64>, StoreError> {
    let next = tx.query(&NEXT_WINDOW, &[], &[Scalar::I64(from), Scalar::I64(rows.max(1))]).await?;
    let next = next.first().map(|row| row.i64(0)).transpose()?;
    let last = next.map_or(i64::MAX, |next| next.saturating_sub(1));
    let scalars = [Scalar::I64(from), Scalar::I64(last), Scalar::I64(before.micros())];
    let old = tx.query(&OLD_WINDOWS, &[], &scalars).await?;
    let old: Vec<i64> = old.iter().map(|row| row.i64(0)).collect::<Result<_, _>>()?;
    let dropped = tx.execute(&DROP_WINDOWS, &[Column::I64(old)], &[]).await?;
    Ok(Step { dropped, next })
}

/// Folds at most `limit` ended deliveries made before `before` into their accounts' carried-forward movements and says how
/// many went. `fresh_id` names a new movement; an account that has one keeps it.
///
/// # Errors
/// [`StoreError`]; nothing is folded then.
pub async fn fold_deliveries(
    tx: &Tx,
    before: DeliveryId,
    limit: i64,
    fresh_id: &(dyn Fn() -> MovementId + Sync),
) -> Result<u64, StoreError> {
    let folded = tx.query(&LOCK_FOLDED, &[], &[]).await?;
    let folded = folded.first().ok_or_else(|| StoreError::Internal("the sweeper has no row".into()))?.id(0)?;
    let range = [Scalar::Id(folded), Scalar::Id(*before.as_bytes()), Scalar::I64(limit)];
    let old = tx.query(&OLD_DELIVERIES, &[], &range).await?;
    let ids: Vec<[u8; 16]> = old.iter().map(|row| row.id(0)).collect::<Result<_, _>>()?;
    let Some(last) = ids.last() else { return Ok(0) };
    tx.execute(&SET_FOLDED, &[], &[Scalar::Id(*last)]).await?;
    let overflow = || StoreError::Internal("a carried-forward sum overflows".into());
    let mut sums: BTreeMap<AccountId, Buckets> = BTreeMap::new();
    for row in &old {
        let sum = sums.entry(AccountId::from_bytes(row.id(1)?)).or_default();
        *sum = sum.checked_sub(buckets(row, 2)?).ok_or_else(overflow)?;
    }
    // A refund's row bears the id of its delivery.
    for row in tx.query(&DROP_REFUNDS, &[Column::ids(&ids)], &[]).await? {
        let sum = sums.entry(AccountId::from_bytes(row.id(0)?)).or_default();
        *sum = sum.checked_add(buckets(&row, 1)?).ok_or_else(overflow)?;
    }
    tx.execute(&DROP_DELIVERIES, &[Column::ids(&ids)], &[]).await?;
    let fresh: Vec<MovementId> = sums.keys().map(|_| fresh_id()).collect();
    let columns = [
        Column::ids(fresh.iter().map(MovementId::as_bytes)),
        Column::ids(sums.keys().map(AccountId::as_bytes)),
        Column::I64(sums.values().map(|sum| sum.free.micros()).collect()),
        Column::I64(sums.values().map(|sum| sum.bonus.micros()).collect()),
        Column::I64(sums.values().map(|sum| sum.cash.micros()).collect()),
    ];
    tx.execute(&CARRY_FORWARD, &columns, &[]).await?;
    Ok(ids.len() as u64)
}

/// Rows for tests of those who walk over them.
#[cfg(test)]
pub(crate) mod planted {
    use super::*;

    static ENDED: Statement = Statement::new(
        "test.ended_long_ago",
        &[Type::Id, Type::Id],
        &[],
        "WITH r(id, account) AS ({rows}) INSERT INTO deliveries (id, account, phone_key, phone_sealed, carrier, channel, \
         from_free, from_bonus, from_balance, status, created_us, settle_us, completed_us) \
         SELECT id, account, 1, x'01', 'viettel', 'sms', 0, 0, 0, 1, 0, 0, 0 FROM r",
    );

    static SWELL: Statement = Statement::new(
        "test.swell",
        &[],
        &[Type::Id],
        "UPDATE wallets SET free_credit = 9223372036854775807 WHERE account = $1",
    );

    /// Fills a wallet so that nothing can be refunded into it.
    pub(crate) async fn swell(tx: &Tx, account: AccountId) -> Result<u64, StoreError> {
        tx.execute(&SWELL, &[], &[Scalar::Id(*account.as_bytes())]).await
    }

    /// Deliveries that ended, whatever their age.
    pub(crate) async fn ended(tx: &Tx, account: AccountId, ids: &[DeliveryId]) -> Result<u64, StoreError> {
        let accounts = Column::ids(ids.iter().map(|_| account.as_bytes()));
        tx.execute(&ENDED, &[Column::ids(ids.iter().map(DeliveryId::as_bytes)), accounts], &[]).await
    }
}
