//! Idempotency keys: claimed in the transaction of the charge, answered from by a plain read.
//!
//! A key holds the keyed digest of the body, never the body (it has the code in it). Refusals that moved no money leave
//! no key behind.

use std::collections::HashSet;
use std::time::Duration;

use crate::domain::carrier::Carrier;
use crate::domain::delivery::Status;
use crate::domain::ids::{AccountId, DeliveryId};
use crate::domain::money::MicroUsd;
use crate::domain::time::{Timestamp, duration_micros};
use crate::records::acceptance::{IdempotencyClaim, Order, buckets, window_left};
use crate::records::pruning::Step;
use crate::store::{Column, Row, Scalar, Statement, StoreError, Tx, Type, Write};

/// How long a key is kept (contract §6).
pub const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// What the first answer to a key was, once it is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FirstAnswer {
    Sent,
    NoRoute,
    CarrierLimited,
}

impl FirstAnswer {
    const fn number(self) -> i64 {
        match self {
            Self::Sent => 1,
            Self::NoRoute => 2,
            Self::CarrierLimited => 3,
        }
    }

    fn from_number(number: i64) -> Option<Self> {
        [Self::Sent, Self::NoRoute, Self::CarrierLimited].into_iter().find(|answer| answer.number() == number)
    }
}

/// The answer to one keyed order, to be written after it was given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnswerRecord {
    pub account: AccountId,
    /// The order that was answered: the key may be another's by the time the answer is written.
    pub delivery: DeliveryId,
    pub key: String,
    pub answer: FirstAnswer,
}

/// What is known of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KnownKey {
    pub body_mac: [u8; 32],
    pub delivery: DeliveryId,
    pub balance_after: MicroUsd,
    pub answer: Option<FirstAnswer>,
    pub status: Status,
    pub carrier: Carrier,
    pub cost: MicroUsd,
    /// What is left of the phone's window, whoever holds it now.
    pub window_remaining: Duration,
}

static CLAIM: Statement = Statement::new(
    "idempotency_keys.claim",
    &[Type::Id, Type::Text, Type::Bytes, Type::Id],
    &[Type::I64],
    "WITH r(account, key, body_mac, delivery) AS ({rows}) \
     INSERT INTO idempotency_keys (account, key, body_mac, delivery, created_us) \
     SELECT account, key, body_mac, delivery, {now_us} FROM r WHERE true ORDER BY account, key \
     ON CONFLICT (account, key) DO UPDATE SET body_mac = excluded.body_mac, delivery = excluded.delivery, \
     balance_after = NULL, answer = NULL, created_us = excluded.created_us \
     WHERE idempotency_keys.created_us < {now_us} - $5 RETURNING delivery",
);

static GIVE_BACK: Statement = Statement::new(
    "idempotency_keys.give_back",
    &[Type::Id, Type::Text, Type::Id],
    &[],
    "WITH r(account, key, delivery) AS ({rows}) DELETE FROM idempotency_keys \
     WHERE (account, key, delivery) IN (SELECT account, key, delivery FROM r)",
);

static RECORD_BALANCES: Statement = Statement::new(
    "idempotency_keys.record_balance",
    &[Type::Id, Type::Text, Type::I64],
    &[],
    "WITH r(account, key, balance) AS ({rows}) UPDATE idempotency_keys SET balance_after = r.balance \
     FROM r WHERE idempotency_keys.account = r.account AND idempotency_keys.key = r.key",
);

static RECORD_ANSWERS: Statement = Statement::new(
    "idempotency_keys.record_answer",
    &[Type::Id, Type::Text, Type::Id, Type::I64],
    &[],
    "WITH r(account, key, delivery, answer) AS ({rows}) UPDATE idempotency_keys SET answer = r.answer \
     FROM r WHERE idempotency_keys.account = r.account AND idempotency_keys.key = r.key \
     AND idempotency_keys.delivery = r.delivery",
);

static FIND: Statement = Statement::new(
    "idempotency_keys.find",
    &[],
    &[Type::Id, Type::Text, Type::I64],
    "SELECT k.body_mac, k.delivery, k.balance_after, k.answer, d.status, d.carrier, d.from_free, d.from_bonus, \
     d.from_balance, w.until_us, {now_us}, CASE WHEN w.held_for = w.delivery THEN w.held_us END \
     FROM idempotency_keys k JOIN deliveries d ON d.id = k.delivery \
     LEFT JOIN cooldown_windows w ON w.phone_key = d.phone_key \
     WHERE k.account = $1 AND k.key = $2 AND k.created_us >= {now_us} - $3",
);

static NEXT_SLICE: Statement = Statement::new(
    "idempotency_keys.next_slice",
    &[],
    &[Type::Id, Type::Text, Type::I64],
    "SELECT account, key FROM idempotency_keys WHERE (account, key) >= ($1, $2) ORDER BY account, key LIMIT 1 OFFSET $3",
);

static OLD: Statement = Statement::new(
    "idempotency_keys.old",
    &[],
    &[Type::Id, Type::Text, Type::Id, Type::Text, Type::I64],
    "SELECT account, key FROM idempotency_keys WHERE (account, key) >= ($1, $2) AND (account, key) < ($3, $4) \
     AND created_us < $5 ORDER BY account, key {for_update} {skip_locked}",
);

static DROP: Statement = Statement::new(
    "idempotency_keys.drop",
    &[Type::Id, Type::Text],
    &[],
    "WITH r(account, key) AS ({rows}) DELETE FROM idempotency_keys WHERE (account, key) IN (SELECT account, key FROM r)",
);

/// Claims the keys of `orders` and returns the deliveries whose key was already there.
pub(super) async fn claim(tx: &Tx, orders: &[&Order]) -> Result<HashSet<DeliveryId>, StoreError> {
    if orders.is_empty() {
        return Ok(HashSet::new());
    }
    let claims = || orders.iter().filter_map(|order| order.idempotency.as_ref());
    let columns = [
        Column::ids(orders.iter().map(|order| order.account.as_bytes())),
        Column::Text(claims().map(|claim| claim.key.as_str()).collect()),
        Column::Bytes(claims().map(|claim| claim.body_mac.as_slice()).collect()),
        Column::ids(orders.iter().map(|order| order.delivery.as_bytes())),
    ];
    let won = tx.query(&CLAIM, &columns, &[Scalar::I64(duration_micros(KEPT))]).await?;
    let won: HashSet<DeliveryId> =
        won.iter().map(|row| row.id(0).map(DeliveryId::from_bytes)).collect::<Result<_, _>>()?;
    Ok(orders.iter().map(|order| order.delivery).filter(|delivery| !won.contains(delivery)).collect())
}

/// Takes back the keys of orders that were not charged.
pub(super) fn give_back<'a>(orders: &[&'a Order]) -> Write<'a> {
    let keyed: Vec<(&Order, &IdempotencyClaim)> =
        orders.iter().filter_map(|order| order.idempotency.as_ref().map(|claim| (*order, claim))).collect();
    let columns = vec![
        Column::ids(keyed.iter().map(|(order, _)| order.account.as_bytes())),
        Column::Text(keyed.iter().map(|(_, claim)| claim.key.as_str()).collect()),
        Column::ids(keyed.iter().map(|(order, _)| order.delivery.as_bytes())),
    ];
    Write { statement: &GIVE_BACK, columns, scalars: Vec::new(), rows: None }
}

/// Writes what each charged account could still spend after its charge: a replay repeats it.
pub(super) fn record_balances<'a>(charged: &[(&'a Order, &'a IdempotencyClaim, MicroUsd)]) -> Write<'a> {
    let columns = vec![
        Column::ids(charged.iter().map(|(order, ..)| order.account.as_bytes())),
        Column::Text(charged.iter().map(|(_, claim, _)| claim.key.as_str()).collect()),
        Column::I64(charged.iter().map(|(_, _, balance)| balance.micros()).collect()),
    ];
    Write { statement: &RECORD_BALANCES, columns, scalars: Vec::new(), rows: Some(charged.len() as u64) }
}

/// Writes the answers that were given, so that a repeat gets the same.
///
/// # Errors
/// [`StoreError`]; a repeat then reads the delivery instead.
pub async fn record_answers(tx: &Tx, answers: &[AnswerRecord]) -> Result<(), StoreError> {
    let mut sorted: Vec<&AnswerRecord> = answers.iter().collect();
    sorted.sort_unstable_by(|a, b| (a.account, &a.key).cmp(&(b.account, &b.key)));
    let columns = [
        Column::ids(sorted.iter().map(|record| record.account.as_bytes())),
        Column::Text(sorted.iter().map(|record| record.key.as_str()).collect()),
        Column::ids(sorted.iter().map(|record| record.delivery.as_bytes())),
        Column::I64(sorted.iter().map(|record| record.answer.number()).collect()),
    ];
    tx.execute(&RECORD_ANSWERS, &columns, &[]).await.map(drop)
}

/// Looks up a key of an account that is not older than a day.
///
/// # Errors
/// [`StoreError`] if the database is out of reach.
pub async fn find(tx: &Tx, account: AccountId, key: &str) -> Result<Option<KnownKey>, StoreError> {
    let scalars = [Scalar::Id(*account.as_bytes()), Scalar::Text(key), Scalar::I64(duration_micros(KEPT))];
    let rows = tx.query(&FIND, &[], &scalars).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let malformed = || StoreError::Internal("an idempotency key's row is malformed".into());
    let until = Timestamp::from_micros(row.opt_i64(9)?.unwrap_or(0));
    Ok(Some(KnownKey {
        body_mac: row.bytes(0)?.try_into().map_err(|_| malformed())?,
        delivery: DeliveryId::from_bytes(row.id(1)?),
        balance_after: MicroUsd::from_micros(row.opt_i64(2)?.unwrap_or(0)),
        answer: row.opt_i64(3)?.and_then(FirstAnswer::from_number),
        status: Status::from_number(row.i64(4)?).ok_or_else(malformed)?,
        carrier: Carrier::new(&row.text(5)?).ok_or_else(malformed)?,
        cost: buckets(row, 6)?.total().ok_or_else(malformed)?,
        window_remaining: window_left(until, Timestamp::from_micros(row.i64(10)?), row.opt_i64(11)?),
    }))
}

/// A place among the keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    account: [u8; 16],
    key: String,
}

impl Place {
    /// Before every key.
    pub const FIRST: Self = Self { account: [0; 16], key: String::new() };
}

/// Looks at the next `rows` keys from `from` on, and drops those that were claimed before `before`.
///
/// # Errors
/// [`StoreError`].
pub async fn prune(tx: &Tx, from: &Place, rows: i64, before: Timestamp) -> Result<Step<Place>, StoreError> {
    let begin = [Scalar::Id(from.account), Scalar::Text(&from.key)];
    let next = tx.query(&NEXT_SLICE, &[], &[begin[0], begin[1], Scalar::I64(rows.max(1))]).await?;
    let place = |row: &Row| Ok::<_, StoreError>(Place { account: row.id(0)?, key: row.text(1)? });
    let next = next.first().map(place).transpose()?;
    let end = next
        .as_ref()
        .map_or([Scalar::Id([0xff; 16]), Scalar::Text("")], |next| [Scalar::Id(next.account), Scalar::Text(&next.key)]);
    let scalars = [begin[0], begin[1], end[0], end[1], Scalar::I64(before.micros())];
    let old = tx.query(&OLD, &[], &scalars).await?;
    let old: Vec<Place> = old.iter().map(place).collect::<Result<_, _>>()?;
    let columns = [
        Column::ids(old.iter().map(|place| &place.account)),
        Column::Text(old.iter().map(|place| place.key.as_str()).collect()),
    ];
    let dropped = tx.execute(&DROP, &columns, &[]).await?;
    Ok(Step { dropped, next })
}
