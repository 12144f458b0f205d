//! Receipts whose attempt has no name yet: a carrier may report faster than it acks.
//!
//! A receipt is parked before it is acknowledged on the wire, a row for each form of its reference, all under one id. It is
//! matched when the naming comes, and by a walk over all that are parked, which closes the race between the two. Whoever
//! takes a receipt out takes all its rows, so that one only has it. What nobody named is dropped, and counted.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures_util::future::try_join;

use crate::domain::delivery::CarrierStatus;
use crate::domain::ids::ReceiptId;
use crate::domain::reference::{Reference, UpstreamId};
use crate::domain::sealing::PhoneKey;
use crate::domain::time::Timestamp;
use crate::records::carrier_attempts::{self, CarrierAttempt, Named, Sought, youngest};
use crate::store::{Column, Row, Scalar, Statement, StoreError, Tx, Type};

/// A receipt that waits for its attempt's name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parked {
    pub receipt: ReceiptId,
    pub of: Sought,
    /// What it reports, as its reader numbers it.
    pub state: i64,
    pub status: CarrierStatus,
}

/// A parked receipt and the attempt that it is of. It stays parked until it is taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Matched {
    pub receipt: ReceiptId,
    pub upstream: UpstreamId,
    pub attempt: CarrierAttempt,
    pub state: i64,
    pub status: CarrierStatus,
}

/// How far a walk over the parked receipts has come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    receipt: ReceiptId,
    reference: String,
}

impl Place {
    /// Before every receipt.
    pub const FIRST: Self = Self { receipt: ReceiptId::from_bytes([0; 16]), reference: String::new() };
}

/// What one step of the walk found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    pub matched: Vec<Matched>,
    /// Where the next step begins; `None` at the end.
    pub next: Option<Place>,
}

/// Receipts that nobody named in time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expired {
    pub by_upstream: BTreeMap<UpstreamId, u64>,
    /// Their rows: fewer than the limit means that none is left.
    pub rows: u64,
}

static PARK: Statement = Statement::new(
    "parked_receipts.park",
    &[Type::Id, Type::Text, Type::Text, Type::I64, Type::I64, Type::Text],
    &[],
    "WITH r(receipt, upstream, reference, phone_key, state, carrier_status) AS ({rows}) \
     INSERT INTO parked_receipts (receipt, upstream, reference, phone_key, state, carrier_status, at_us) \
     SELECT receipt, upstream, reference, phone_key, state, carrier_status, {now_us} FROM r WHERE true \
     ON CONFLICT (receipt, reference) DO NOTHING",
);

// A guess at the base of a name waits for the walk, which knows all names: the receipt's own may be about to be written.
static FOR_NAMES: Statement = Statement::new(
    "parked_receipts.for_names",
    &[Type::Text, Type::Text, Type::Id, Type::Text, Type::I64],
    &[],
    "WITH r(upstream, reference, delivery, channel, phone_key) AS ({rows}) \
     SELECT p.receipt, p.upstream, p.state, p.carrier_status, r.delivery, r.channel, r.reference \
     FROM r JOIN parked_receipts p ON p.upstream = r.upstream AND p.reference = r.reference \
     WHERE p.phone_key = r.phone_key \
     OR (p.phone_key IS NULL AND r.reference NOT LIKE 'hex:%' AND r.reference NOT LIKE 'dec:%')",
);

static MATCHES: Statement = Statement::new(
    "parked_receipts.matches",
    &[],
    &[Type::Id, Type::Text, Type::I64],
    concat!(
        "WITH r AS MATERIALIZED (SELECT receipt, upstream, reference, phone_key, state, carrier_status FROM parked_receipts \
         WHERE (receipt, reference) > ($1, $2) ORDER BY receipt, reference LIMIT $3), \
         y AS MATERIALIZED (SELECT r.receipt, r.upstream, r.reference, r.state, r.carrier_status, ",
        youngest!(),
        " AS delivery FROM r) SELECT y.receipt, y.upstream, y.state, y.carrier_status, a.delivery, a.channel, y.reference \
         FROM y JOIN attempts a ON a.upstream = y.upstream AND a.reference = y.reference AND a.delivery = y.delivery",
    ),
);

static STEP_END: Statement = Statement::new(
    "parked_receipts.step_end",
    &[],
    &[Type::Id, Type::Text, Type::I64],
    "SELECT receipt, reference FROM parked_receipts WHERE (receipt, reference) > ($1, $2) \
     ORDER BY receipt, reference LIMIT 1 OFFSET $3",
);

static TAKE: Statement = Statement::new(
    "parked_receipts.take",
    &[Type::Id],
    &[],
    "WITH r(receipt) AS ({rows}) DELETE FROM parked_receipts WHERE receipt IN (SELECT receipt FROM r) RETURNING receipt",
);

// All rows of a receipt go together: it is counted once.
static EXPIRE: Statement = Statement::new(
    "parked_receipts.expire",
    &[],
    &[Type::I64, Type::I64],
    "DELETE FROM parked_receipts WHERE receipt IN \
     (SELECT receipt FROM parked_receipts WHERE at_us < $1 ORDER BY at_us LIMIT $2) RETURNING receipt, upstream",
);

/// Parks receipts; repeating it changes nothing.
///
/// # Errors
/// [`StoreError`]; nothing was written then.
pub async fn park(tx: &Tx, parked: &[Parked]) -> Result<(), StoreError> {
    let mut rows: Vec<(&Parked, &Reference)> =
        parked.iter().flat_map(|parked| parked.of.references.iter().map(move |form| (parked, form))).collect();
    rows.sort_unstable_by_key(|(parked, reference)| (parked.receipt, *reference));
    let columns = [
        Column::ids(rows.iter().map(|(parked, _)| parked.receipt.as_bytes())),
        Column::Text(rows.iter().map(|(parked, _)| parked.of.upstream.as_str()).collect()),
        Column::Text(rows.iter().map(|(_, reference)| reference.as_str()).collect()),
        Column::OptI64(rows.iter().map(|(parked, _)| parked.of.phone_key.map(PhoneKey::number)).collect()),
        Column::I64(rows.iter().map(|(parked, _)| parked.state).collect()),
        Column::Text(rows.iter().map(|(parked, _)| parked.status.as_str()).collect()),
    ];
    tx.execute(&PARK, &columns, &[]).await.map(drop)
}

/// What is parked for attempts that are named in this transaction.
///
/// # Errors
/// [`StoreError`].
pub async fn for_names(tx: &Tx, names: &[Named]) -> Result<Vec<Matched>, StoreError> {
    let rows: Vec<(&Named, &Reference)> = carrier_attempts::forms(names).collect();
    each_once(&tx.query(&FOR_NAMES, &carrier_attempts::columns(&rows), &[]).await?)
}

/// Looks at the `rows` parked rows (at least one) behind `after` for such as have a named attempt now.
///
/// # Errors
/// [`StoreError`].
pub async fn matches(tx: &Tx, after: &Place, rows: i64) -> Result<Step, StoreError> {
    let (receipt, reference) = (Scalar::Id(*after.receipt.as_bytes()), Scalar::Text(&after.reference));
    let rows = rows.max(1);
    let (whole, last) = ([receipt, reference, Scalar::I64(rows)], [receipt, reference, Scalar::I64(rows - 1)]);
    let (matched, end) = try_join(tx.query(&MATCHES, &[], &whole), tx.query(&STEP_END, &[], &last)).await?;
    let next = end.first().map(|row| Ok(Place { receipt: receipt_id(row)?, reference: row.text(1)? })).transpose()?;
    Ok(Step { matched: each_once(&matched)?, next })
}

/// Takes receipts out, and says which were there: a second one who takes them finds none.
///
/// # Errors
/// [`StoreError`].
pub async fn take(tx: &Tx, receipts: &[ReceiptId]) -> Result<HashSet<ReceiptId>, StoreError> {
    let mut sorted: Vec<&ReceiptId> = receipts.iter().collect();
    sorted.sort_unstable();
    let rows = tx.query(&TAKE, &[Column::ids(sorted.into_iter().map(ReceiptId::as_bytes))], &[]).await?;
    rows.iter().map(receipt_id).collect()
}

/// Drops receipts that were parked before `before`: those that the `limit` oldest rows are of.
///
/// # Errors
/// [`StoreError`].
pub async fn expire(tx: &Tx, before: Timestamp, limit: i64) -> Result<Expired, StoreError> {
    let rows = tx.query(&EXPIRE, &[], &[Scalar::I64(before.micros()), Scalar::I64(limit)]).await?;
    let (mut seen, mut by_upstream) = (HashSet::new(), BTreeMap::new());
    for row in &rows {
        if seen.insert(receipt_id(row)?) {
            *by_upstream.entry(UpstreamId(row.text(1)?.into())).or_default() += 1;
        }
    }
    Ok(Expired { by_upstream, rows: rows.len() as u64 })
}

fn receipt_id(row: &Row) -> Result<ReceiptId, StoreError> {
    row.id(0).map(ReceiptId::from_bytes)
}

/// A receipt that matches in more than one form, or more than one attempt, counts once: in a form that is no guess, and then for
/// the youngest attempt.
fn each_once(rows: &[Row]) -> Result<Vec<Matched>, StoreError> {
    let mut found: HashMap<ReceiptId, (bool, Matched)> = HashMap::new();
    for row in rows {
        let receipt = receipt_id(row)?;
        let is_sure = Reference::new(&row.text(6)?).is_some_and(|reference| !reference.is_guess());
        let attempt = carrier_attempts::attempt(row, 4)?;
        let is_less =
            |(sure, matched): &(bool, Matched)| (*sure, matched.attempt.delivery) >= (is_sure, attempt.delivery);
        if found.get(&receipt).is_some_and(is_less) {
            continue;
        }
        let matched = Matched {
            receipt,
            upstream: UpstreamId(row.text(1)?.into()),
            attempt,
            state: row.i64(2)?,
            status: CarrierStatus::clean(&row.text(3)?),
        };
        found.insert(receipt, (is_sure, matched));
    }
    let mut matched: Vec<Matched> = found.into_values().map(|(_, matched)| matched).collect();
    matched.sort_unstable_by_key(|matched| matched.receipt);
    Ok(matched)
}
