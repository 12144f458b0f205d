//! The phones' windows in the memory of the one process that serves the file.
//!
//! On disk every claim dirties a page of its own: most of what an accept wrote. But a claim is the delivery that it was made
//! for, so the file tells it anyway. A serving writer keeps the table in memory, under the same name and in the same
//! transactions, and the file's own table holds what no delivery tells: windows that were freed early or are held longer.
//! After a restart, however it came, the table is what it was.

use std::time::Duration;

use rusqlite::Connection;

use super::translate;
use crate::domain::ids::DeliveryId;
use crate::domain::time::{Timestamp, duration_micros};
use crate::store::error::StoreError;

/// The statements of the product find the writer's own table before the file's. What a claim that is not paid takes back
/// leaves no delivery, and nothing on disk.
const IN_MEMORY: &str = "\
    CREATE TEMP TABLE cooldown_windows ( \
        phone_key INTEGER PRIMARY KEY, until_us INTEGER NOT NULL, delivery BLOB NOT NULL, held_us INTEGER, held_for BLOB \
    ) STRICT; \
    INSERT INTO temp.cooldown_windows \
    SELECT phone_key, until_us, delivery, held_us, held_for FROM main.cooldown_windows; \
    CREATE TEMP TRIGGER windows_ended_otherwise AFTER UPDATE ON temp.cooldown_windows \
    WHEN new.delivery = old.delivery AND EXISTS (SELECT 1 FROM main.deliveries WHERE id = new.delivery) \
    BEGIN \
        INSERT INTO main.cooldown_windows (phone_key, until_us, delivery, held_us, held_for) \
        VALUES (new.phone_key, new.until_us, new.delivery, new.held_us, new.held_for) \
        ON CONFLICT (phone_key) DO UPDATE SET until_us = excluded.until_us, delivery = excluded.delivery, \
        held_us = excluded.held_us, held_for = excluded.held_for; \
    END; \
    CREATE TEMP TRIGGER windows_dropped AFTER DELETE ON temp.cooldown_windows \
    BEGIN \
        DELETE FROM main.cooldown_windows WHERE phone_key = old.phone_key; \
    END;";

/// The claims of the last window, in their order: of several deliveries to a phone the last one owns its window.
const CLAIMS: &str = "\
    INSERT INTO temp.cooldown_windows (phone_key, until_us, delivery, held_us, held_for) \
    SELECT d.phone_key, COALESCE(w.until_us, d.created_us + ?1), d.id, w.held_us, w.held_for FROM main.deliveries d \
    LEFT JOIN main.cooldown_windows w ON w.phone_key = d.phone_key AND w.delivery = d.id \
    WHERE d.id >= ?2 AND d.created_us > ?3 ORDER BY d.created_us \
    ON CONFLICT (phone_key) DO UPDATE SET until_us = excluded.until_us, delivery = excluded.delivery, \
    held_us = excluded.held_us, held_for = excluded.held_for";

/// Takes the windows that are open at `now` into memory; a claim holds its phone for `window`, and its id is at most `skew`
/// older than it is.
pub(super) fn remember(
    connection: &mut Connection,
    now: Timestamp,
    window: Duration,
    skew: Duration,
) -> Result<(), StoreError> {
    let began = now.minus(window);
    let oldest = DeliveryId::floor(began.minus(skew));
    let filling = connection.transaction().map_err(translate)?;
    filling.execute_batch(IN_MEMORY).map_err(translate)?;
    let values = (duration_micros(window), oldest.as_bytes(), began.micros());
    filling.execute(CLAIMS, values).map_err(translate)?;
    filling.commit().map_err(translate)
}
