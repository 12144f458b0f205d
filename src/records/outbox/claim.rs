//! A claim: due rows leave the outbox, and what is to be sent is written down first.
//!
//! One transaction for several endpoints. Rows that another node claims at this moment are skipped, so that each is claimed
//! once. What can no longer be sent, or has been due for a day, becomes an attempt all the same, discarded, so that nothing
//! disappears unlisted. What is queued for an endpoint that cannot be read stays where it is: once it can be, nothing was lost.

use std::collections::{HashMap, HashSet};

use futures_util::future::{try_join, try_join_all, try_join3};

use crate::domain::delivery::Status;
use crate::domain::event::TerminalEvent;
use crate::domain::ids::{AccountId, AttemptId, DeliveryId, EndpointId};
use crate::domain::sealing::Keyring;
use crate::domain::time::Timestamp;
use crate::domain::webhook::{Cause, EXPIRED_AFTER, EventType, Fault};
use crate::records::attempts;
use crate::records::deliveries::{self, Delivery};
use crate::records::endpoints::{self, Reach};
use crate::store::{Column, Row, Scalar, Statement, StoreError, Tx, Type};

/// Endpoints whose rows are asked for in one round trip.
const ABREAST: usize = 16;

/// How many attempts of an endpoint are wanted at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Demand {
    pub endpoint: EndpointId,
    pub limit: i64,
}

/// One attempt that is written down and may be sent once its transaction has committed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claimed {
    pub attempt: AttemptId,
    pub account: AccountId,
    pub delivery: DeliveryId,
    pub event: EventType,
    pub cause: Cause,
    /// Its place in the endpoint's schedule: 1 for the first.
    pub number: u32,
    /// Since when it was due; for an event, when its delivery ended.
    pub due_at: Timestamp,
    pub started_at: Timestamp,
    pub body: Vec<u8>,
}

/// What was claimed for one endpoint.
#[derive(Clone, Debug)]
pub struct ClaimedEndpoint {
    pub id: EndpointId,
    pub reach: Reach,
    /// What is to be sent, oldest first; nothing unless the endpoint is active.
    pub attempts: Vec<Claimed>,
    /// Why others were discarded: written down with their result, not to be sent.
    pub discarded: Vec<Fault>,
    /// The demand was met in full: more may be due.
    pub more: bool,
}

// The clock stands in a query of its own: only so is it a bound of the index, and not a filter on every row behind it.
static PICK: Statement = Statement::new(
    "webhook_outbox.pick",
    &[],
    &[Type::Id, Type::I64],
    "SELECT due_us, delivery, account, event, cause, number, body_of, {now_us} FROM webhook_outbox \
     WHERE endpoint = $1 AND due_us <= (SELECT {now_us}) ORDER BY due_us, delivery LIMIT $2 {for_update} {skip_locked}",
);

static TAKE: Statement = Statement::new(
    "webhook_outbox.take",
    &[Type::Id, Type::I64, Type::Id],
    &[],
    "WITH r(endpoint, due_us, delivery) AS ({rows}) DELETE FROM webhook_outbox \
     WHERE (endpoint, due_us, delivery) IN (SELECT endpoint, due_us, delivery FROM r)",
);

/// One row of the outbox.
struct Due {
    endpoint: EndpointId,
    due_us: i64,
    delivery: DeliveryId,
    account: AccountId,
    event: EventType,
    cause: Cause,
    number: u32,
    body_of: Option<AttemptId>,
    now: Timestamp,
}

/// Claims what is due, up to each demand, in the order of `demands`; an endpoint that is not known is left out. An event
/// that was attempted before is dropped.
///
/// # Errors
/// [`StoreError`]; nothing was claimed then.
pub async fn claim(tx: &Tx, keyring: &Keyring, demands: &[Demand]) -> Result<Vec<ClaimedEndpoint>, StoreError> {
    let mut seen = HashSet::new();
    assert!(demands.iter().all(|demand| seen.insert(demand.endpoint)), "a claim names an endpoint once");
    let ids: Vec<EndpointId> = demands.iter().map(|demand| demand.endpoint).collect();
    let (mut known, due) = try_join(endpoints::reach(tx, keyring, &ids), pick(tx, demands)).await?;
    let is_readable = |due: &&Due| matches!(known.get(&due.endpoint), Some(Reach::Active(_) | Reach::Inactive));
    let rows: Vec<&Due> = due.iter().flatten().filter(is_readable).collect();
    let behind: HashSet<(DeliveryId, AccountId)> = rows.iter().map(|due| (due.delivery, due.account)).collect();
    let behind: Vec<(DeliveryId, AccountId)> = behind.into_iter().collect();
    let sources: Vec<AttemptId> = rows.iter().filter_map(|due| due.body_of).collect();
    let keys: Vec<(EndpointId, i64, DeliveryId)> =
        rows.iter().map(|due| (due.endpoint, due.due_us, due.delivery)).collect();
    let (taken, ended, earlier) =
        try_join3(take(tx, &keys), deliveries::read(tx, keyring, &behind), attempts::bodies(tx, keyring, &sources))
            .await?;
    assert_eq!(taken, rows.len() as u64, "every locked row is taken");
    let bodies = Bodies { events: ended.into_iter().filter_map(event_body).collect(), earlier };

    let attempts: Vec<(Claimed, EndpointId, Option<Fault>)> = rows
        .iter()
        .map(|due| {
            let body = bodies.of(due);
            let fault = match known.get(&due.endpoint) {
                Some(Reach::Active(_)) if body.is_none() => Some(Fault::Gone),
                Some(Reach::Active(_)) => due.has_expired().then_some(Fault::Expired),
                _ => Some(Fault::Disabled),
            };
            (due.claimed(body.unwrap_or_default().to_vec()), due.endpoint, fault)
        })
        .collect();
    let written =
        attempts::write(tx, keyring, attempts.iter().map(|(claimed, endpoint, _)| (claimed, *endpoint))).await?;
    let discarded = attempts.iter().filter(|(claimed, ..)| written.contains(&claimed.attempt));
    let discarded: Vec<(AttemptId, Fault)> =
        discarded.filter_map(|(claimed, _, fault)| fault.map(|fault| (claimed.attempt, fault))).collect();
    attempts::discard(tx, &discarded).await?;

    let mut found = demands
        .iter()
        .zip(&due)
        .filter_map(|(demand, due)| {
            let more = i64::try_from(due.len()).unwrap_or(i64::MAX) >= demand.limit;
            let reach = known.remove(&demand.endpoint)?;
            Some(ClaimedEndpoint { id: demand.endpoint, reach, attempts: Vec::new(), discarded: Vec::new(), more })
        })
        .collect::<Vec<_>>();
    let places: HashMap<EndpointId, usize> = found.iter().enumerate().map(|(at, found)| (found.id, at)).collect();
    for (claimed, endpoint, fault) in attempts.into_iter().filter(|(claimed, ..)| written.contains(&claimed.attempt)) {
        let Some(found) = places.get(&endpoint).and_then(|at| found.get_mut(*at)) else { continue };
        match fault {
            Some(fault) => found.discarded.push(fault),
            None => found.attempts.push(claimed),
        }
    }
    Ok(found)
}

/// The due rows of each demand, locked.
async fn pick(tx: &Tx, demands: &[Demand]) -> Result<Vec<Vec<Due>>, StoreError> {
    let mut picked = Vec::with_capacity(demands.len());
    for demands in demands.chunks(ABREAST) {
        let one = async |demand: &Demand| {
            let scalars = [Scalar::Id(*demand.endpoint.as_bytes()), Scalar::I64(demand.limit)];
            let rows = tx.query(&PICK, &[], &scalars).await?;
            rows.iter().map(|row| Due::read(demand.endpoint, row)).collect::<Result<Vec<Due>, StoreError>>()
        };
        picked.extend(try_join_all(demands.iter().map(one)).await?);
    }
    Ok(picked)
}

/// Takes these rows out and says how many were there.
pub(super) async fn take(tx: &Tx, rows: &[(EndpointId, i64, DeliveryId)]) -> Result<u64, StoreError> {
    let columns = [
        Column::ids(rows.iter().map(|(endpoint, ..)| endpoint.as_bytes())),
        Column::I64(rows.iter().map(|(_, due_us, _)| *due_us).collect()),
        Column::ids(rows.iter().map(|(.., delivery)| delivery.as_bytes())),
    ];
    tx.execute(&TAKE, &columns, &[]).await
}

impl Due {
    fn read(endpoint: EndpointId, row: &Row) -> Result<Self, StoreError> {
        let malformed = |what: &str| StoreError::Internal(format!("an outbox row's {what} cannot be read"));
        Ok(Self {
            endpoint,
            due_us: row.i64(0)?,
            delivery: DeliveryId::from_bytes(row.id(1)?),
            account: AccountId::from_bytes(row.id(2)?),
            event: EventType::from_number(row.i64(3)?).ok_or_else(|| malformed("event"))?,
            cause: Cause::from_number(row.i64(4)?).ok_or_else(|| malformed("cause"))?,
            number: u32::try_from(row.i64(5)?).map_err(|_| malformed("number"))?,
            body_of: row.opt_id(6)?.map(AttemptId::from_bytes),
            now: Timestamp::from_micros(row.i64(7)?),
        })
    }

    fn has_expired(&self) -> bool {
        self.now.since(Timestamp::from_micros(self.due_us)) > EXPIRED_AFTER
    }

    fn claimed(&self, body: Vec<u8>) -> Claimed {
        Claimed {
            attempt: AttemptId::new(self.now, rand::random()),
            account: self.account,
            delivery: self.delivery,
            event: self.event,
            cause: self.cause,
            number: self.number,
            due_at: Timestamp::from_micros(self.due_us),
            started_at: self.now,
            body,
        }
    }
}

/// What may be sent: the events' bodies, and those of earlier attempts.
struct Bodies {
    events: HashMap<DeliveryId, Vec<u8>>,
    earlier: HashMap<AttemptId, Vec<u8>>,
}

impl Bodies {
    /// An attempt that was discarded because its event could not be made has an empty body: it is made now, if it can be.
    fn of(&self, due: &Due) -> Option<&[u8]> {
        let earlier = match due.body_of {
            Some(attempt) => Some(self.earlier.get(&attempt)?).filter(|body| !body.is_empty()),
            None => None,
        };
        earlier.or_else(|| self.events.get(&due.delivery)).map(Vec::as_slice)
    }
}

/// The body of the event, if the delivery has ended.
fn event_body((id, delivery): (DeliveryId, Delivery)) -> Option<(DeliveryId, Vec<u8>)> {
    let completed_at = delivery.completed_at.filter(|_| delivery.status != Status::Sent)?;
    let event = TerminalEvent {
        id,
        phone: delivery.phone,
        carrier: delivery.carrier,
        status: delivery.status,
        cost: delivery.cost,
        error_code: delivery.error_code,
        created_at: delivery.created_at,
        completed_at,
        metadata: delivery.metadata,
    };
    Some((id, event.body()))
}
