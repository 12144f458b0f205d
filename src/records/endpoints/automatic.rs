//! What the house itself writes of an endpoint, from what became of attempts: no operator acted, so the audit has no row.

use crate::domain::ids::EndpointId;
use crate::domain::webhook::KeyForm;
use crate::store::{Column, Scalar, Statement, StoreError, Tx, Type};

static RECORD_FORM: Statement = Statement::new(
    "webhook_endpoints.record_form",
    &[],
    &[Type::Id, Type::Text],
    "UPDATE webhook_endpoints SET key_form = $2 WHERE id = $1 AND deleted_us IS NULL AND key_form <> $2",
);

static MARK_FAILING: Statement = Statement::new(
    "webhook_endpoints.mark_failing",
    &[Type::Id],
    &[],
    "WITH r(id) AS ({rows}) UPDATE webhook_endpoints SET failing_since_us = {now_us} \
     WHERE id IN (SELECT id FROM r) AND active_since_us IS NOT NULL AND failing_since_us IS NULL",
);

static MARK_WORKING: Statement = Statement::new(
    "webhook_endpoints.mark_working",
    &[Type::Id],
    &[],
    "WITH r(id) AS ({rows}) UPDATE webhook_endpoints SET failing_since_us = NULL \
     WHERE id IN (SELECT id FROM r) AND failing_since_us IS NOT NULL",
);

static DISABLE: Statement = Statement::new(
    "webhook_endpoints.auto_disable",
    &[],
    &[Type::Id, Type::Text],
    "UPDATE webhook_endpoints SET active_since_us = NULL, disabled_why = $2 \
     WHERE id = $1 AND active_since_us IS NOT NULL",
);

/// Writes which reading of the key the receiver has accepted.
///
/// # Errors
/// [`StoreError`].
pub async fn record_form(tx: &Tx, id: EndpointId, form: KeyForm) -> Result<(), StoreError> {
    tx.execute(&RECORD_FORM, &[], &[Scalar::Id(*id.as_bytes()), Scalar::Text(form.as_str())]).await.map(drop)
}

/// Dates the beginning of a failure now, where none is dated. Ids in ascending order.
pub(in crate::records) async fn mark_failing(tx: &Tx, ids: &[EndpointId]) -> Result<(), StoreError> {
    tx.execute(&MARK_FAILING, &[Column::ids(ids.iter().map(EndpointId::as_bytes))], &[]).await.map(drop)
}

/// Ends a failure. Ids in ascending order.
pub(in crate::records) async fn mark_working(tx: &Tx, ids: &[EndpointId]) -> Result<(), StoreError> {
    tx.execute(&MARK_WORKING, &[Column::ids(ids.iter().map(EndpointId::as_bytes))], &[]).await.map(drop)
}

/// Takes an active endpoint out of use; says whether it was active.
pub(in crate::records) async fn auto_disable(tx: &Tx, id: EndpointId, why: &str) -> Result<bool, StoreError> {
    Ok(tx.execute(&DISABLE, &[], &[Scalar::Id(*id.as_bytes()), Scalar::Text(why)]).await? == 1)
}
