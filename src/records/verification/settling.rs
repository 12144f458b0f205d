//! What is still `sent`: nothing that the sweeper has passed for good, and of the rest what is overdue.

use super::{Check, Look};
use crate::domain::ids::DeliveryId;
use crate::domain::time::Timestamp;
use crate::store::{Scalar, Statement, StoreError, Tx, Type};

/// Overdue deliveries that are listed.
const LISTED_MAX: i64 = 20;

/// A delivery that is `sent` past its settle time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Overdue {
    pub delivery: DeliveryId,
    pub settle_at: Timestamp,
}

// Everything up to the watermark has ended: its money would never come back by the walk that goes on from there.
static LEFT: Statement = Statement::new(
    "verify.left_sent",
    &[],
    &[],
    "SELECT id, COUNT(*) OVER () FROM deliveries \
     WHERE id <= (SELECT watermark FROM sweeper WHERE one = 1) AND status = 0 ORDER BY id LIMIT 5",
);

static OVERDUE: Statement = Statement::new(
    "verify.overdue",
    &[],
    &[Type::I64],
    "SELECT id, settle_us FROM deliveries WHERE id > (SELECT watermark FROM sweeper WHERE one = 1) \
     AND status = 0 AND settle_us < {now_us} ORDER BY settle_us, id LIMIT $1",
);

pub(super) async fn nothing_is_left(tx: &Tx, looked_at: i64) -> Result<Check, StoreError> {
    Look { invariant: 3, name: "nothing at or below the sweeper's watermark is still sent", looked_at }
        .at(tx, &LEFT)
        .await
}

pub(super) async fn overdue(tx: &Tx) -> Result<Vec<Overdue>, StoreError> {
    let rows = tx.query(&OVERDUE, &[], &[Scalar::I64(LISTED_MAX)]).await?;
    rows.iter()
        .map(|row| {
            let delivery = DeliveryId::from_bytes(row.id(0)?);
            Ok(Overdue { delivery, settle_at: Timestamp::from_micros(row.i64(1)?) })
        })
        .collect()
}
