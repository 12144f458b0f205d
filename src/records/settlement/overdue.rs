//! Deliveries that nobody ended in time.

use crate::domain::ids::DeliveryId;
use crate::domain::time::Timestamp;
use crate::store::{Scalar, Statement, StoreError, Tx, Type};

static OVERDUE: Statement = Statement::new(
    "deliveries.overdue",
    &[],
    &[Type::Id, Type::Id, Type::I64, Type::I64],
    "SELECT id FROM deliveries WHERE id > $1 AND id <= $2 AND status = 0 AND settle_us <= $3 \
     ORDER BY id LIMIT $4 {for_update} {skip_locked}",
);

static FIRST_OVERDUE: Statement = Statement::new(
    "deliveries.first_overdue",
    &[],
    &[Type::Id, Type::Id, Type::I64],
    "SELECT id FROM deliveries WHERE id > $1 AND id <= $2 AND status = 0 AND settle_us <= $3 ORDER BY id LIMIT 1",
);

/// The deliveries in `(after, until]` that are still `sent` and whose settle time is not after `due`, at most `limit`, locked
/// for this transaction; those that another transaction holds are skipped. Fewer than `limit` means that the range is done.
/// `due` is not the statement's own clock: whoever ends what is old has judged the time first.
///
/// # Errors
/// [`StoreError`].
pub async fn overdue(
    tx: &Tx,
    after: DeliveryId,
    until: DeliveryId,
    due: Timestamp,
    limit: i64,
) -> Result<Vec<DeliveryId>, StoreError> {
    let [after, until] = [after, until].map(|id| Scalar::Id(*id.as_bytes()));
    let rows = tx.query(&OVERDUE, &[], &[after, until, Scalar::I64(due.micros()), Scalar::I64(limit)]).await?;
    rows.iter().map(|row| row.id(0).map(DeliveryId::from_bytes)).collect()
}

/// The first delivery in `(after, until]` that is still `sent` and whose settle time is not after `due`: a look that locks
/// nothing.
///
/// # Errors
/// [`StoreError`].
pub async fn first_overdue(
    tx: &Tx,
    after: DeliveryId,
    until: DeliveryId,
    due: Timestamp,
) -> Result<Option<DeliveryId>, StoreError> {
    let [after, until] = [after, until].map(|id| Scalar::Id(*id.as_bytes()));
    let rows = tx.query(&FIRST_OVERDUE, &[], &[after, until, Scalar::I64(due.micros())]).await?;
    rows.first().map(|row| row.id(0).map(DeliveryId::from_bytes)).transpose()
}
