//! Who changed what: one row per change by an operator, in the transaction of the change.
//!
//! A row names the actor, the action and the subject, and shows no secret. Rows are only added.

use crate::domain::time::Timestamp;
use crate::store::{Scalar, Statement, StoreError, Tx, Type};

/// Who acts: the operating system's user of a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Actor(pub String);

/// One row of the audit, as it is listed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditRow {
    pub at: Timestamp,
    pub actor: String,
    pub action: String,
    pub subject: String,
    pub detail: String,
}

static NOW: Statement = Statement::new("audit.now", &[], &[], "SELECT {now_us}");

static INSERT: Statement = Statement::new(
    "audit.insert",
    &[],
    &[Type::Id, Type::I64, Type::Text, Type::Text, Type::Text, Type::Text],
    "INSERT INTO audit (id, at_us, actor, action, subject, detail) VALUES ($1, $2, $3, $4, $5, $6)",
);

static LIST: Statement = Statement::new(
    "audit.list",
    &[],
    &[Type::Text, Type::I64],
    "SELECT at_us, actor, action, subject, detail FROM audit WHERE subject = $1 ORDER BY at_us DESC, id DESC LIMIT $2",
);

/// The database's clock: what a change is dated with and its ids are made from.
///
/// # Errors
/// [`StoreError`].
pub(super) async fn now(tx: &Tx) -> Result<Timestamp, StoreError> {
    let rows = tx.query(&NOW, &[], &[]).await?;
    let row = rows.first().ok_or_else(|| StoreError::Internal("the clock gave no row".into()))?;
    row.i64(0).map(Timestamp::from_micros)
}

/// Writes that `actor` did `action` (a verb and its object, e.g. `key.revoke`) to `subject` (an id).
///
/// # Errors
/// [`StoreError`].
pub(super) async fn record(
    tx: &Tx,
    actor: &Actor,
    at: Timestamp,
    action: &'static str,
    subject: &str,
    detail: &str,
) -> Result<(), StoreError> {
    let id = uuid::Builder::from_unix_timestamp_millis(u64::try_from(at.millis()).unwrap_or(0), &rand::random());
    let scalars = [
        Scalar::Id(id.into_uuid().into_bytes()),
        Scalar::I64(at.micros()),
        Scalar::Text(&actor.0),
        Scalar::Text(action),
        Scalar::Text(subject),
        Scalar::Text(detail),
    ];
    tx.execute(&INSERT, &[], &scalars).await.map(drop)
}

/// The latest changes to `subject`, newest first.
///
/// # Errors
/// [`StoreError`].
pub async fn list(tx: &Tx, subject: &str, limit: i64) -> Result<Vec<AuditRow>, StoreError> {
    let rows = tx.query(&LIST, &[], &[Scalar::Text(subject), Scalar::I64(limit)]).await?;
    rows.iter()
        .map(|row| {
            Ok(AuditRow {
                at: Timestamp::from_micros(row.i64(0)?),
                actor: row.text(1)?,
                action: row.text(2)?,
                subject: row.text(3)?,
                detail: row.text(4)?,
            })
        })
        .collect()
}
