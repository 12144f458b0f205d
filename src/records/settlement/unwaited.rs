//! Which ends would have to wait for a row that another session holds.

use std::collections::{BTreeMap, HashSet};

use futures_util::future::join;

use super::Settlement;
use crate::domain::delivery::End;
use crate::domain::ids::DeliveryId;
use crate::store::{Column, Row, Statement, StoreError, Tx, Type};

static READ_SENT: Statement = Statement::new(
    "deliveries.read_sent",
    &[Type::Id],
    &[],
    "WITH r(id) AS ({rows}) SELECT d.id FROM r JOIN deliveries d ON d.id = r.id WHERE d.status = 0",
);

/// Waits for no lock, so that it needs no place in the order of the locks.
static LOCK_FREE: Statement = Statement::new(
    "deliveries.lock_free_for_refund",
    &[Type::Id],
    &[],
    "WITH r(id) AS ({rows}) SELECT d.id FROM r JOIN deliveries d ON d.id = r.id JOIN wallets w ON w.account = d.account \
     ORDER BY d.id {for_update:d, w} {skip_locked}",
);

/// The failing deliveries that are still `sent` and whose rows or wallets another session holds. Those of the others are
/// locked for this transaction.
pub(super) async fn held(
    tx: &Tx,
    settlements: &BTreeMap<DeliveryId, &Settlement>,
) -> Result<HashSet<DeliveryId>, StoreError> {
    let failing: Vec<DeliveryId> =
        settlements.values().filter(|s| matches!(s.end, End::Failed { .. })).map(|s| s.delivery).collect();
    if failing.is_empty() {
        return Ok(HashSet::new());
    }
    let ids = || [Column::ids(failing.iter().map(DeliveryId::as_bytes))];
    let (to_read, to_lock) = (ids(), ids());
    let (sent, free) = join(tx.query(&READ_SENT, &to_read, &[]), tx.query(&LOCK_FREE, &to_lock, &[])).await;
    let mut held = deliveries(&sent?)?;
    for delivery in deliveries(&free?)? {
        held.remove(&delivery);
    }
    Ok(held)
}

fn deliveries(rows: &[Row]) -> Result<HashSet<DeliveryId>, StoreError> {
    rows.iter().map(|row| row.id(0).map(DeliveryId::from_bytes)).collect()
}
