//! Attempts whose receipt is asked for: who asks, and who goes on where that one is gone.
//!
//! A poller is one life of one link. It says every few seconds that it lives; the rows of one that no longer does are taken
//! over by another of its upstream, each by one only, so many at a time. A poller that was only slow goes on asking for what it
//! knows: two may ask for one receipt until its delivery ends, and never longer. No row is written when a delivery ends: what
//! is over is passed when it is taken over, and dropped by its age.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::try_join;

use crate::domain::ids::{DeliveryId, PollerId};
use crate::domain::reference::{Reference, UpstreamId};
use crate::domain::time::{Timestamp, duration_micros};
use crate::records::carrier_attempts::{self, CarrierAttempt, Named};
use crate::store::{Column, Row, Scalar, Statement, StoreError, Tx, Type};

/// A poller that says that it lives, and how much it can take over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Poller {
    pub poller: PollerId,
    pub upstream: UpstreamId,
    /// From now on; nothing, if it leaves.
    pub lives_for: Duration,
    pub takes: i64,
}

/// An attempt that nobody asked for any more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Orphan {
    pub attempt: CarrierAttempt,
    pub reference: Reference,
    /// Until its delivery settles.
    pub settles_in: Duration,
}

/// What was taken over.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TakenOver {
    /// Those whose delivery has not ended.
    pub orphans: Vec<Orphan>,
    /// As many rows were taken over as may be at once: there may be more.
    pub more: bool,
}

/// How long a poller that has not said yet that it lives is taken to do so.
const UNHEARD: Duration = Duration::from_secs(6);

static INSERT: Statement = Statement::new(
    "polls.insert",
    &[Type::Id, Type::Text, Type::Text, Type::Id],
    &[],
    "WITH r(delivery, channel, reference, poller) AS ({rows}) \
     INSERT INTO polls (delivery, channel, reference, poller) \
     SELECT delivery, channel, reference, poller FROM r WHERE true ON CONFLICT (delivery, channel) DO NOTHING",
);

// A row is never of a poller that nobody could know to be gone: one that has not said that it lives is written with its first.
static KNOWN: Statement = Statement::new(
    "pollers.known",
    &[Type::Id, Type::Text],
    &[Type::I64],
    "WITH r(poller, upstream) AS ({rows}) INSERT INTO pollers (poller, upstream, until_us) \
     SELECT poller, upstream, {now_us} + $3 FROM r WHERE true ON CONFLICT (poller) DO NOTHING",
);

static LIVE: Statement = Statement::new(
    "pollers.live",
    &[],
    &[Type::Id, Type::Text, Type::I64],
    "INSERT INTO pollers (poller, upstream, until_us) SELECT $1, $2, {now_us} + $3 WHERE true \
     ON CONFLICT (poller) DO UPDATE SET until_us = EXCLUDED.until_us",
);

// Two that take over at once skip each other's rows.
static TAKE_OVER: Statement = Statement::new(
    "polls.take_over",
    &[],
    &[Type::Id, Type::Text, Type::I64],
    "WITH old AS MATERIALIZED (SELECT q.delivery, q.channel FROM pollers p JOIN polls q ON q.poller = p.poller \
     WHERE p.upstream = $2 AND p.until_us < {now_us} LIMIT $3 {for_update:q} {skip_locked}) \
     UPDATE polls SET poller = $1 WHERE (delivery, channel) IN (SELECT delivery, channel FROM old) \
     RETURNING delivery, channel, reference",
);

static STILL_SENT: Statement = Statement::new(
    "polls.still_sent",
    &[Type::Id, Type::Text, Type::Text],
    &[],
    "WITH r(delivery, channel, reference) AS ({rows}) \
     SELECT r.delivery, r.channel, r.reference, d.settle_us - {now_us} FROM r JOIN deliveries d ON d.id = r.delivery \
     WHERE d.status = 0 AND d.settle_us > {now_us}",
);

static PRUNE: Statement = Statement::new(
    "polls.prune",
    &[],
    &[Type::Id, Type::I64],
    "WITH old AS (SELECT delivery, channel FROM polls WHERE delivery < $1 ORDER BY delivery LIMIT $2 \
     {for_update} {skip_locked}) DELETE FROM polls WHERE (delivery, channel) IN (SELECT delivery, channel FROM old)",
);

static PRUNE_POLLERS: Statement =
    Statement::new("pollers.prune", &[], &[Type::I64], "DELETE FROM pollers WHERE until_us < $1");

/// Writes who asks for those of `names` that are asked for; repeating it changes nothing.
///
/// # Errors
/// [`StoreError`]; nothing was written then.
pub async fn insert(tx: &Tx, names: &[Named]) -> Result<(), StoreError> {
    let polled = |named: &Named| Some((named.attempt, named.references.first()?.clone(), named.poller?));
    let mut rows: Vec<(CarrierAttempt, Reference, PollerId)> = names.iter().filter_map(polled).collect();
    if rows.is_empty() {
        return Ok(());
    }
    rows.sort_unstable_by_key(|(attempt, ..)| (attempt.delivery, attempt.channel.as_str()));
    let columns = [
        Column::ids(rows.iter().map(|(attempt, ..)| attempt.delivery.as_bytes())),
        Column::Text(rows.iter().map(|(attempt, ..)| attempt.channel.as_str()).collect()),
        Column::Text(rows.iter().map(|(_, reference, _)| reference.as_str()).collect()),
        Column::ids(rows.iter().map(|(.., poller)| poller.as_bytes())),
    ];
    let pollers: BTreeMap<PollerId, &UpstreamId> =
        names.iter().filter_map(|named| Some((named.poller?, &named.upstream))).collect();
    let known = [
        Column::ids(pollers.keys().map(PollerId::as_bytes)),
        Column::Text(pollers.values().map(|upstream| upstream.as_str()).collect()),
    ];
    let unheard = [Scalar::I64(duration_micros(UNHEARD))];
    let (_, _) = try_join(tx.execute(&KNOWN, &known, &unheard), tx.execute(&INSERT, &columns, &[])).await?;
    Ok(())
}

/// Writes that `poller` lives, and takes over what those of its upstream that do not had to ask for.
///
/// # Errors
/// [`StoreError`]; nothing was taken over then.
pub async fn live(tx: &Tx, poller: &Poller) -> Result<TakenOver, StoreError> {
    let (id, upstream) = (Scalar::Id(*poller.poller.as_bytes()), Scalar::Text(poller.upstream.as_str()));
    tx.execute(&LIVE, &[], &[id, upstream, Scalar::I64(duration_micros(poller.lives_for))]).await?;
    if poller.takes <= 0 {
        return Ok(TakenOver::default());
    }
    let taken = tx.query(&TAKE_OVER, &[], &[id, upstream, Scalar::I64(poller.takes)]).await?;
    if taken.is_empty() {
        return Ok(TakenOver::default());
    }
    let ids = taken.iter().map(|row| row.id(0)).collect::<Result<Vec<_>, _>>()?;
    let texts = taken.iter().map(|row| Ok((row.text(1)?, row.text(2)?))).collect::<Result<Vec<_>, StoreError>>()?;
    let columns = [
        Column::ids(&ids),
        Column::Text(texts.iter().map(|(channel, _)| channel.as_ref()).collect()),
        Column::Text(texts.iter().map(|(_, reference)| reference.as_ref()).collect()),
    ];
    let sent = tx.query(&STILL_SENT, &columns, &[]).await?;
    let orphans = sent.iter().map(orphan).collect::<Result<Vec<_>, _>>()?;
    Ok(TakenOver { orphans, more: i64::try_from(taken.len()).unwrap_or(i64::MAX) >= poller.takes })
}

/// Drops at most `limit` polls of deliveries made before `before` (an id's floor), and pollers that were gone at `gone`, by when
/// nothing of theirs can be left. Says how many polls went.
///
/// # Errors
/// [`StoreError`].
pub async fn prune(tx: &Tx, before: DeliveryId, gone: Timestamp, limit: i64) -> Result<u64, StoreError> {
    tx.execute(&PRUNE_POLLERS, &[], &[Scalar::I64(gone.micros())]).await?;
    tx.execute(&PRUNE, &[], &[Scalar::Id(*before.as_bytes()), Scalar::I64(limit)]).await
}

fn orphan(row: &Row) -> Result<Orphan, StoreError> {
    let attempt = carrier_attempts::attempt(row, 0)?;
    let unknown = || StoreError::Internal("the reference of a poll cannot be read".into());
    let reference = Reference::new(&row.text(2)?).ok_or_else(unknown)?;
    let settles_in = Duration::from_micros(u64::try_from(row.i64(3)?).unwrap_or(0));
    Ok(Orphan { attempt, reference, settles_in })
}
