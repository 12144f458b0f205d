//! The outbox: what is to be sent to webhook endpoints, and since when.
//!
//! A row is written in the transaction that ends a delivery, or that decides on another attempt, and goes in the one that
//! claims it. Nothing here sends; what a claim returns may be sent only once its transaction has certainly committed, so that
//! an event is sent at most once by itself (invariant 5).

mod claim;
mod replay;

use std::collections::BTreeSet;

pub use claim::{Claimed, ClaimedEndpoint, Demand, claim};
pub use replay::{Replayed, Replays, Since, replay_one, replay_since};

use crate::domain::ids::{AccountId, AttemptId, DeliveryId, EndpointId};
use crate::domain::time::{Timestamp, duration_micros};
use crate::domain::webhook::{Cause, EventType};
use crate::store::{Column, Scalar, Statement, StoreError, Tx, Type};

static ANY_ACTIVE: Statement = Statement::new(
    "webhook_endpoints.any_active",
    &[],
    &[],
    "SELECT id FROM webhook_endpoints WHERE active_since_us IS NOT NULL LIMIT 1",
);

static QUEUE: Statement = Statement::new(
    "webhook_outbox.queue",
    &[Type::Id, Type::Id, Type::I64],
    &[],
    "WITH r(delivery, account, event) AS ({rows}) \
     INSERT INTO webhook_outbox (endpoint, due_us, delivery, account, event, cause, number) \
     SELECT e.id, {now_us}, r.delivery, r.account, r.event, 0, 1 \
     FROM r JOIN webhook_endpoints e ON e.account = r.account \
     WHERE e.active_since_us IS NOT NULL AND (e.events & r.event) <> 0 RETURNING endpoint",
);

// The clock stands in a query of its own: only so is it a bound of the index, and not a filter on every row behind it.
static DUE: Statement = Statement::new(
    "webhook_outbox.due",
    &[],
    &[Type::Id, Type::I64],
    "SELECT e.id FROM webhook_endpoints e WHERE e.id > $1 AND EXISTS \
     (SELECT 1 FROM webhook_outbox o WHERE o.endpoint = e.id AND o.due_us <= (SELECT {now_us})) \
     ORDER BY e.id LIMIT $2",
);

static OLDEST_DUE: Statement = Statement::new(
    "webhook_outbox.oldest_due",
    &[],
    &[],
    "SELECT MIN(oldest.due_us) FROM (SELECT \
     (SELECT MIN(o.due_us) FROM webhook_outbox o WHERE o.endpoint = e.id) AS due_us \
     FROM webhook_endpoints e) AS oldest WHERE oldest.due_us <= {now_us}",
);

static QUEUE_AGAIN: Statement = Statement::new(
    "webhook_outbox.queue_again",
    &[Type::Id, Type::I64, Type::Id, Type::Id, Type::I64, Type::I64, Type::I64, Type::Id],
    &[],
    "WITH r(endpoint, wait_us, delivery, account, event, cause, number, body_of) AS ({rows}) \
     INSERT INTO webhook_outbox (endpoint, due_us, delivery, account, event, cause, number, body_of) \
     SELECT endpoint, {now_us} + wait_us, delivery, account, event, cause, number, body_of FROM r WHERE true \
     ON CONFLICT (endpoint, due_us, delivery) DO NOTHING",
);

/// Whether any endpoint at all is active: what a settle transaction asks before it [`queue`]s.
pub(super) async fn is_wanted(tx: &Tx) -> Result<bool, StoreError> {
    Ok(!tx.query(&ANY_ACTIVE, &[], &[]).await?.is_empty())
}

/// Queues the event of each delivery that has just ended for every active endpoint of its account that wants it; returns
/// those endpoints. A fresh row waits for nobody: its place in the lock order does not matter.
pub(super) async fn queue(
    tx: &Tx,
    ended: &[(DeliveryId, AccountId, EventType)],
) -> Result<Vec<EndpointId>, StoreError> {
    let columns = [
        Column::ids(ended.iter().map(|(delivery, ..)| delivery.as_bytes())),
        Column::ids(ended.iter().map(|(_, account, _)| account.as_bytes())),
        Column::I64(ended.iter().map(|(.., event)| event.number()).collect()),
    ];
    let rows = tx.query(&QUEUE, &columns, &[]).await?;
    let told: BTreeSet<EndpointId> = rows.iter().map(endpoint_id).collect::<Result<_, _>>()?;
    Ok(told.into_iter().collect())
}

/// At most `limit` endpoints after `after`, in the order of their ids, for which something is due: disabled and deleted
/// ones too, whose rows a claim discards.
///
/// # Errors
/// [`StoreError`].
pub async fn due(tx: &Tx, after: Option<EndpointId>, limit: i64) -> Result<Vec<EndpointId>, StoreError> {
    let after = after.map_or([0; 16], |endpoint| *endpoint.as_bytes());
    let rows = tx.query(&DUE, &[], &[Scalar::Id(after), Scalar::I64(limit)]).await?;
    rows.iter().map(endpoint_id).collect()
}

/// Since when the oldest row that is due has been; `None` if nothing is.
///
/// # Errors
/// [`StoreError`].
pub async fn oldest_due(tx: &Tx) -> Result<Option<Timestamp>, StoreError> {
    let rows = tx.query(&OLDEST_DUE, &[], &[]).await?;
    Ok(rows.first().map(|row| row.opt_i64(0)).transpose()?.flatten().map(Timestamp::from_micros))
}

/// An event that is to be sent again, with the body of an earlier attempt.
pub(super) struct Again {
    pub(super) endpoint: EndpointId,
    pub(super) delivery: DeliveryId,
    pub(super) account: AccountId,
    pub(super) event: EventType,
    pub(super) cause: Cause,
    pub(super) number: u32,
    pub(super) body_of: AttemptId,
    /// From now.
    pub(super) wait: std::time::Duration,
}

/// Two rows of one event that would be due for one endpoint in one microsecond are one.
pub(super) async fn queue_again(tx: &Tx, again: &[Again]) -> Result<u64, StoreError> {
    let columns = [
        Column::ids(again.iter().map(|again| again.endpoint.as_bytes())),
        Column::I64(again.iter().map(|again| duration_micros(again.wait)).collect()),
        Column::ids(again.iter().map(|again| again.delivery.as_bytes())),
        Column::ids(again.iter().map(|again| again.account.as_bytes())),
        Column::I64(again.iter().map(|again| again.event.number()).collect()),
        Column::I64(again.iter().map(|again| again.cause.number()).collect()),
        Column::I64(again.iter().map(|again| i64::from(again.number)).collect()),
        Column::ids(again.iter().map(|again| again.body_of.as_bytes())),
    ];
    tx.execute(&QUEUE_AGAIN, &columns, &[]).await
}

fn endpoint_id(row: &crate::store::Row) -> Result<EndpointId, StoreError> {
    row.id(0).map(EndpointId::from_bytes)
}
