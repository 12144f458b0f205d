//! A committing connection in the hands of one owner.
//!
//! One shard, one connection, one transaction at a time: two connections over the same wallets are slower and deadlock.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::error::{CommitError, StoreError};
use super::statement::{Statement, Type};
use super::tx::Tx;
use super::{Engine, TRIES_MAX, pause_before_retry, postgres};
use crate::domain::ids::BatchId;

pub(super) static BATCH_INSERT: Statement =
    Statement::new("batches.insert", &[], &[Type::Id], "INSERT INTO batches (id, at_us) VALUES ($1, {now_us})");

/// Commits transactions one after the other.
#[derive(Debug)]
pub struct Writer {
    engine: Arc<Engine>,
    connection: Option<postgres::Connection>,
}

impl Writer {
    pub(super) fn new(engine: Arc<Engine>) -> Self {
        Self { engine, connection: None }
    }

    /// Runs `work` and commits. With a `batch`, a row of that id is written first, by which `Store::resolve` finds out
    /// what became of a commit of unknown outcome. After a deadlock or a serialization failure `work` is run again; not after
    /// a lock that was not granted in time, since that would take as long once more.
    ///
    /// # Errors
    /// [`CommitError::NotCommitted`] if nothing was written; [`CommitError::Unknown`] if the connection was lost inside
    /// COMMIT.
    pub async fn commit<T, F>(&mut self, batch: Option<BatchId>, work: F) -> Result<T, CommitError<T>>
    where
        T: Send + 'static,
        F: for<'t> Fn(&'t Tx) -> BoxFuture<'t, Result<T, StoreError>> + Send + Sync + 'static,
    {
        self.commit_shared(batch, Arc::new(work)).await
    }

    /// The same, run again after a lock that was not granted in time, too.
    pub(super) async fn commit_patiently<T, F>(&mut self, work: F) -> Result<T, CommitError<T>>
    where
        T: Send + 'static,
        F: for<'t> Fn(&'t Tx) -> BoxFuture<'t, Result<T, StoreError>> + Send + Sync + 'static,
    {
        let work = Arc::new(work);
        let mut attempt = 1;
        loop {
            match self.commit_shared(None, Arc::clone(&work)).await {
                Err(CommitError::NotCommitted(StoreError::Locked(why))) if attempt == TRIES_MAX => {
                    return Err(CommitError::NotCommitted(StoreError::Unavailable(why)));
                }
                Err(CommitError::NotCommitted(StoreError::Locked(_))) => {
                    pause_before_retry(attempt).await;
                    attempt += 1;
                }
                other => return other,
            }
        }
    }

    async fn commit_shared<T, F>(&mut self, batch: Option<BatchId>, work: Arc<F>) -> Result<T, CommitError<T>>
    where
        T: Send + 'static,
        F: for<'t> Fn(&'t Tx) -> BoxFuture<'t, Result<T, StoreError>> + Send + Sync + 'static,
    {
        let mut attempt = 1;
        loop {
            let outcome = match &*self.engine {
                Engine::Sqlite(sqlite) => sqlite.commit(batch, Arc::clone(&work)).await,
                Engine::Postgres(postgres) => postgres.commit(&mut self.connection, batch, Arc::clone(&work)).await,
            };
            match outcome {
                Err(CommitError::NotCommitted(StoreError::Conflict(why))) => {
                    if attempt == TRIES_MAX {
                        return Err(CommitError::NotCommitted(StoreError::Unavailable(why)));
                    }
                    pause_before_retry(attempt).await;
                    attempt += 1;
                }
                other => return other,
            }
        }
    }
}
