//! A new key for an endpoint, and the time that the old one stands beside it.

use std::time::Duration;

use super::{Changed, changed};
use crate::domain::ids::EndpointId;
use crate::domain::time::duration_micros;
use crate::records::audit::{self, Actor};
use crate::store::{Scalar, Statement, StoreError, Tx, Type};

// While an overlap lasts nobody has proved that the receiver knows the newest key: the one that it knows for certain stays.
static ROTATE: Statement = Statement::new(
    "webhook_endpoints.rotate",
    &[],
    &[Type::Id, Type::Bytes, Type::I64],
    "UPDATE webhook_endpoints SET old_key_sealed = \
     CASE WHEN old_key_until_us > {now_us} THEN old_key_sealed ELSE key_sealed END, \
     old_key_until_us = $3, key_sealed = $2 \
     WHERE id = $1 AND deleted_us IS NULL RETURNING account",
);

static FINISH_ROTATION: Statement = Statement::new(
    "webhook_endpoints.finish_rotation",
    &[],
    &[Type::Id],
    "UPDATE webhook_endpoints SET old_key_sealed = NULL, old_key_until_us = NULL \
     WHERE id = $1 AND deleted_us IS NULL AND old_key_until_us > {now_us} RETURNING account",
);

/// Gives the endpoint a new key; the one that it had stands beside it for `overlap`. A second rotation within an overlap
/// replaces the new key only.
///
/// # Errors
/// [`StoreError`].
pub async fn rotate(
    tx: &Tx,
    actor: &Actor,
    id: EndpointId,
    new_key_sealed: &[u8],
    overlap: Duration,
) -> Result<Changed, StoreError> {
    let at = audit::now(tx).await?;
    let until = at.micros().saturating_add(duration_micros(overlap));
    let scalars = [Scalar::Id(*id.as_bytes()), Scalar::Bytes(new_key_sealed), Scalar::I64(until)];
    let rows = tx.query(&ROTATE, &[], &scalars).await?;
    changed(tx, actor, at, "webhook.rotate", id, &rows).await
}

/// Ends the overlap of a rotation now.
///
/// # Errors
/// [`StoreError`].
pub async fn finish_rotation(tx: &Tx, actor: &Actor, id: EndpointId) -> Result<Changed, StoreError> {
    let at = audit::now(tx).await?;
    let rows = tx.query(&FINISH_ROTATION, &[], &[Scalar::Id(*id.as_bytes())]).await?;
    changed(tx, actor, at, "webhook.finish_rotation", id, &rows).await
}
