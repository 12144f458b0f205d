//! A read-only transaction, which waits for its answers only, and how long the server's answer took.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use deadpool_postgres::Pool;
use futures_util::future::{BoxFuture, join};

use super::{PgTx, lease};
use crate::clock::DatabaseClock;
use crate::store::error::StoreError;
use crate::store::tx::{Inner, Tx};

/// One snapshot for all statements of a read.
pub(super) const READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
/// The same without the limits and the plan settings that are made for batches.
pub(super) const READ_LONG: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
    SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL enable_hashjoin = on; \
    SET LOCAL enable_mergejoin = on; SET LOCAL enable_seqscan = on";

/// How long the last BEGIN of a read waited for its answer, in microseconds; zero before the first.
#[derive(Clone, Debug, Default)]
pub(super) struct RoundTrip(Arc<AtomicU64>);

impl RoundTrip {
    fn observe(&self, took: Duration) {
        self.0.store(u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
    }

    pub(super) fn last(&self) -> Option<Duration> {
        Some(self.0.load(Ordering::Relaxed)).filter(|us| *us > 0).map(Duration::from_micros)
    }
}

/// A read waits for the answers of its statements only: its BEGIN goes out with the first one, and its ROLLBACK is not waited
/// for. With a server far away that is a third of the time.
pub(super) async fn read<T, F>(
    pool: &Pool,
    clock: DatabaseClock,
    begin: &str,
    round_trip: &RoundTrip,
    work: F,
) -> Result<T, StoreError>
where
    F: for<'t> FnOnce(&'t Tx) -> BoxFuture<'t, Result<T, StoreError>>,
{
    let tx = Tx(Inner::Postgres(PgTx::new(lease(pool).await?, clock)));
    let begin = async {
        let since = Instant::now();
        tx.postgres().run(begin).await?;
        round_trip.observe(since.elapsed());
        Ok(())
    };
    // Polled in this order, so they go out in this order.
    let (begun, outcome) = join(begin, work(&tx)).await;
    begun?;
    tx.into_connection().roll_back();
    outcome
}
