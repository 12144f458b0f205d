//! Webhook endpoints: where an account's events go, as operators make, change and see them.
//!
//! Secrets never come here, only sealed signing keys. An endpoint is never deleted from its table: what was sent to it keeps
//! its owner. Active is one that has `active_since`; settling reads that without a lock, so that an operator never waits for
//! money or money for an operator, and whatever was queued for an endpoint that is no longer active is discarded at its claim.

mod automatic;
mod recipient;
mod rotation;

pub use automatic::{GivenUp, record_form};
pub(super) use automatic::{give_up, mark_failing, mark_working};
pub(super) use recipient::reach;
pub use recipient::{Reach, Recipient};
pub use rotation::{finish_rotation, rotate};

use crate::domain::endpoint_url::EndpointUrl;
use crate::domain::ids::{AccountId, EndpointId};
use crate::domain::time::Timestamp;
use crate::domain::webhook::{ENDPOINTS_MAX, EventFilter, KeyForm, RetrySchedule};
use crate::records::accounts::{self, Standing};
use crate::records::audit::{self, Actor};
use crate::store::{Column, Row, Scalar, Statement, StoreError, Tx, Type};

/// One endpoint, its keys still sealed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    pub id: EndpointId,
    pub account: AccountId,
    pub url: EndpointUrl,
    pub events: EventFilter,
    pub key_form: KeyForm,
    pub schedule: RetrySchedule,
    pub key_sealed: Vec<u8>,
    /// The key before the last rotation and when it ends; `None` once it has ended.
    pub old_key: Option<(Vec<u8>, Timestamp)>,
    pub created_at: Timestamp,
    /// Events that end from here on are told; `None` while it is disabled.
    pub active_since: Option<Timestamp>,
    pub disabled_why: Option<String>,
    /// Since when every attempt has failed, as far as that is kept.
    pub failing_since: Option<Timestamp>,
}

/// A fresh endpoint as it is stored. The caller makes the id, because the key is sealed for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewEndpoint {
    pub id: EndpointId,
    pub account: AccountId,
    pub url: EndpointUrl,
    pub events: EventFilter,
    pub key_form: KeyForm,
    pub schedule: RetrySchedule,
    pub key_sealed: Vec<u8>,
}

/// What became of making an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Registered {
    Done(EndpointId),
    NoAccount,
    AccountClosed,
    /// The account has [`ENDPOINTS_MAX`] active endpoints.
    TooMany,
}

/// What became of enabling an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Enabled {
    Done,
    Already,
    NoEndpoint,
    AccountClosed,
    /// The account has [`ENDPOINTS_MAX`] active endpoints.
    TooMany,
}

/// What became of another change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Changed {
    Done,
    /// It was so before.
    Already,
    NoEndpoint,
}

static COUNT: Statement = Statement::new(
    "webhook_endpoints.count",
    &[],
    &[Type::Id],
    "SELECT COUNT(*) FROM webhook_endpoints WHERE account = $1 AND active_since_us IS NOT NULL",
);

static INSERT: Statement = Statement::new(
    "webhook_endpoints.insert",
    &[],
    &[Type::Id, Type::Id, Type::Text, Type::I64, Type::Text, Type::Text, Type::Bytes, Type::I64],
    "INSERT INTO webhook_endpoints (id, account, url, events, key_form, retry_schedule, key_sealed, created_us, \
     active_since_us) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)",
);

static READ: Statement = Statement::new(
    "webhook_endpoints.read",
    &[Type::Id],
    &[],
    "WITH r(id) AS ({rows}) SELECT e.id, e.account, e.url, e.events, e.key_form, e.retry_schedule, e.key_sealed, \
     CASE WHEN e.old_key_until_us > {now_us} THEN e.old_key_sealed END, e.old_key_until_us, e.created_us, \
     e.active_since_us, e.disabled_why, e.failing_since_us, e.deleted_us \
     FROM r JOIN webhook_endpoints e ON e.id = r.id",
);

static LIST: Statement = Statement::new(
    "webhook_endpoints.list",
    &[],
    &[Type::Id],
    "SELECT e.id, e.account, e.url, e.events, e.key_form, e.retry_schedule, e.key_sealed, \
     CASE WHEN e.old_key_until_us > {now_us} THEN e.old_key_sealed END, e.old_key_until_us, e.created_us, \
     e.active_since_us, e.disabled_why, e.failing_since_us, e.deleted_us \
     FROM webhook_endpoints e WHERE e.account = $1 AND e.deleted_us IS NULL ORDER BY e.id",
);

static ENABLE: Statement = Statement::new(
    "webhook_endpoints.enable",
    &[],
    &[Type::Id, Type::I64],
    "UPDATE webhook_endpoints SET active_since_us = $2, disabled_why = NULL, failing_since_us = NULL \
     WHERE id = $1 AND deleted_us IS NULL AND active_since_us IS NULL RETURNING account",
);

static DISABLE: Statement = Statement::new(
    "webhook_endpoints.disable",
    &[],
    &[Type::Id],
    "UPDATE webhook_endpoints SET active_since_us = NULL, disabled_why = 'operator' \
     WHERE id = $1 AND deleted_us IS NULL AND active_since_us IS NOT NULL RETURNING account",
);

static DELETE: Statement = Statement::new(
    "webhook_endpoints.delete",
    &[],
    &[Type::Id, Type::I64],
    "UPDATE webhook_endpoints SET active_since_us = NULL, deleted_us = $2 \
     WHERE id = $1 AND deleted_us IS NULL RETURNING account",
);

/// Stores a fresh endpoint, active from now on, unless its account is closed or has too many.
///
/// # Errors
/// [`StoreError`].
pub async fn create(tx: &Tx, actor: &Actor, new: &NewEndpoint) -> Result<Registered, StoreError> {
    match accounts::lock(tx, new.account).await? {
        Standing::Open => {}
        Standing::Closed => return Ok(Registered::AccountClosed),
        Standing::Unknown => return Ok(Registered::NoAccount),
    }
    if !has_room(tx, new.account).await? {
        return Ok(Registered::TooMany);
    }
    let at = audit::now(tx).await?;
    let (url, schedule) = (new.url.to_string(), new.schedule.to_string());
    let scalars = [
        Scalar::Id(*new.id.as_bytes()),
        Scalar::Id(*new.account.as_bytes()),
        Scalar::Text(&url),
        Scalar::I64(new.events.number()),
        Scalar::Text(new.key_form.as_str()),
        Scalar::Text(&schedule),
        Scalar::Bytes(&new.key_sealed),
        Scalar::I64(at.micros()),
    ];
    tx.execute(&INSERT, &[], &scalars).await?;
    note(tx, actor, at, "webhook.create", new.account, new.id).await?;
    Ok(Registered::Done(new.id))
}

/// The endpoints of an account that are not deleted, oldest first.
///
/// # Errors
/// [`StoreError`].
pub async fn list(tx: &Tx, account: AccountId) -> Result<Vec<Endpoint>, StoreError> {
    let rows = tx.query(&LIST, &[], &[Scalar::Id(*account.as_bytes())]).await?;
    rows.iter().map(endpoint).collect()
}

/// One endpoint; `None` if there is no such, or it is deleted.
///
/// # Errors
/// [`StoreError`].
pub async fn find(tx: &Tx, id: EndpointId) -> Result<Option<Endpoint>, StoreError> {
    let rows = tx.query(&READ, &[Column::ids([id.as_bytes()])], &[]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let deleted = row.opt_i64(13)?.is_some();
    Ok(if deleted { None } else { Some(endpoint(row)?) })
}

/// Makes the endpoint active from now on; what ended before is not told.
///
/// # Errors
/// [`StoreError`].
pub async fn enable(tx: &Tx, actor: &Actor, id: EndpointId) -> Result<Enabled, StoreError> {
    let Some(known) = find(tx, id).await? else { return Ok(Enabled::NoEndpoint) };
    match accounts::lock(tx, known.account).await? {
        Standing::Open => {}
        Standing::Closed => return Ok(Enabled::AccountClosed),
        Standing::Unknown => return Ok(Enabled::NoEndpoint),
    }
    if known.active_since.is_none() && !has_room(tx, known.account).await? {
        return Ok(Enabled::TooMany);
    }
    let at = audit::now(tx).await?;
    let rows = tx.query(&ENABLE, &[], &[Scalar::Id(*id.as_bytes()), Scalar::I64(at.micros())]).await?;
    Ok(match changed(tx, actor, at, "webhook.enable", id, &rows).await? {
        Changed::Done => Enabled::Done,
        Changed::Already => Enabled::Already,
        Changed::NoEndpoint => Enabled::NoEndpoint,
    })
}

/// Takes the endpoint out of use; what waits for it is discarded.
///
/// # Errors
/// [`StoreError`].
pub async fn disable(tx: &Tx, actor: &Actor, id: EndpointId) -> Result<Changed, StoreError> {
    let at = audit::now(tx).await?;
    let rows = tx.query(&DISABLE, &[], &[Scalar::Id(*id.as_bytes())]).await?;
    changed(tx, actor, at, "webhook.disable", id, &rows).await
}

/// Takes the endpoint out of use for good; what was sent to it stays listed.
///
/// # Errors
/// [`StoreError`].
pub async fn delete(tx: &Tx, actor: &Actor, id: EndpointId) -> Result<Changed, StoreError> {
    let at = audit::now(tx).await?;
    let rows = tx.query(&DELETE, &[], &[Scalar::Id(*id.as_bytes()), Scalar::I64(at.micros())]).await?;
    changed(tx, actor, at, "webhook.delete", id, &rows).await
}

/// Whether one more endpoint of a locked account may be active.
async fn has_room(tx: &Tx, account: AccountId) -> Result<bool, StoreError> {
    let rows = tx.query(&COUNT, &[], &[Scalar::Id(*account.as_bytes())]).await?;
    let active = rows.first().map(|row| row.i64(0)).transpose()?;
    Ok(active.and_then(|active| usize::try_from(active).ok()).is_some_and(|active| active < ENDPOINTS_MAX))
}

/// What a change did, by the row that it returned.
async fn changed(
    tx: &Tx,
    actor: &Actor,
    at: Timestamp,
    action: &'static str,
    id: EndpointId,
    rows: &[Row],
) -> Result<Changed, StoreError> {
    let Some(row) = rows.first() else {
        return Ok(if find(tx, id).await?.is_some() { Changed::Already } else { Changed::NoEndpoint });
    };
    note(tx, actor, at, action, AccountId::from_bytes(row.id(0)?), id).await?;
    Ok(Changed::Done)
}

/// The audit's row. It does not repeat the URL, whose path may be as good as a password.
async fn note(
    tx: &Tx,
    actor: &Actor,
    at: Timestamp,
    action: &'static str,
    account: AccountId,
    id: EndpointId,
) -> Result<(), StoreError> {
    audit::record(tx, actor, at, action, &account.to_string(), &format!("endpoint {id}")).await
}

fn endpoint(row: &Row) -> Result<Endpoint, StoreError> {
    let id = EndpointId::from_bytes(row.id(0)?);
    let malformed = |what: &str| StoreError::Internal(format!("the {what} of endpoint {id} cannot be read"));
    let old_until = row.opt_i64(8)?.map(Timestamp::from_micros);
    Ok(Endpoint {
        id,
        account: AccountId::from_bytes(row.id(1)?),
        url: EndpointUrl::parse(&row.text(2)?).map_err(|_| malformed("URL"))?,
        events: EventFilter::from_number(row.i64(3)?).ok_or_else(|| malformed("filter"))?,
        key_form: KeyForm::from_name(&row.text(4)?).ok_or_else(|| malformed("key form"))?,
        schedule: RetrySchedule::parse(&row.text(5)?).map_err(|_| malformed("schedule"))?,
        key_sealed: row.bytes(6)?,
        old_key: row.opt_bytes(7)?.zip(old_until),
        created_at: Timestamp::from_micros(row.i64(9)?),
        active_since: row.opt_i64(10)?.map(Timestamp::from_micros),
        disabled_why: row.opt_text(11)?,
        failing_since: row.opt_i64(12)?.map(Timestamp::from_micros),
    })
}
