//! Upstreams that take no work until an operator resumes them: one row each, polled by every daemon.

use crate::domain::reference::UpstreamId;
use crate::domain::time::Timestamp;
use crate::records::audit::{self, Actor};
use crate::store::{Scalar, Statement, StoreError, Tx, Type};

/// One upstream that is paused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pause {
    pub upstream: UpstreamId,
    pub since: Timestamp,
}

static LIST: Statement =
    Statement::new("link_pauses.list", &[], &[], "SELECT upstream, paused_us FROM link_pauses ORDER BY upstream");

static PAUSE: Statement = Statement::new(
    "link_pauses.pause",
    &[],
    &[Type::Text, Type::I64],
    "INSERT INTO link_pauses (upstream, paused_us) VALUES ($1, $2) ON CONFLICT (upstream) DO NOTHING",
);

static RESUME: Statement =
    Statement::new("link_pauses.resume", &[], &[Type::Text], "DELETE FROM link_pauses WHERE upstream = $1");

/// Every pause, by upstream.
///
/// # Errors
/// [`StoreError`].
pub async fn list(tx: &Tx) -> Result<Vec<Pause>, StoreError> {
    let rows = tx.query(&LIST, &[], &[]).await?;
    rows.iter()
        .map(|row| {
            let upstream = UpstreamId::new(&row.text(0)?);
            let upstream = upstream.ok_or_else(|| StoreError::Internal("a paused upstream cannot be read".into()))?;
            Ok(Pause { upstream, since: Timestamp::from_micros(row.i64(1)?) })
        })
        .collect()
}

/// Pauses an upstream; says whether it was not paused before.
///
/// # Errors
/// [`StoreError`].
pub async fn pause(tx: &Tx, actor: &Actor, upstream: &UpstreamId) -> Result<bool, StoreError> {
    let now = audit::now(tx).await?;
    let scalars = [Scalar::Text(upstream.as_str()), Scalar::I64(now.micros())];
    if tx.execute(&PAUSE, &[], &scalars).await? == 0 {
        return Ok(false);
    }
    audit::record(tx, actor, now, "link.pause", upstream.as_str(), "").await?;
    Ok(true)
}

/// Resumes an upstream; says whether it was paused.
///
/// # Errors
/// [`StoreError`].
pub async fn resume(tx: &Tx, actor: &Actor, upstream: &UpstreamId) -> Result<bool, StoreError> {
    if tx.execute(&RESUME, &[], &[Scalar::Text(upstream.as_str())]).await? == 0 {
        return Ok(false);
    }
    let now = audit::now(tx).await?;
    audit::record(tx, actor, now, "link.resume", upstream.as_str(), "").await?;
    Ok(true)
}
