//! *Settle*: the one transaction that ends deliveries, refunds the failed ones and frees their windows.
//!
//! Receipts, refusals and time-outs all come here. A delivery ends once: the update matches only rows still `sent`, and
//! everything else follows from the rows that it returns. Lock order: windows → deliveries → wallets → inserts.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use crate::domain::carrier::Channel;
use crate::domain::delivery::{End, FailureCode, HOLD_MAX, Status, WindowAfter};
use crate::domain::ids::{AccountId, DeliveryId};
use crate::domain::money::{Buckets, MicroUsd};
use crate::domain::time::duration_micros;
use crate::records::acceptance::buckets;
use crate::store::{Column, Row, Scalar, Statement, StoreError, Tx, Type};

/// How one delivery is to end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settlement {
    pub delivery: DeliveryId,
    pub end: End,
    /// The channel of the attempt that decided the end, if one did: the delivery's from now on.
    pub channel: Option<Channel>,
    pub window: WindowAfter,
}

/// What the transaction did with one settlement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settled {
    /// This transaction ended the delivery.
    Ended,
    /// The delivery had ended before, or is not known: nothing changed.
    Unchanged,
}

static LOCK_WINDOWS: Statement = Statement::new(
    "windows.lock_for_settle",
    &[Type::Id],
    &[],
    "WITH r(id) AS ({rows}) SELECT w.phone_key, w.delivery \
     FROM r JOIN deliveries d ON d.id = r.id \
     JOIN cooldown_windows w ON w.phone_key = d.phone_key AND w.delivery = d.id \
     ORDER BY w.phone_key {for_update:w}",
);

static END: Statement = Statement::new(
    "deliveries.end",
    &[Type::Id, Type::I64, Type::Text, Type::Text, Type::Text],
    &[],
    "WITH r(id, status, error_code, carrier_status, channel) AS ({rows}) \
     UPDATE deliveries SET status = r.status, error_code = r.error_code, carrier_status = r.carrier_status, \
     channel = COALESCE(r.channel, deliveries.channel), completed_us = {now_us} FROM r WHERE deliveries.id = r.id AND deliveries.status = 0 \
     RETURNING deliveries.id, deliveries.account, deliveries.from_free, deliveries.from_bonus, deliveries.from_balance, \
     deliveries.status",
);

static LOCK_WALLETS: Statement = Statement::new(
    "wallets.lock_for_refund",
    &[Type::Id],
    &[],
    "WITH r(account) AS ({rows}) SELECT w.account FROM r JOIN wallets w ON w.account = r.account \
     ORDER BY w.account {for_update:w}",
);

static REFUND_WALLETS: Statement = Statement::new(
    "wallets.refund",
    &[Type::Id, Type::I64, Type::I64, Type::I64],
    &[],
    "WITH r(account, free_credit, bonus_credit, balance) AS ({rows}) \
     UPDATE wallets SET free_credit = wallets.free_credit + r.free_credit, \
     bonus_credit = wallets.bonus_credit + r.bonus_credit, balance = wallets.balance + r.balance \
     FROM r WHERE wallets.account = r.account",
);

static WRITE_REFUNDS: Statement = Statement::new(
    "movements.refund",
    &[Type::Id, Type::Id, Type::I64, Type::I64, Type::I64],
    &[],
    "WITH r(delivery, account, free_credit, bonus_credit, balance) AS ({rows}) \
     INSERT INTO movements (id, account, delivery, kind, free_credit, bonus_credit, balance, at_us) \
     SELECT delivery, account, delivery, 'refund', free_credit, bonus_credit, balance, {now_us} FROM r",
);

static FREE_WINDOWS: Statement = Statement::new(
    "windows.free",
    &[Type::I64, Type::Id, Type::I64, Type::I64],
    &[],
    "WITH r(phone_key, delivery, hold_us, kept) AS ({rows}) \
     UPDATE cooldown_windows SET until_us = CASE WHEN r.hold_us = 0 AND r.kept = 0 THEN 0 \
     WHEN r.kept = 1 AND cooldown_windows.until_us > {now_us} + r.hold_us THEN cooldown_windows.until_us \
     ELSE {now_us} + r.hold_us END \
     FROM r WHERE cooldown_windows.phone_key = r.phone_key AND cooldown_windows.delivery = r.delivery",
);

static READ_ENDS: Statement = Statement::new(
    "deliveries.read_ends",
    &[Type::Id],
    &[],
    "WITH r(id) AS ({rows}) SELECT d.id, d.status, d.error_code, d.carrier_status \
     FROM r JOIN deliveries d ON d.id = r.id WHERE d.status <> 0",
);

static OVERDUE: Statement = Statement::new(
    "deliveries.overdue",
    &[],
    &[Type::Id, Type::Id, Type::I64],
    "SELECT id FROM deliveries WHERE id > $1 AND id <= $2 AND status = 0 AND settle_us <= {now_us} \
     ORDER BY id LIMIT $3 {for_update} {skip_locked}",
);

static FIRST_OVERDUE: Statement = Statement::new(
    "deliveries.first_overdue",
    &[],
    &[Type::Id, Type::Id],
    "SELECT id FROM deliveries WHERE id > $1 AND id <= $2 AND status = 0 AND settle_us <= {now_us} ORDER BY id LIMIT 1",
);

/// One delivery that this transaction ended.
struct Ended {
    delivery: DeliveryId,
    account: AccountId,
    charge: Buckets,
    failed: bool,
}

/// Ends what is still `sent` and says, in the order of `settlements`, what changed. A delivery may be named twice: the
/// first settlement counts.
///
/// # Errors
/// [`StoreError`]; nothing of the batch happened then.
pub async fn settle(tx: &Tx, settlements: &[Settlement]) -> Result<Vec<Settled>, StoreError> {
    let mut first: BTreeMap<DeliveryId, &Settlement> = BTreeMap::new();
    for settlement in settlements {
        first.entry(settlement.delivery).or_insert(settlement);
    }
    let windows = lock_windows(tx, &first).await?;
    let ended = end(tx, &first).await?;
    refund(tx, &ended).await?;
    free_windows(tx, &windows, &first, &ended).await?;

    let mut changed: HashMap<DeliveryId, Settled> = ended.iter().map(|e| (e.delivery, Settled::Ended)).collect();
    // Only the first settlement of a delivery has ended it.
    Ok(settlements.iter().map(|s| changed.remove(&s.delivery).unwrap_or(Settled::Unchanged)).collect())
}

/// Which of `settlements`, in their order, the database holds as the end of their delivery: for an end whose commit was of
/// unknown outcome, and that is no longer there to be made.
///
/// # Errors
/// [`StoreError`] if the database is out of reach.
pub async fn hold(tx: &Tx, settlements: &[Settlement]) -> Result<Vec<bool>, StoreError> {
    let ids: BTreeSet<DeliveryId> = settlements.iter().map(|settlement| settlement.delivery).collect();
    let rows = tx.query(&READ_ENDS, &[Column::ids(ids.iter().map(DeliveryId::as_bytes))], &[]).await?;
    let mut ends = HashMap::new();
    for row in &rows {
        ends.insert(DeliveryId::from_bytes(row.id(0)?), (row.i64(1)?, row.opt_text(2)?, row.opt_text(3)?));
    }
    let holds = |Settlement { delivery, end, .. }: &Settlement| {
        ends.get(delivery).is_some_and(|(status, code, word)| {
            (*status, code.as_deref(), word.as_deref())
                == (end.status().number(), failure(end).map(FailureCode::as_str), carrier_status(end))
        })
    };
    Ok(settlements.iter().map(holds).collect())
}

/// The deliveries in `(after, until]` that are still `sent` past their settle time, at most `limit`, locked for this
/// transaction; those that another transaction holds are skipped. Fewer than `limit` means that the range is done.
///
/// # Errors
/// [`StoreError`].
pub async fn overdue(tx: &Tx, after: DeliveryId, until: DeliveryId, limit: i64) -> Result<Vec<DeliveryId>, StoreError> {
    let scalars = [Scalar::Id(*after.as_bytes()), Scalar::Id(*until.as_bytes()), Scalar::I64(limit)];
    let rows = tx.query(&OVERDUE, &[], &scalars).await?;
    rows.iter().map(|row| row.id(0).map(DeliveryId::from_bytes)).collect()
}

/// The oldest delivery in `(after, until]` that is still `sent` past its settle time: a look that locks nothing.
///
/// # Errors
/// [`StoreError`].
pub async fn first_overdue(tx: &Tx, after: DeliveryId, until: DeliveryId) -> Result<Option<DeliveryId>, StoreError> {
    let scalars = [Scalar::Id(*after.as_bytes()), Scalar::Id(*until.as_bytes())];
    let rows = tx.query(&FIRST_OVERDUE, &[], &scalars).await?;
    rows.first().map(|row| row.id(0).map(DeliveryId::from_bytes)).transpose()
}

/// Locks the windows that may be freed and are owned by their delivery.
async fn lock_windows(
    tx: &Tx,
    settlements: &BTreeMap<DeliveryId, &Settlement>,
) -> Result<Vec<(i64, DeliveryId)>, StoreError> {
    let freeing = settlements.values().filter(|settlement| settlement.window != WindowAfter::Keep);
    let ids = Column::ids(freeing.map(|settlement| settlement.delivery.as_bytes()));
    let rows = tx.query(&LOCK_WINDOWS, &[ids], &[]).await?;
    rows.iter().map(|row| Ok((row.i64(0)?, DeliveryId::from_bytes(row.id(1)?)))).collect()
}

async fn end(tx: &Tx, settlements: &BTreeMap<DeliveryId, &Settlement>) -> Result<Vec<Ended>, StoreError> {
    let ends = || settlements.values().map(|settlement| &settlement.end);
    let columns = [
        Column::ids(settlements.keys().map(DeliveryId::as_bytes)),
        Column::I64(ends().map(|end| end.status().number()).collect()),
        Column::OptText(ends().map(|end| failure(end).map(FailureCode::as_str)).collect()),
        Column::OptText(ends().map(carrier_status).collect()),
        Column::OptText(settlements.values().map(|settlement| settlement.channel.map(Channel::as_str)).collect()),
    ];
    let rows = tx.query(&END, &columns, &[]).await?;
    rows.iter().map(ended).collect()
}

fn failure(end: &End) -> Option<FailureCode> {
    match end {
        End::Delivered { .. } => None,
        End::Failed { code, .. } => Some(*code),
    }
}

fn carrier_status(end: &End) -> Option<&str> {
    match end {
        End::Delivered { carrier_status } => Some(carrier_status.as_str()),
        End::Failed { carrier_status, .. } => carrier_status.as_ref().map(|status| status.as_str()),
    }
}

fn ended(row: &Row) -> Result<Ended, StoreError> {
    Ok(Ended {
        delivery: DeliveryId::from_bytes(row.id(0)?),
        account: AccountId::from_bytes(row.id(1)?),
        charge: buckets(row, 2)?,
        failed: row.i64(5)? == Status::Failed.number(),
    })
}

/// Gives the charges of the failed back to the buckets that they came from.
async fn refund(tx: &Tx, ended: &[Ended]) -> Result<(), StoreError> {
    let failed: Vec<&Ended> = ended.iter().filter(|ended| ended.failed).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let mut sums: BTreeMap<AccountId, Buckets> = BTreeMap::new();
    for Ended { account, charge, .. } in &failed {
        let sum = sums.entry(*account).or_default();
        *sum = sum.checked_add(*charge).ok_or_else(|| StoreError::Internal("a refund overflows".into()))?;
    }
    let accounts = || Column::ids(sums.keys().map(AccountId::as_bytes));
    tx.query(&LOCK_WALLETS, &[accounts()], &[]).await?;
    let sum = |part: fn(&Buckets) -> MicroUsd| Column::I64(sums.values().map(|s| part(s).micros()).collect());
    let columns = [accounts(), sum(|s| s.free), sum(|s| s.bonus), sum(|s| s.cash)];
    let refunded = tx.execute(&REFUND_WALLETS, &columns, &[]).await?;
    assert_eq!(refunded, sums.len() as u64, "every refunded account has a wallet");

    let amounts =
        |part: fn(&Buckets) -> MicroUsd| Column::I64(failed.iter().map(|e| part(&e.charge).micros()).collect());
    let columns = [
        Column::ids(failed.iter().map(|ended| ended.delivery.as_bytes())),
        Column::ids(failed.iter().map(|ended| ended.account.as_bytes())),
        amounts(|charge| charge.free),
        amounts(|charge| charge.bonus),
        amounts(|charge| charge.cash),
    ];
    tx.execute(&WRITE_REFUNDS, &columns, &[]).await.map(drop)
}

/// Frees the locked windows of the deliveries that this transaction ended.
async fn free_windows(
    tx: &Tx,
    windows: &[(i64, DeliveryId)],
    settlements: &BTreeMap<DeliveryId, &Settlement>,
    ended: &[Ended],
) -> Result<(), StoreError> {
    let remainder = |remainder: Duration| duration_micros(remainder.min(HOLD_MAX));
    // How long the phone is held from now, and whether its window may not become shorter.
    let hold = |delivery: &DeliveryId| match settlements.get(delivery)?.window {
        WindowAfter::Keep => None,
        WindowAfter::Release => Some((0, 0)),
        WindowAfter::Hold(left) => Some((remainder(left), 0)),
        WindowAfter::Extend(left) => Some((remainder(left), 1)),
    };
    let ended: HashSet<DeliveryId> = ended.iter().map(|ended| ended.delivery).collect();
    let freed: Vec<(i64, DeliveryId, (i64, i64))> = windows
        .iter()
        .filter(|(_, delivery)| ended.contains(delivery))
        .filter_map(|(phone_key, delivery)| hold(delivery).map(|hold| (*phone_key, *delivery, hold)))
        .collect();
    let columns = [
        Column::I64(freed.iter().map(|(phone_key, ..)| *phone_key).collect()),
        Column::ids(freed.iter().map(|(_, delivery, _)| delivery.as_bytes())),
        Column::I64(freed.iter().map(|(.., (hold_us, _))| *hold_us).collect()),
        Column::I64(freed.iter().map(|(.., (_, kept))| *kept).collect()),
    ];
    tx.execute(&FREE_WINDOWS, &columns, &[]).await.map(drop)
}
