//! Invariant 2, as far as rows show it: how far the claims of one phone are apart.

use std::time::Duration;

use super::{Check, FIRST, LAST};
use crate::domain::ids::DeliveryId;
use crate::domain::time::duration_micros;
use crate::records::acceptance::WINDOW;
use crate::store::{Scalar, Statement, StoreError, Tx, Type};

/// Rows that one look at the distance between claims sorts at most, besides those of the time before it.
const SLICE_ROWS: i64 = 1_000_000;
/// How much earlier than a claim's id that of the one before it may be: the window, and the 10 s that either id may be off.
const LOOK_BACK: Duration = Duration::from_secs(50);
/// Examples that a check gives.
const EXAMPLES_MAX: usize = 5;

static SLICE_END: Statement = Statement::new(
    "verify.slice_end",
    &[],
    &[Type::Id, Type::I64],
    "SELECT id FROM deliveries WHERE id > $1 ORDER BY id LIMIT 1 OFFSET $2",
);

// The one before may have given its window back if it failed without having left, or without its charge known in time, or
// because the carrier named a remainder of its own: rows tell that by the code, not whether an earlier channel had left.
static CLAIMS: Statement = Statement::new(
    "verify.claims",
    &[],
    &[Type::Id, Type::Id, Type::Id, Type::I64],
    "SELECT id, created_us - before_us, COUNT(*) OVER () FROM ( \
     SELECT id, created_us, LAG(created_us) OVER w AS before_us, LAG(status) OVER w AS before_status, \
     LAG(error_code) OVER w AS before_code FROM deliveries WHERE id > $1 AND id <= $3 \
     WINDOW w AS (PARTITION BY phone_key ORDER BY created_us, id) \
     ) claims WHERE id > $2 AND created_us - before_us < $4 AND (before_status <> 2 \
     OR before_code NOT IN ('no_route', 'unavailable', 'rate_limited')) \
     ORDER BY id LIMIT 5",
);

/// Walks the deliveries by age in slices, so that no sort holds more than one of them.
pub(super) async fn are_apart(tx: &Tx, looked_at: i64) -> Result<Check, StoreError> {
    let mut check = Check {
        invariant: 2,
        name: "claims of one phone are 30 s apart, unless the first one gave its window back",
        looked_at,
        breaches: 0,
        examples: Vec::new(),
    };
    let mut after = DeliveryId::from_bytes(FIRST);
    loop {
        let next = tx.query(&SLICE_END, &[], &[Scalar::Id(*after.as_bytes()), Scalar::I64(SLICE_ROWS)]).await?;
        let until = next.first().map(|row| row.id(0)).transpose()?.map(DeliveryId::from_bytes);
        let look_from = DeliveryId::floor(after.timestamp().minus(LOOK_BACK));
        let scalars = [
            Scalar::Id(*look_from.as_bytes()),
            Scalar::Id(*after.as_bytes()),
            Scalar::Id(until.map_or(LAST, |until| *until.as_bytes())),
            Scalar::I64(duration_micros(WINDOW)),
        ];
        for (at, row) in tx.query(&CLAIMS, &[], &scalars).await?.iter().enumerate() {
            if at == 0 {
                check.breaches = check.breaches.saturating_add(row.i64(2)?);
            }
            if check.examples.len() < EXAMPLES_MAX {
                let (id, apart_us) = (DeliveryId::from_bytes(row.id(0)?), row.i64(1)?);
                check.examples.push(format!("{id} came {apart_us} µs after the one before"));
            }
        }
        match until {
            Some(until) => after = until,
            None => return Ok(check),
        }
    }
}
