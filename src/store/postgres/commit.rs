//! A transaction from BEGIN to its end; its last writes and its COMMIT go out in one round trip.
//!
//! A batch waits for a CPU at each answer of the server, so an answer saved is a third of the wait. The statements are
//! prepared first: one that had still to be prepared would fall behind the COMMIT, out of the transaction. A write that
//! fails makes the server roll back at the COMMIT behind it.

use std::pin::pin;
use std::sync::{Mutex, PoisonError};

use deadpool_postgres::Pool;
use futures_util::future::{BoxFuture, join, join_all, try_join_all, try_join3};
use tokio::time::timeout;
use tracing::error;

use super::failure::{refused, slow, translate};
use super::parameters::{parameters, scalar_ids};
use super::{Connection, PATIENCE, PgTx, lease};
use crate::clock::DatabaseClock;
use crate::domain::ids::BatchId;
use crate::store::error::{CommitError, StoreError};
use crate::store::tx::{Inner, Tx, Write};

/// What became of a transaction whose COMMIT was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ending {
    Committed,
    RolledBack,
    /// The connection was lost, or the server was too slow, between COMMIT and its answer; or rows were not as they had to be.
    Unknown,
}

/// `None` until COMMIT is sent. Never contended: a transaction has one owner.
#[derive(Debug, Default)]
pub(super) struct Ended(Mutex<Option<Ending>>);

impl Ended {
    fn get(&self) -> Option<Ending> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, ending: Ending) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(ending);
    }
}

/// One try of a transaction on `kept` (or a new connection), which is left in `kept` if it is still good.
pub(super) async fn commit<T, F>(
    pool: &Pool,
    clock: DatabaseClock,
    kept: &mut Option<Connection>,
    batch: Option<BatchId>,
    work: &F,
) -> Result<T, CommitError<T>>
where
    F: for<'t> Fn(&'t Tx) -> BoxFuture<'t, Result<T, StoreError>>,
{
    let lease = match kept.take() {
        Some(Connection(lease)) if !lease.object().is_closed() => lease,
        _ => lease(pool).await?,
    };
    let tx = Tx(Inner::Postgres(PgTx::new(lease, clock)));
    let worked = run(&tx, batch, work).await;
    let (is_good, outcome) = match (worked, tx.postgres().ended.get()) {
        (Ok(outcome), Some(Ending::Committed)) => (true, Ok(outcome)),
        (Ok(outcome), _) => (false, Err(CommitError::Unknown { outcome })),
        (Err(error), Some(Ending::RolledBack)) => (true, Err(CommitError::NotCommitted(error))),
        (Err(error), _) => {
            // A connection that cannot even roll back is dropped with its transaction.
            let rolled_back = timeout(PATIENCE, tx.postgres().run("ROLLBACK")).await;
            (matches!(rolled_back, Ok(Ok(()))), Err(CommitError::NotCommitted(error)))
        }
    };
    if is_good {
        *kept = Some(Connection(tx.into_connection()));
    }
    outcome
}

/// Begins, works and, if the work has not done so itself, commits.
async fn run<T, F>(tx: &Tx, batch: Option<BatchId>, work: &F) -> Result<T, StoreError>
where
    F: for<'t> Fn(&'t Tx) -> BoxFuture<'t, Result<T, StoreError>>,
{
    let postgres = tx.postgres();
    // Polled in this order, so they go out in one round trip and in the order of the locks.
    let mut body = pin!(try_join3(postgres.run("BEGIN"), postgres.claim(batch), work(tx)));
    let ((), (), outcome) = match timeout(PATIENCE, &mut body).await {
        Ok(worked) => worked?,
        // Its COMMIT is under way, with a patience of its own.
        Err(_) if postgres.ended.get().is_some() => body.await?,
        Err(_) => return Err(slow()),
    };
    if postgres.ended.get().is_none() {
        postgres.finish(&[]).await?;
    }
    Ok(outcome)
}

impl PgTx {
    /// Runs `writes`, all sent at once with the COMMIT. `Ok` means that the server refused none of it: whether it is
    /// committed is in [`PgTx::ended`].
    pub(in crate::store) async fn finish(&self, writes: &[Write<'_>]) -> Result<(), StoreError> {
        // All in one round trip: on a new connection none of them is prepared yet, and wallets are locked meanwhile.
        let prepared = try_join_all(writes.iter().map(|write| self.prepare(write.statement))).await?;
        let object = self.object();
        let written = join_all(prepared.iter().zip(writes).map(|(statement, write)| async move {
            let (ids, bound_us) = (scalar_ids(&write.scalars), self.bound_us(write.statement));
            object.execute(statement, &parameters(&write.columns, &write.scalars, &ids, bound_us.as_ref())).await
        }));
        // Before it is sent: who gives this up half-way must not believe that nothing is committed.
        self.ended.set(Ending::Unknown);
        // Polled in this order, so they go out in this order.
        let all = join(written, object.batch_execute("COMMIT"));
        let Ok((written, committed)) = timeout(PATIENCE, all).await else {
            return Ok(());
        };
        let failures = written.iter().filter_map(|outcome| outcome.as_ref().err());
        if let Some(refusal) = failures.chain(committed.as_ref().err()).find(|error| refused(error)) {
            self.ended.set(Ending::RolledBack);
            return Err(translate(refusal));
        }
        if committed.is_ok() && written.iter().all(Result::is_ok) {
            let wrong =
                writes.iter().zip(&written).find(|(write, rows)| !write.is_kept_by(rows.as_ref().ok().copied()));
            match wrong {
                None => self.ended.set(Ending::Committed),
                Some((write, rows)) => {
                    error!(statement = ?write.statement, ?rows, "a commit wrote other rows than it had to");
                }
            }
        }
        Ok(())
    }
}
