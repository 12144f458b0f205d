//! Invariant 5 and what else rows show of webhooks: every event queued, attempted once, and told only to its owner.

use std::time::Duration;

use super::{Check, Look};
use crate::domain::time::duration_micros;
use crate::domain::webhook::UNKNOWN_AFTER;
use crate::store::{Scalar, Statement, StoreError, Tx, Type};

/// How long after an endpoint became active a settle transaction may not have seen it.
const SLACK: Duration = Duration::from_secs(10);

// Outcomes: 1 accepted, 2 failed, 3 discarded. Causes: 0 the event, 1 a retry. Events: 1 delivered, 2 failed.

static FIGURES: Statement = Statement::new(
    "verify.notice_figures",
    &[],
    &[Type::I64],
    "SELECT (SELECT COUNT(*) FROM webhook_endpoints WHERE active_since_us IS NOT NULL), \
     (SELECT COUNT(*) FROM webhook_outbox), COUNT(*), \
     CAST(COALESCE(SUM(CASE WHEN x.outcome = 1 THEN 1 ELSE 0 END), 0) AS BIGINT), \
     CAST(COALESCE(SUM(CASE WHEN x.outcome = 2 THEN 1 ELSE 0 END), 0) AS BIGINT), \
     CAST(COALESCE(SUM(CASE WHEN x.outcome = 3 THEN 1 ELSE 0 END), 0) AS BIGINT), \
     CAST(COALESCE(SUM(CASE WHEN x.attempt IS NULL AND a.started_us <= {now_us} - $1 THEN 1 ELSE 0 END), 0) AS BIGINT) \
     FROM webhook_attempts a LEFT JOIN webhook_results x ON x.attempt = a.id",
);

static ATTEMPTED_TWICE: Statement = Statement::new(
    "verify.attempted_twice",
    &[],
    &[],
    "SELECT delivery, COUNT(*) OVER () FROM webhook_attempts WHERE cause = 0 \
     GROUP BY delivery, endpoint HAVING COUNT(*) > 1 ORDER BY delivery LIMIT 5",
);

static WAITS_TWICE: Statement = Statement::new(
    "verify.waits_twice",
    &[],
    &[],
    "SELECT o.delivery, COUNT(*) OVER () FROM webhook_outbox o WHERE o.cause = 0 GROUP BY o.delivery, o.endpoint \
     HAVING COUNT(*) > 1 OR EXISTS (SELECT 1 FROM webhook_attempts a \
     WHERE a.delivery = o.delivery AND a.endpoint = o.endpoint AND a.cause = 0) ORDER BY o.delivery LIMIT 5",
);

// What waits is made a table of its own, so that no engine walks an endpoint's rows once per delivery.
static NOT_TOLD: Statement = Statement::new(
    "verify.not_told",
    &[],
    &[Type::I64, Type::I64],
    "SELECT d.id, COUNT(*) OVER () FROM webhook_endpoints e JOIN deliveries d ON d.account = e.account \
     LEFT JOIN (SELECT DISTINCT endpoint, delivery FROM webhook_outbox WHERE cause = 0) o \
     ON o.endpoint = e.id AND o.delivery = d.id \
     LEFT JOIN webhook_attempts a ON a.delivery = d.id AND a.endpoint = e.id AND a.cause = 0 \
     WHERE e.active_since_us IS NOT NULL AND d.status <> 0 AND d.completed_us >= e.active_since_us + $1 \
     AND d.completed_us > {now_us} - $2 AND (e.events & CASE WHEN d.status = 1 THEN 1 ELSE 2 END) <> 0 \
     AND o.delivery IS NULL AND a.id IS NULL ORDER BY d.id LIMIT 5",
);

static RETRIED: Statement = Statement::new(
    "verify.retried",
    &[],
    &[],
    "SELECT a.id, COUNT(*) OVER () FROM webhook_endpoints e JOIN webhook_attempts a ON a.endpoint = e.id \
     WHERE e.retry_schedule = '' AND a.cause = 1 ORDER BY a.id LIMIT 5",
);

static STRANGERS: Statement = Statement::new(
    "verify.told_strangers",
    &[],
    &[],
    "SELECT a.id, COUNT(*) OVER () FROM webhook_attempts a LEFT JOIN webhook_endpoints e ON e.id = a.endpoint \
     LEFT JOIN deliveries d ON d.id = a.delivery \
     WHERE e.id IS NULL OR e.account <> a.account OR d.account <> a.account ORDER BY a.id LIMIT 5",
);

/// Figures and checks; attempts younger than `kept` are there.
pub(super) async fn look(
    tx: &Tx,
    kept: Duration,
    ended: i64,
) -> Result<(Vec<(&'static str, i64)>, Vec<Check>), StoreError> {
    let rows = tx.query(&FIGURES, &[], &[Scalar::I64(duration_micros(UNKNOWN_AFTER))]).await?;
    let row = rows.first().ok_or_else(|| StoreError::Internal("a count gave no row".into()))?;
    let (waiting, attempts) = (row.i64(1)?, row.i64(2)?);
    let names = [
        "webhook endpoints active",
        "webhook events waiting",
        "webhook attempts",
        "webhook attempts accepted",
        "webhook attempts failed",
        "webhook attempts discarded",
        "webhook attempts unknown",
    ];
    let figures = names.into_iter().enumerate().map(|(at, name)| Ok((name, row.i64(at)?)));
    let figures = figures.collect::<Result<_, StoreError>>()?;

    let simple = |invariant, name, looked_at| Look { invariant, name, looked_at };
    let since = [Scalar::I64(duration_micros(SLACK)), Scalar::I64(duration_micros(kept))];
    let checks = vec![
        simple(5, "every event that an active endpoint wants waits or was attempted", ended)
            .with(tx, &NOT_TOLD, &since)
            .await?,
        simple(5, "an event is attempted once, replays and retries apart", attempts).at(tx, &ATTEMPTED_TWICE).await?,
        simple(5, "what waits was not attempted, and waits once", waiting).at(tx, &WAITS_TWICE).await?,
        simple(5, "nothing is retried without a schedule", attempts).at(tx, &RETRIED).await?,
        simple(7, "events went to endpoints of their own account", attempts).at(tx, &STRANGERS).await?,
    ];
    Ok((figures, checks))
}
