//! Notice attempts: one row before a POST, one result row after it, neither ever changed.
//!
//! An attempt without a result is under way, or its node ended before it could write one: then it shows as `unknown` and is
//! never sent again by itself. Writing a result is idempotent, and only the first one asks for a retry or changes its endpoint.

mod finish;
mod listing;

use std::collections::{HashMap, HashSet};

pub(super) use finish::discard;
pub use finish::{EndpointChange, Finished, finish};
pub use listing::{AttemptListing, AttemptPage, Attempts, ListError, ListedAttempt};

use crate::domain::ids::{AccountId, AttemptId, DeliveryId, EndpointId};
use crate::domain::sealing::Keyring;
use crate::domain::webhook::{Cause, EventType};
use crate::records::audit;
use crate::records::outbox::Claimed;
use crate::store::{Column, Scalar, Statement, StoreError, Tx, Type};

/// An attempt that no outbox row asks for: a ping.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewAttempt {
    pub account: AccountId,
    pub endpoint: EndpointId,
    pub delivery: DeliveryId,
    pub event: EventType,
    pub cause: Cause,
    /// 1 for the first.
    pub number: u32,
    pub body: Vec<u8>,
}

static INSERT: Statement = Statement::new(
    "webhook_attempts.insert",
    &[Type::Id, Type::Id, Type::Id, Type::Id, Type::I64, Type::I64, Type::I64, Type::I64, Type::Bytes],
    &[],
    "WITH r(id, account, endpoint, delivery, event, cause, number, started_us, body_sealed) AS ({rows}) \
     INSERT INTO webhook_attempts (id, account, endpoint, delivery, event, cause, number, started_us, body_sealed) \
     SELECT id, account, endpoint, delivery, event, cause, number, started_us, body_sealed FROM r WHERE true \
     ON CONFLICT DO NOTHING RETURNING id",
);

static BODIES: Statement = Statement::new(
    "webhook_attempts.bodies",
    &[Type::Id],
    &[],
    "WITH r(id) AS ({rows}) SELECT a.id, a.body_sealed FROM r JOIN webhook_attempts a ON a.id = r.id",
);

static PRUNE: Statement = Statement::new(
    "webhook_attempts.prune",
    &[],
    &[Type::Id, Type::I64],
    "DELETE FROM webhook_attempts WHERE id IN (SELECT id FROM webhook_attempts WHERE id < $1 ORDER BY id LIMIT $2) \
     RETURNING id",
);

static PRUNE_RESULTS: Statement = Statement::new(
    "webhook_results.prune",
    &[Type::Id],
    &[],
    "WITH r(attempt) AS ({rows}) DELETE FROM webhook_results WHERE attempt IN (SELECT attempt FROM r)",
);

/// Writes one attempt down. It may be sent once the transaction has committed.
///
/// # Errors
/// [`StoreError`]; [`StoreError::Internal`] for a second attempt of cause [`Cause::Event`].
pub async fn begin(tx: &Tx, keyring: &Keyring, new: &NewAttempt) -> Result<Claimed, StoreError> {
    let now = audit::now(tx).await?;
    let claimed = Claimed {
        attempt: AttemptId::new(now, rand::random()),
        account: new.account,
        delivery: new.delivery,
        event: new.event,
        cause: new.cause,
        number: new.number,
        due_at: now,
        started_at: now,
        body: new.body.clone(),
    };
    if write(tx, keyring, [(&claimed, new.endpoint)].into_iter()).await?.is_empty() {
        return Err(StoreError::Internal("the event was attempted before".into()));
    }
    Ok(claimed)
}

/// Drops at most `limit` attempts made before `before` (an id's floor), with their results, and says how many went.
///
/// # Errors
/// [`StoreError`].
pub async fn prune(tx: &Tx, before: AttemptId, limit: i64) -> Result<u64, StoreError> {
    let rows = tx.query(&PRUNE, &[], &[Scalar::Id(*before.as_bytes()), Scalar::I64(limit)]).await?;
    let gone: Vec<[u8; 16]> = rows.iter().map(|row| row.id(0)).collect::<Result<_, _>>()?;
    tx.execute(&PRUNE_RESULTS, &[Column::ids(&gone)], &[]).await?;
    Ok(gone.len() as u64)
}

/// Writes attempts down, and says which: an event that was attempted before is not (invariant 5).
pub(super) async fn write<'a>(
    tx: &Tx,
    keyring: &Keyring,
    attempts: impl Iterator<Item = (&'a Claimed, EndpointId)> + Clone,
) -> Result<HashSet<AttemptId>, StoreError> {
    let sealed: Vec<Vec<u8>> =
        attempts.clone().map(|(claimed, _)| keyring.seal_body(claimed.attempt, &claimed.body)).collect();
    let endpoints: Vec<EndpointId> = attempts.clone().map(|(_, endpoint)| endpoint).collect();
    let all = || attempts.clone().map(|(claimed, _)| claimed);
    let columns = [
        Column::ids(all().map(|claimed| claimed.attempt.as_bytes())),
        Column::ids(all().map(|claimed| claimed.account.as_bytes())),
        Column::ids(endpoints.iter().map(EndpointId::as_bytes)),
        Column::ids(all().map(|claimed| claimed.delivery.as_bytes())),
        Column::I64(all().map(|claimed| claimed.event.number()).collect()),
        Column::I64(all().map(|claimed| claimed.cause.number()).collect()),
        Column::I64(all().map(|claimed| i64::from(claimed.number)).collect()),
        Column::I64(all().map(|claimed| claimed.started_at.micros()).collect()),
        Column::Bytes(sealed.iter().map(Vec::as_slice).collect()),
    ];
    let rows = tx.query(&INSERT, &columns, &[]).await?;
    rows.iter().map(|row| row.id(0).map(AttemptId::from_bytes)).collect()
}

/// The bodies of these attempts, as far as they are there and can be opened.
pub(super) async fn bodies(
    tx: &Tx,
    keyring: &Keyring,
    attempts: &[AttemptId],
) -> Result<HashMap<AttemptId, Vec<u8>>, StoreError> {
    let rows = tx.query(&BODIES, &[Column::ids(attempts.iter().map(AttemptId::as_bytes))], &[]).await?;
    let mut bodies = HashMap::with_capacity(rows.len());
    for row in &rows {
        let attempt = AttemptId::from_bytes(row.id(0)?);
        if let Some(body) = keyring.open_body(attempt, &row.bytes(1)?) {
            bodies.insert(attempt, body);
        }
    }
    Ok(bodies)
}
