//! Replays: an operator has events sent again, one, or all that were not accepted since a time.
//!
//! A replay bears the body of the attempt that it repeats. What is already on its way is not queued twice; a retry that waits
//! for its time is replaced. Pings are never replayed.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::claim::take;
use super::{Again, queue_again};
use crate::domain::ids::{AccountId, AttemptId, DeliveryId, EndpointId};
use crate::domain::time::{Timestamp, duration_micros};
use crate::domain::webhook::{Cause, EventType, UNKNOWN_AFTER};
use crate::records::audit::{self, Actor};
use crate::records::endpoints;
use crate::store::{Row, Scalar, Statement, StoreError, Tx, Type};

/// What became of a replay of one attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Replayed {
    Done(EndpointId),
    /// The event is on its way already.
    Waiting,
    /// The endpoint is disabled or deleted.
    Inactive,
    /// A ping: send a new one.
    Ping,
    NoAttempt,
}

/// Which events are to be sent again: those of which no attempt was accepted, and whose last attempt since a time failed,
/// was discarded or, if that is wanted too, is of unknown outcome.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Since {
    pub endpoint: EndpointId,
    pub since: Timestamp,
    pub unknown_too: bool,
}

/// What became of one step through the attempts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Replays {
    /// How many are queued, and where the next step begins; `None` at the end.
    Done {
        queued: u64,
        next: Option<AttemptId>,
    },
    /// The endpoint is disabled.
    Inactive,
    NoEndpoint,
}

static FIND: Statement = Statement::new(
    "webhook_attempts.find_for_replay",
    &[],
    &[Type::Id, Type::I64],
    "SELECT a.id, a.delivery, a.account, a.event, a.endpoint, e.active_since_us, CAST(CASE WHEN EXISTS \
     (SELECT 1 FROM webhook_attempts b LEFT JOIN webhook_results x ON x.attempt = b.id WHERE b.delivery = a.delivery \
     AND b.endpoint = a.endpoint AND x.attempt IS NULL AND b.started_us > {now_us} - $2) THEN 1 ELSE 0 END AS BIGINT) \
     FROM webhook_attempts a JOIN webhook_endpoints e ON e.id = a.endpoint WHERE a.id = $1",
);

// An outcome of 1 is accepted, 2 failed, 3 discarded; event 4 is a ping.
static NOT_ACCEPTED: Statement = Statement::new(
    "webhook_attempts.not_accepted",
    &[],
    &[Type::Id, Type::Id, Type::I64, Type::Id, Type::I64, Type::I64, Type::I64],
    "SELECT a.id, a.delivery, a.account, a.event FROM \
     (SELECT * FROM webhook_attempts WHERE account = $1 AND id > $2 ORDER BY account, id LIMIT $3) AS a \
     LEFT JOIN webhook_results x ON x.attempt = a.id \
     WHERE a.endpoint = $4 AND a.event <> 4 AND a.started_us >= $5 \
     AND (x.outcome IN (2, 3) OR ($6 = 1 AND x.attempt IS NULL AND a.started_us <= {now_us} - $7)) \
     AND NOT EXISTS (SELECT 1 FROM webhook_attempts b LEFT JOIN webhook_results y ON y.attempt = b.id \
     WHERE b.delivery = a.delivery AND b.endpoint = a.endpoint AND (b.id > a.id OR y.outcome = 1)) ORDER BY a.id",
);

static SLICE_END: Statement = Statement::new(
    "webhook_attempts.slice_end",
    &[],
    &[Type::Id, Type::Id, Type::I64],
    "SELECT id FROM webhook_attempts WHERE account = $1 AND id > $2 ORDER BY account, id LIMIT 1 OFFSET $3",
);

static WAITING: Statement = Statement::new(
    "webhook_outbox.waiting",
    &[],
    &[Type::Id, Type::Id],
    "SELECT delivery, due_us, {now_us} FROM webhook_outbox WHERE endpoint = $1 AND delivery = $2",
);

static WAITING_PAGE: Statement = Statement::new(
    "webhook_outbox.waiting_page",
    &[],
    &[Type::Id, Type::I64, Type::Id, Type::I64],
    "SELECT delivery, due_us, {now_us} FROM webhook_outbox WHERE endpoint = $1 AND (due_us, delivery) > ($2, $3) \
     ORDER BY due_us, delivery LIMIT $4",
);

/// Rows of the outbox that are held in memory at once.
const WAITING_ROWS: usize = 10_000;

/// Queues the event of one attempt, whatever became of it, to be sent again now.
///
/// # Errors
/// [`StoreError`].
pub async fn replay_one(tx: &Tx, actor: &Actor, attempt: AttemptId) -> Result<Replayed, StoreError> {
    let scalars = [Scalar::Id(*attempt.as_bytes()), Scalar::I64(duration_micros(UNKNOWN_AFTER))];
    let rows = tx.query(&FIND, &[], &scalars).await?;
    let Some(row) = rows.first() else { return Ok(Replayed::NoAttempt) };
    let earlier = Earlier::read(row)?;
    let endpoint = EndpointId::from_bytes(row.id(4)?);
    if earlier.event == EventType::Test {
        return Ok(Replayed::Ping);
    }
    if row.opt_i64(5)?.is_none() {
        return Ok(Replayed::Inactive);
    }
    let is_sending = row.i64(6)? == 1;
    if is_sending || queue_replays(tx, endpoint, &[earlier]).await? == 0 {
        return Ok(Replayed::Waiting);
    }
    let detail = format!("endpoint {endpoint}, attempt {attempt}");
    audit::record(tx, actor, audit::now(tx).await?, "webhook.replay", &earlier.account.to_string(), &detail).await?;
    Ok(Replayed::Done(endpoint))
}

/// Looks at the next `rows` attempts of the endpoint's account and queues the last attempt of every event that `which` names.
/// The first step has no `after`, the next ones go on from where the one before ended.
///
/// # Errors
/// [`StoreError`].
pub async fn replay_since(
    tx: &Tx,
    actor: &Actor,
    which: &Since,
    after: Option<AttemptId>,
    rows: i64,
) -> Result<Replays, StoreError> {
    let Some(endpoint) = endpoints::find(tx, which.endpoint).await? else { return Ok(Replays::NoEndpoint) };
    if endpoint.active_since.is_none() {
        return Ok(Replays::Inactive);
    }
    let account = Scalar::Id(*endpoint.account.as_bytes());
    let from = Scalar::Id(after.map_or(*DeliveryId::floor(which.since).as_bytes(), |after| *after.as_bytes()));
    let scalars = [
        account,
        from,
        Scalar::I64(rows.max(1)),
        Scalar::Id(*which.endpoint.as_bytes()),
        Scalar::I64(which.since.micros()),
        Scalar::I64(i64::from(which.unknown_too)),
        Scalar::I64(duration_micros(UNKNOWN_AFTER)),
    ];
    let found = tx.query(&NOT_ACCEPTED, &[], &scalars).await?;
    let found: Vec<Earlier> = found.iter().map(Earlier::read).collect::<Result<_, _>>()?;
    let end = tx.query(&SLICE_END, &[], &[account, from, Scalar::I64(rows.max(1) - 1)]).await?;
    let next = end.first().map(|row| row.id(0).map(AttemptId::from_bytes)).transpose()?;
    let queued = queue_replays(tx, which.endpoint, &found).await?;
    if after.is_none() {
        let unknown = if which.unknown_too { ", unknown ones too" } else { "" };
        let detail = format!("endpoint {}, all since {}{unknown}", which.endpoint, which.since.rfc3339());
        let at = audit::now(tx).await?;
        audit::record(tx, actor, at, "webhook.replay", &endpoint.account.to_string(), &detail).await?;
    }
    Ok(Replays::Done { queued, next })
}

/// The attempt whose body is sent again.
#[derive(Clone, Copy)]
struct Earlier {
    attempt: AttemptId,
    delivery: DeliveryId,
    account: AccountId,
    event: EventType,
}

impl Earlier {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let event = EventType::from_number(row.i64(3)?);
        Ok(Self {
            attempt: AttemptId::from_bytes(row.id(0)?),
            delivery: DeliveryId::from_bytes(row.id(1)?),
            account: AccountId::from_bytes(row.id(2)?),
            event: event.ok_or_else(|| StoreError::Internal("an attempt's event cannot be read".into()))?,
        })
    }
}

/// Queues those that are not due already, in the place of a retry that waits.
async fn queue_replays(tx: &Tx, endpoint: EndpointId, earlier: &[Earlier]) -> Result<u64, StoreError> {
    let mut wanted: HashMap<DeliveryId, &Earlier> = earlier.iter().map(|earlier| (earlier.delivery, earlier)).collect();
    let mut waiting = Waiting::default();
    match earlier {
        [] => return Ok(0),
        [one] => {
            let scalars = [Scalar::Id(*endpoint.as_bytes()), Scalar::Id(*one.delivery.as_bytes())];
            waiting.note(&tx.query(&WAITING, &[], &scalars).await?, &wanted)?;
        }
        _ => waiting.walk(tx, endpoint, &wanted).await?,
    }
    wanted.retain(|delivery, _| !waiting.due.contains(delivery));
    let later = waiting.later.into_iter().filter(|(_, delivery)| wanted.contains_key(delivery));
    let later: Vec<_> = later.map(|(due_us, delivery)| (endpoint, due_us, delivery)).collect();
    // Another node may claim one of them at this moment: then the event is sent twice, as was asked.
    take(tx, &later).await?;
    let again = |earlier: &&Earlier| Again {
        endpoint,
        delivery: earlier.delivery,
        account: earlier.account,
        event: earlier.event,
        cause: Cause::Replay,
        number: 1,
        body_of: earlier.attempt,
        wait: Duration::ZERO,
    };
    queue_again(tx, &wanted.values().map(again).collect::<Vec<_>>()).await
}

/// What an endpoint has waiting of wanted deliveries.
#[derive(Default)]
struct Waiting {
    due: HashSet<DeliveryId>,
    /// Retries whose time is still to come.
    later: Vec<(i64, DeliveryId)>,
}

impl Waiting {
    /// Reads all that the endpoint has waiting, piece by piece: no index leads from a delivery to it, because the settle
    /// transaction would pay for that, and a dead endpoint may have a million.
    async fn walk(
        &mut self,
        tx: &Tx,
        endpoint: EndpointId,
        wanted: &HashMap<DeliveryId, &Earlier>,
    ) -> Result<(), StoreError> {
        let mut after = Some((i64::MIN, DeliveryId::from_bytes([0; 16])));
        while let Some((due_us, delivery)) = after {
            let scalars = [
                Scalar::Id(*endpoint.as_bytes()),
                Scalar::I64(due_us),
                Scalar::Id(*delivery.as_bytes()),
                Scalar::I64(i64::try_from(WAITING_ROWS).unwrap_or(i64::MAX)),
            ];
            let rows = tx.query(&WAITING_PAGE, &[], &scalars).await?;
            self.note(&rows, wanted)?;
            let last = rows.last().filter(|_| rows.len() == WAITING_ROWS);
            after = last.map(|row| Ok((row.i64(1)?, DeliveryId::from_bytes(row.id(0)?)))).transpose()?;
        }
        Ok(())
    }

    fn note(&mut self, rows: &[Row], wanted: &HashMap<DeliveryId, &Earlier>) -> Result<(), StoreError> {
        for row in rows {
            let (delivery, due_us) = (DeliveryId::from_bytes(row.id(0)?), row.i64(1)?);
            if !wanted.contains_key(&delivery) {
                continue;
            }
            if due_us <= row.i64(2)? {
                self.due.insert(delivery);
            } else {
                self.later.push((due_us, delivery));
            }
        }
        Ok(())
    }
}
