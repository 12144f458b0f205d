//! The windows of deliveries that end: locked first, freed last.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Locks, Settlement};
use crate::domain::delivery::{HOLD_MAX, WindowAfter};
use crate::domain::ids::DeliveryId;
use crate::domain::time::duration_micros;
use crate::records::acceptance::WINDOW;
use crate::store::{Column, Scalar, Statement, StoreError, Tx, Type};

static LOCK_WINDOWS: Statement = Statement::new(
    "windows.lock_for_settle",
    &[Type::Id],
    &[],
    "WITH r(id) AS ({rows}) SELECT w.phone_key, w.delivery \
     FROM r JOIN deliveries d ON d.id = r.id \
     JOIN cooldown_windows w ON w.phone_key = d.phone_key AND w.delivery = d.id \
     ORDER BY w.phone_key {for_update:w}",
);

/// The same without those that another session holds.
static LOCK_FREE_WINDOWS: Statement = Statement::new(
    "windows.lock_free_for_settle",
    &[Type::Id],
    &[],
    "WITH r(id) AS ({rows}) SELECT w.phone_key, w.delivery \
     FROM r JOIN deliveries d ON d.id = r.id \
     JOIN cooldown_windows w ON w.phone_key = d.phone_key AND w.delivery = d.id \
     ORDER BY w.phone_key {for_update:w} {skip_locked}",
);

static FREE_WINDOWS: Statement = Statement::new(
    "windows.free",
    &[Type::I64, Type::Id, Type::I64, Type::I64],
    &[Type::I64],
    "WITH r(phone_key, delivery, hold_us, kept) AS ({rows}) \
     UPDATE cooldown_windows SET until_us = CASE WHEN r.kept = 1 AND cooldown_windows.until_us > {now_us} + r.hold_us THEN cooldown_windows.until_us \
     ELSE {now_us} + r.hold_us END, \
     held_us = CASE WHEN r.kept = 1 AND r.hold_us < $5 THEN $5 ELSE r.hold_us END, held_for = r.delivery \
     FROM r WHERE cooldown_windows.phone_key = r.phone_key AND cooldown_windows.delivery = r.delivery",
);

/// Locks the windows that may be freed and are owned by their delivery.
pub(super) async fn lock(
    tx: &Tx,
    settlements: &BTreeMap<DeliveryId, &Settlement>,
    locks: Locks,
) -> Result<Vec<(i64, DeliveryId)>, StoreError> {
    let freeing = settlements.values().filter(|settlement| settlement.window != WindowAfter::Keep);
    let ids = Column::ids(freeing.map(|settlement| settlement.delivery.as_bytes()));
    let statement = match locks {
        Locks::Wait => &LOCK_WINDOWS,
        Locks::Skip => &LOCK_FREE_WINDOWS,
    };
    let rows = tx.query(statement, &[ids], &[]).await?;
    rows.iter().map(|row| Ok((row.i64(0)?, DeliveryId::from_bytes(row.id(1)?)))).collect()
}

/// Frees the locked windows of deliveries that this transaction ended.
pub(super) async fn free(
    tx: &Tx,
    windows: &[(i64, DeliveryId)],
    settlements: &BTreeMap<DeliveryId, &Settlement>,
) -> Result<(), StoreError> {
    let remainder = |remainder: Duration| duration_micros(remainder.min(HOLD_MAX));
    // How long the phone is held from now, and whether its window may not become shorter.
    let hold = |delivery: &DeliveryId| match settlements.get(delivery)?.window {
        WindowAfter::Keep => None,
        WindowAfter::Release => Some((0, 0)),
        WindowAfter::Hold(left) => Some((remainder(left), 0)),
        WindowAfter::Extend(left) => Some((remainder(left), 1)),
    };
    let freed: Vec<(i64, DeliveryId, (i64, i64))> = windows
        .iter()
        .filter_map(|(phone_key, delivery)| hold(delivery).map(|hold| (*phone_key, *delivery, hold)))
        .collect();
    let columns = [
        Column::I64(freed.iter().map(|(phone_key, ..)| *phone_key).collect()),
        Column::ids(freed.iter().map(|(_, delivery, _)| delivery.as_bytes())),
        Column::I64(freed.iter().map(|(.., (hold_us, _))| *hold_us).collect()),
        Column::I64(freed.iter().map(|(.., (_, kept))| *kept).collect()),
    ];
    // A window that may not become shorter is still its claim's.
    tx.execute(&FREE_WINDOWS, &columns, &[Scalar::I64(duration_micros(WINDOW))]).await.map(drop)
}
