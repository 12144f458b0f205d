//! What the house itself writes of an endpoint, from what became of attempts: no operator acted, so the audit has no row.

use std::time::Duration;

use crate::domain::ids::EndpointId;
use crate::domain::time::duration_micros;
use crate::domain::webhook::KeyForm;
use crate::store::{Column, Scalar, Statement, StoreError, Tx, Type};

/// An endpoint with a schedule that has accepted nothing for this long is given up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(5 * 24 * 60 * 60);

/// Why the house has disabled an endpoint by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GivenUp {
    /// It said so: 410.
    Gone,
    /// It has accepted nothing for five days.
    Failing,
}

impl GivenUp {
    /// What its owner reads, and a metric's label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Failing => "failing",
        }
    }
}

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

// Without a time, at once.
static GIVE_UP: Statement = Statement::new(
    "webhook_endpoints.give_up",
    &[Type::Id],
    &[Type::Text, Type::I64],
    "WITH r(id) AS ({rows}) UPDATE webhook_endpoints SET active_since_us = NULL, disabled_why = $2 \
     WHERE id IN (SELECT id FROM r) AND active_since_us IS NOT NULL \
     AND ($3 = 0 OR failing_since_us <= {now_us} - $3) RETURNING id",
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

/// Takes active endpoints out of use: for [`GivenUp::Failing`] only those that have failed for long enough, as their rows say
/// now and not as somebody read them before. Returns which. Ids in ascending order.
pub(in crate::records) async fn give_up(
    tx: &Tx,
    ids: &[EndpointId],
    why: GivenUp,
) -> Result<Vec<EndpointId>, StoreError> {
    let after_us = match why {
        GivenUp::Gone => 0,
        GivenUp::Failing => duration_micros(GIVE_UP_AFTER),
    };
    let scalars = [Scalar::Text(why.as_str()), Scalar::I64(after_us)];
    let rows = tx.query(&GIVE_UP, &[Column::ids(ids.iter().map(EndpointId::as_bytes))], &scalars).await?;
    rows.iter().map(|row| row.id(0).map(EndpointId::from_bytes)).collect()
}
