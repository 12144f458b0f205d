//! Which carrier's network phones were last seen on, by their keyed names.
//!
//! Written in batches by whoever was told; a row is believed for thirty days after it was written. Nothing here decides
//! what is believed: memory does (`routing`).

use crate::domain::carrier::Carrier;
use crate::domain::ids::DeliveryId;
use crate::domain::reference::{Reference, UpstreamId};
use crate::domain::sealing::PhoneKey;
use crate::domain::time::{Timestamp, duration_micros};
use crate::store::{Column, Row, Scalar, Statement, StoreError, Tx, Type};

/// Rows that are deleted in one transaction.
const PRUNE_MAX: i64 = 1_000;

/// One phone and the network that it was seen on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LearnedCarrier {
    pub phone: PhoneKey,
    pub carrier: Carrier,
    pub at: Timestamp,
}

/// What a delivery says of the phone that it went to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Addressee {
    pub phone: PhoneKey,
    /// The carrier that the delivery was sent to.
    pub carrier: Carrier,
}

static LOAD: Statement = Statement::new(
    "learned_carriers.load",
    &[],
    &[Type::I64, Type::I64, Type::I64],
    "SELECT phone_key, carrier, learned_us FROM learned_carriers \
     WHERE phone_key > $1 AND learned_us > {now_us} - $2 ORDER BY phone_key LIMIT $3",
);

static LEARN: Statement = Statement::new(
    "learned_carriers.learn",
    &[Type::I64, Type::Text],
    &[],
    "WITH r(phone_key, carrier) AS ({rows}) INSERT INTO learned_carriers (phone_key, carrier, learned_us) \
     SELECT phone_key, carrier, {now_us} FROM r WHERE true ORDER BY phone_key \
     ON CONFLICT (phone_key) DO UPDATE SET carrier = excluded.carrier, learned_us = excluded.learned_us",
);

static FORGET: Statement = Statement::new(
    "learned_carriers.forget",
    &[Type::I64, Type::Text],
    &[],
    "WITH r(phone_key, carrier) AS ({rows}) DELETE FROM learned_carriers \
     WHERE EXISTS (SELECT 1 FROM r WHERE r.phone_key = learned_carriers.phone_key AND r.carrier = learned_carriers.carrier)",
);

static PRUNE: Statement = Statement::new(
    "learned_carriers.prune",
    &[],
    &[Type::I64, Type::I64],
    "DELETE FROM learned_carriers WHERE phone_key IN \
     (SELECT phone_key FROM learned_carriers WHERE learned_us <= {now_us} - $1 ORDER BY learned_us LIMIT $2)",
);

static OF_DELIVERIES: Statement = Statement::new(
    "learned_carriers.of_deliveries",
    &[Type::Id],
    &[],
    "WITH r(id) AS ({rows}) SELECT d.id, d.phone_key, d.carrier FROM r JOIN deliveries d ON d.id = r.id",
);

static OF_REFERENCES: Statement = Statement::new(
    "learned_carriers.of_references",
    &[Type::Text, Type::Text],
    &[],
    "WITH r(upstream, reference) AS ({rows}) SELECT a.upstream, a.reference, d.phone_key, d.carrier \
     FROM r JOIN attempts a ON a.upstream = r.upstream AND a.reference = r.reference JOIN deliveries d ON d.id = a.delivery \
     ORDER BY a.at_us",
);

/// At most `limit` rows that are younger than `ttl`, by phone, after one.
///
/// # Errors
/// [`StoreError`].
pub async fn load(
    tx: &Tx,
    after: PhoneKey,
    ttl: std::time::Duration,
    limit: i64,
) -> Result<Vec<LearnedCarrier>, StoreError> {
    let scalars = [Scalar::I64(after.number()), Scalar::I64(duration_micros(ttl)), Scalar::I64(limit)];
    let rows = tx.query(&LOAD, &[], &scalars).await?;
    rows.iter()
        .map(|row| {
            let (phone, at) = (PhoneKey::from_number(row.i64(0)?), Timestamp::from_micros(row.i64(2)?));
            Ok(LearnedCarrier { phone, carrier: carrier(row, 1)?, at })
        })
        .collect()
}

/// Writes where phones were seen now. Each phone once, ascending.
///
/// # Errors
/// [`StoreError`].
pub async fn learn(tx: &Tx, seen: &[(PhoneKey, Carrier)]) -> Result<(), StoreError> {
    if seen.is_empty() {
        return Ok(());
    }
    tx.execute(&LEARN, &columns(seen), &[]).await.map(drop)
}

/// Takes back that phones were seen there. Each phone once, ascending.
///
/// # Errors
/// [`StoreError`].
pub async fn forget(tx: &Tx, refuted: &[(PhoneKey, Carrier)]) -> Result<(), StoreError> {
    if refuted.is_empty() {
        return Ok(());
    }
    tx.execute(&FORGET, &columns(refuted), &[]).await.map(drop)
}

fn columns(phones: &[(PhoneKey, Carrier)]) -> [Column<'_>; 2] {
    [
        Column::I64(phones.iter().map(|(phone, _)| phone.number()).collect()),
        Column::Text(phones.iter().map(|(_, carrier)| carrier.as_str()).collect()),
    ]
}

/// Deletes some of what is older than `ttl`; says whether there may be more.
///
/// # Errors
/// [`StoreError`].
pub async fn prune(tx: &Tx, ttl: std::time::Duration) -> Result<bool, StoreError> {
    let scalars = [Scalar::I64(duration_micros(ttl)), Scalar::I64(PRUNE_MAX)];
    let deleted = tx.execute(&PRUNE, &[], &scalars).await?;
    Ok(i64::try_from(deleted).is_ok_and(|deleted| deleted >= PRUNE_MAX))
}

/// Whom deliveries went to, as far as they are there.
///
/// # Errors
/// [`StoreError`].
pub async fn of_deliveries(tx: &Tx, ids: &[DeliveryId]) -> Result<Vec<(DeliveryId, Addressee)>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = tx.query(&OF_DELIVERIES, &[Column::ids(ids.iter().map(DeliveryId::as_bytes))], &[]).await?;
    rows.iter().map(|row| Ok((DeliveryId::from_bytes(row.id(0)?), addressee(row, 1)?))).collect()
}

/// Whom attempts went to that are told by an upstream's names for them, as far as those are known. Of several of one name the
/// youngest comes last.
///
/// # Errors
/// [`StoreError`].
pub async fn of_references(
    tx: &Tx,
    names: &[(UpstreamId, Reference)],
) -> Result<Vec<((UpstreamId, Reference), Addressee)>, StoreError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let columns = [
        Column::Text(names.iter().map(|(upstream, _)| upstream.as_str()).collect()),
        Column::Text(names.iter().map(|(_, reference)| reference.as_str()).collect()),
    ];
    let rows = tx.query(&OF_REFERENCES, &columns, &[]).await?;
    rows.iter()
        .map(|row| {
            let malformed = || StoreError::Internal("an attempt's name cannot be read".into());
            let upstream = UpstreamId::new(&row.text(0)?).ok_or_else(malformed)?;
            let reference = Reference::new(&row.text(1)?).ok_or_else(malformed)?;
            Ok(((upstream, reference), addressee(row, 2)?))
        })
        .collect()
}

fn addressee(row: &Row, first: usize) -> Result<Addressee, StoreError> {
    Ok(Addressee { phone: PhoneKey::from_number(row.i64(first)?), carrier: carrier(row, first + 1)? })
}

fn carrier(row: &Row, at: usize) -> Result<Carrier, StoreError> {
    Carrier::new(&row.text(at)?).ok_or_else(|| StoreError::Internal("a carrier cannot be read".into()))
}
