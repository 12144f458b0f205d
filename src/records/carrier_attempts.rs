//! What carriers call attempts: a row for each form of a name, inserted once, never changed.
//!
//! A row is durable before the carrier's ack is believed, so that a receipt finds its attempt on any node and after any crash.
//! An upstream may give one name twice within the rows' lifetime (it counts anew after a restart, or on each of its machines):
//! the delivery is part of the key, a phone tells the two apart, and without one the younger attempt is meant (ids of deliveries
//! carry their time). One that gives every message the same name is asked for one row by index, never for all of them.

use std::collections::HashMap;

use crate::domain::carrier::Channel;
use crate::domain::ids::{DeliveryId, PollerId};
use crate::domain::reference::{Reference, UpstreamId};
use crate::domain::sealing::PhoneKey;
use crate::domain::time::Timestamp;
use crate::store::{Column, Row, Scalar, Statement, StoreError, Tx, Type};

/// An attempt and every form of its name at the upstream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Named {
    pub upstream: UpstreamId,
    pub references: Vec<Reference>,
    pub attempt: CarrierAttempt,
    pub phone_key: PhoneKey,
    /// Who asks for its receipt, where none is brought.
    pub poller: Option<PollerId>,
}

/// One upstream try.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CarrierAttempt {
    pub delivery: DeliveryId,
    pub channel: Channel,
}

/// What a receipt tells of its attempt: one form that matches is enough. With a phone, only an attempt to it matches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sought {
    pub upstream: UpstreamId,
    pub references: Vec<Reference>,
    pub phone_key: Option<PhoneKey>,
}

static INSERT: Statement = Statement::new(
    "attempts.insert",
    &[Type::Text, Type::Text, Type::Id, Type::Text, Type::I64],
    &[],
    "WITH r(upstream, reference, delivery, channel, phone_key) AS ({rows}) \
     INSERT INTO attempts (upstream, reference, delivery, channel, phone_key, at_us) \
     SELECT upstream, reference, delivery, channel, phone_key, {now_us} FROM r WHERE true \
     ON CONFLICT (upstream, reference, delivery) DO NOTHING",
);

/// The youngest attempt of each row of `r`, which has an upstream, a reference and perhaps a phone.
macro_rules! youngest {
    () => {
        "CASE WHEN r.phone_key IS NULL THEN (SELECT a.delivery FROM attempts a WHERE a.upstream = r.upstream \
         AND a.reference = r.reference ORDER BY a.delivery DESC LIMIT 1) \
         ELSE (SELECT a.delivery FROM attempts a WHERE a.upstream = r.upstream AND a.reference = r.reference \
         AND a.phone_key = r.phone_key ORDER BY a.delivery DESC LIMIT 1) END"
    };
}
pub(super) use youngest;

static FIND: Statement = Statement::new(
    "attempts.find",
    &[Type::I64, Type::I64, Type::Text, Type::Text, Type::I64],
    &[],
    concat!(
        "WITH r(number, form, upstream, reference, phone_key) AS ({rows}), \
         y AS MATERIALIZED (SELECT r.number, r.form, r.upstream, r.reference, ",
        youngest!(),
        " AS delivery FROM r) SELECT y.number, y.form, a.delivery, a.channel FROM y JOIN attempts a \
         ON a.upstream = y.upstream AND a.reference = y.reference AND a.delivery = y.delivery",
    ),
);

// Two nodes that prune at once skip each other's rows.
static PRUNE: Statement = Statement::new(
    "attempts.prune",
    &[],
    &[Type::I64, Type::I64],
    "WITH old AS (SELECT upstream, reference, delivery FROM attempts WHERE at_us < $1 ORDER BY at_us LIMIT $2 \
     {for_update} {skip_locked}) \
     DELETE FROM attempts WHERE (upstream, reference, delivery) IN (SELECT upstream, reference, delivery FROM old)",
);

/// Writes the names that are not there yet; repeating it changes nothing.
///
/// # Errors
/// [`StoreError`]; nothing was written then.
pub async fn insert(tx: &Tx, names: &[Named]) -> Result<(), StoreError> {
    let mut rows: Vec<(&Named, &Reference)> = forms(names).collect();
    rows.sort_unstable_by_key(|(named, reference)| (&named.upstream, *reference, named.attempt.delivery));
    tx.execute(&INSERT, &columns(&rows), &[]).await.map(drop)
}

/// The attempt that each of `sought`, in their order, is of: of its likeliest form that anybody bears. A guess at the base of a
/// name counts only with the phone that the attempt went to.
///
/// # Errors
/// [`StoreError`].
pub async fn find(tx: &Tx, sought: &[Sought]) -> Result<Vec<Option<CarrierAttempt>>, StoreError> {
    let of_one = |(number, sought)| forms_of(sought).map(move |(form, reference)| (number, form, sought, reference));
    let rows: Vec<(i64, i64, &Sought, &Reference)> = (0_i64..).zip(sought).flat_map(of_one).collect();
    let columns = [
        Column::I64(rows.iter().map(|(number, ..)| *number).collect()),
        Column::I64(rows.iter().map(|(_, form, ..)| *form).collect()),
        Column::Text(rows.iter().map(|(.., sought, _)| sought.upstream.as_str()).collect()),
        Column::Text(rows.iter().map(|(.., reference)| reference.as_str()).collect()),
        Column::OptI64(rows.iter().map(|(.., sought, _)| sought.phone_key.map(PhoneKey::number)).collect()),
    ];
    let mut likeliest: HashMap<i64, (i64, CarrierAttempt)> = HashMap::new();
    for row in &tx.query(&FIND, &columns, &[]).await? {
        let (number, form) = (row.i64(0)?, row.i64(1)?);
        if likeliest.get(&number).is_none_or(|(known, _)| form < *known) {
            likeliest.insert(number, (form, attempt(row, 2)?));
        }
    }
    Ok((0..).zip(sought).map(|(number, _)| likeliest.get(&number).map(|(_, attempt)| *attempt)).collect())
}

/// The forms that may be asked for by themselves, with their places.
fn forms_of(sought: &Sought) -> impl Iterator<Item = (i64, &Reference)> {
    let is_sure = |reference: &Reference| sought.phone_key.is_some() || !reference.is_guess();
    (0..).zip(&sought.references).filter(move |(_, reference)| is_sure(reference))
}

/// Drops at most `limit` names given before `before`, oldest first, and says how many went.
///
/// # Errors
/// [`StoreError`].
pub async fn prune(tx: &Tx, before: Timestamp, limit: i64) -> Result<u64, StoreError> {
    tx.execute(&PRUNE, &[], &[Scalar::I64(before.micros()), Scalar::I64(limit)]).await
}

/// Every form of every name.
pub(super) fn forms(names: &[Named]) -> impl Iterator<Item = (&Named, &Reference)> {
    names.iter().flat_map(|named| named.references.iter().map(move |reference| (named, reference)))
}

pub(super) fn columns<'a>(rows: &[(&'a Named, &'a Reference)]) -> [Column<'a>; 5] {
    [
        Column::Text(rows.iter().map(|(named, _)| named.upstream.as_str()).collect()),
        Column::Text(rows.iter().map(|(_, reference)| reference.as_str()).collect()),
        Column::ids(rows.iter().map(|(named, _)| named.attempt.delivery.as_bytes())),
        Column::Text(rows.iter().map(|(named, _)| named.attempt.channel.as_str()).collect()),
        Column::I64(rows.iter().map(|(named, _)| named.phone_key.number()).collect()),
    ]
}

/// The delivery at `at` and the channel behind it.
pub(super) fn attempt(row: &Row, at: usize) -> Result<CarrierAttempt, StoreError> {
    let unknown = || StoreError::Internal("an attempt's channel cannot be read".into());
    Ok(CarrierAttempt {
        delivery: DeliveryId::from_bytes(row.id(at)?),
        channel: Channel::from_name(&row.text(at + 1)?).ok_or_else(unknown)?,
    })
}
