//! *Settle*: the one transaction that ends deliveries, refunds the failed ones, frees their windows and queues what
//! webhooks are told.
//!
//! Receipts, refusals and time-outs all come here, and what goes on to its second channel instead of its end. A delivery ends once: the update matches only rows still `sent`, and
//! everything else follows from the rows that it returns. Lock order: windows → deliveries → wallets → inserts.

mod moves;
mod overdue;
mod unwaited;
mod windows;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use futures_util::future::try_join;

pub use self::moves::Move;
pub use self::overdue::{first_overdue, overdue};
use crate::domain::carrier::Channel;
use crate::domain::delivery::{End, FailureCode, Status, WindowAfter};
use crate::domain::ids::{AccountId, DeliveryId, EndpointId};
use crate::domain::money::{Buckets, MicroUsd};
use crate::domain::webhook::EventType;
use crate::records::acceptance::buckets;
use crate::records::outbox;
use crate::store::{Column, Row, Statement, StoreError, Tx, Type};

/// How one delivery is to end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settlement {
    pub delivery: DeliveryId,
    pub end: End,
    /// The channel of the attempt that decided the end, if one did: the delivery's from now on.
    pub channel: Option<Channel>,
    /// It holds only while the delivery is on `channel` as far as its row says: somebody else may have it on another by now.
    pub unless_moved: bool,
    pub window: WindowAfter,
}

/// What the transaction did with one settlement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settled {
    /// This transaction ended the delivery.
    Ended,
    /// The delivery had ended before, or is not known: nothing changed.
    Unchanged,
    /// Another session holds what the end needs, which was not waited for: nothing changed, it is to be tried again.
    Postponed,
}

static END: Statement = Statement::new(
    "deliveries.end",
    &[Type::Id, Type::I64, Type::Text, Type::Text, Type::Text, Type::I64],
    &[],
    "WITH r(id, status, error_code, carrier_status, channel, unless_moved) AS ({rows}) \
     UPDATE deliveries SET status = r.status, error_code = r.error_code, carrier_status = r.carrier_status, \
     channel = COALESCE(r.channel, deliveries.channel), completed_us = {now_us} FROM r WHERE deliveries.id = r.id AND deliveries.status = 0 \
     AND (r.unless_moved = 0 OR deliveries.channel = r.channel) \
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

static READ_ENDS: Statement = Statement::new(
    "deliveries.read_ends",
    &[Type::Id],
    &[],
    "WITH r(id) AS ({rows}) SELECT d.id, d.status, d.error_code, d.carrier_status \
     FROM r JOIN deliveries d ON d.id = r.id WHERE d.status <> 0",
);

/// What became of a batch.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Settlements {
    /// In the order of the settlements.
    pub settled: Vec<Settled>,
    /// The webhook endpoints for which something was queued.
    pub told: Vec<EndpointId>,
}

/// One delivery that this transaction ended.
struct Ended {
    delivery: DeliveryId,
    account: AccountId,
    charge: Buckets,
    failed: bool,
}

/// Ends what is still `sent`, queues the events for webhooks, and says what changed. A delivery may be named twice: the first
/// settlement counts.
///
/// # Errors
/// [`StoreError`]; nothing of the batch happened then.
pub async fn settle(tx: &Tx, settlements: &[Settlement]) -> Result<Settlements, StoreError> {
    settle_and_move(tx, settlements, &[]).await
}

/// The same, together with deliveries that go on to their second channel.
///
/// # Errors
/// As [`settle`].
pub async fn settle_and_move(tx: &Tx, settlements: &[Settlement], moves: &[Move]) -> Result<Settlements, StoreError> {
    run(tx, settlements, moves, Locks::Wait).await
}

/// The same, without a wait for windows and wallets that other sessions hold: a window that is held is not freed, and a
/// delivery whose refund would have to wait is [`Settled::Postponed`].
///
/// # Errors
/// As [`settle`].
pub async fn settle_unwaited(tx: &Tx, settlements: &[Settlement], moves: &[Move]) -> Result<Settlements, StoreError> {
    run(tx, settlements, moves, Locks::Skip).await
}

/// What is done about rows that other sessions hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Locks {
    Wait,
    Skip,
}

async fn run(tx: &Tx, settlements: &[Settlement], moves: &[Move], locks: Locks) -> Result<Settlements, StoreError> {
    let mut first: BTreeMap<DeliveryId, &Settlement> = BTreeMap::new();
    for settlement in settlements {
        first.entry(settlement.delivery).or_insert(settlement);
    }
    let mut locked = windows::lock(tx, &first, locks).await?;
    moves::write(tx, moves).await?;
    let postponed = match locks {
        Locks::Wait => HashSet::new(),
        Locks::Skip => unwaited::held(tx, &first).await?,
    };
    first.retain(|delivery, _| !postponed.contains(delivery));
    let (ended, wanted) = try_join(end(tx, &first), outbox::is_wanted(tx)).await?;
    let events: Vec<_> = ended.iter().filter(|_| wanted).map(Ended::event).collect();
    // A fresh row of the outbox waits for no lock: it need not be written last, and so costs no round trip of its own.
    let ((), told) = try_join(refund(tx, &ended), outbox::queue(tx, &events)).await?;
    let ours: HashSet<DeliveryId> = ended.iter().map(|ended| ended.delivery).collect();
    locked.retain(|(_, delivery)| ours.contains(delivery));
    windows::free(tx, &locked, &first).await?;

    let ended = ours.into_iter().map(|delivery| (delivery, Settled::Ended));
    let mut changed: HashMap<DeliveryId, Settled> =
        ended.chain(postponed.into_iter().map(|delivery| (delivery, Settled::Postponed))).collect();
    // Only the first settlement of a delivery has ended it.
    let settled = settlements.iter().map(|s| changed.remove(&s.delivery).unwrap_or(Settled::Unchanged)).collect();
    Ok(Settlements { settled, told })
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

async fn end(tx: &Tx, settlements: &BTreeMap<DeliveryId, &Settlement>) -> Result<Vec<Ended>, StoreError> {
    let ends = || settlements.values().map(|settlement| &settlement.end);
    let columns = [
        Column::ids(settlements.keys().map(DeliveryId::as_bytes)),
        Column::I64(ends().map(|end| end.status().number()).collect()),
        Column::OptText(ends().map(|end| failure(end).map(FailureCode::as_str)).collect()),
        Column::OptText(ends().map(carrier_status).collect()),
        Column::OptText(settlements.values().map(|settlement| settlement.channel.map(Channel::as_str)).collect()),
        Column::I64(settlements.values().map(|settlement| settlement.unless_moved.into()).collect()),
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

impl Ended {
    const fn event(&self) -> (DeliveryId, AccountId, EventType) {
        let event = if self.failed { EventType::Failed } else { EventType::Delivered };
        (self.delivery, self.account, event)
    }
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
