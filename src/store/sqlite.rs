//! The embedded engine: one writer thread and some reader threads, each with its own connection.
//!
//! A transaction's future is shipped to a thread and polled there once: every statement is synchronous, so it never
//! waits. WAL and `synchronous=FULL`: a commit is on the disk when it returns. The threads end when the store is dropped.

mod files;
mod threads;
mod tx;
mod windows;

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rusqlite::{Connection, ErrorCode};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub(super) use self::files::check as check_files;
use self::files::private_file;
use self::threads::{Job, connect, on_thread, spawn};
pub(super) use self::tx::SqliteTx;
use super::error::{CommitError, StoreError};
use super::reads::Reader;
use super::statement::Scalar;
use super::tx::{Inner, Tx};
use super::writer::BATCH_INSERT;
use crate::clock::DatabaseClock;
use crate::domain::ids::BatchId;

/// Steps of the engine's machine between two looks whether a long read is still wanted: a fraction of a millisecond.
const PROGRESS_EVERY: i32 = 10_000;

#[derive(Debug)]
pub(super) struct Sqlite {
    path: PathBuf,
    writer: mpsc::Sender<Job>,
    /// The daemon's own reads: one thread that nobody else can keep busy.
    house: mpsc::Sender<Job>,
    orders: mpsc::Sender<Job>,
    customers: mpsc::Sender<Job>,
    serving: Mutex<Option<File>>,
    clock: DatabaseClock,
}

impl Sqlite {
    pub(super) fn open(path: PathBuf, readers: usize, clock: DatabaseClock) -> Result<Self, StoreError> {
        check_files(&path).map_err(|refused| StoreError::Unavailable(refused.to_string()))?;
        clock.observe(clock.wall());
        let writer = spawn("sqlite-writer", [connect(&path, false)?], &clock)?;
        let house = spawn("sqlite-house", [connect(&path, true)?], &clock)?;
        let orders = spawn("sqlite-orders", [connect(&path, true)?], &clock)?;
        let connections: Vec<Connection> =
            (0..readers.max(1)).map(|_| connect(&path, true)).collect::<Result<_, _>>()?;
        let customers = spawn("sqlite-reader", connections, &clock)?;
        Ok(Self { path, writer, house, orders, customers, serving: Mutex::new(None), clock })
    }

    pub(super) async fn read<T, F>(&self, reader: Reader, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t Tx) -> BoxFuture<'t, Result<T, StoreError>> + Send + 'static,
    {
        let threads = match reader {
            Reader::House | Reader::Watch => &self.house,
            Reader::Order(_) => &self.orders,
            Reader::Customer(_) => &self.customers,
        };
        on_thread(threads, move |tx| {
            // Held to the end of the work, whether its caller still waits or not.
            let _turn = reader;
            tx.sqlite().run("BEGIN")?;
            let outcome = poll_once(work(tx));
            tx.sqlite().run("ROLLBACK")?;
            outcome
        })
        .await
        .unwrap_or_else(|| Err(gone()))
    }

    /// A read on a thread and a connection of its own, which end with it. Dropped, it ends at its next progress report.
    pub(super) async fn read_long<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t Tx) -> BoxFuture<'t, Result<T, StoreError>> + Send + 'static,
    {
        let mut connection = connect(&self.path, true)?;
        let called_off = CancellationToken::new();
        let seen = called_off.clone();
        connection.progress_handler(PROGRESS_EVERY, Some(move || seen.is_cancelled())).map_err(translate)?;
        let thread = spawn("sqlite-long", [connection], &self.clock)?;
        let _called_off_when_dropped = called_off.drop_guard();
        let job = on_thread(&thread, move |tx| {
            tx.sqlite().run("BEGIN")?;
            poll_once(work(tx))
        });
        job.await.unwrap_or_else(|| Err(gone()))
    }

    pub(super) async fn commit<T, F>(&self, batch: Option<BatchId>, work: Arc<F>) -> Result<T, CommitError<T>>
    where
        T: Send + 'static,
        F: for<'t> Fn(&'t Tx) -> BoxFuture<'t, Result<T, StoreError>> + Send + Sync + 'static,
    {
        on_thread(&self.writer, move |tx| {
            let sqlite = tx.sqlite();
            sqlite.run("BEGIN IMMEDIATE")?;
            let body = || {
                if let Some(batch) = batch {
                    sqlite.execute(&BATCH_INSERT, &[], &[Scalar::Id(*batch.as_bytes())])?;
                }
                let outcome = poll_once(work(tx))?;
                sqlite.run("COMMIT")?;
                Ok(outcome)
            };
            let outcome = catch_unwind(AssertUnwindSafe(body))
                .unwrap_or_else(|_| Err(StoreError::Internal("a transaction panicked".into())));
            if outcome.is_err() && !sqlite.connection().is_autocommit() {
                sqlite.run("ROLLBACK")?;
            }
            outcome
        })
        .await
        .unwrap_or_else(|| Err(gone()))
        .map_err(CommitError::NotCommitted)
    }

    pub(super) fn lock_for_serving(&self) -> Result<(), StoreError> {
        let path = self.path.with_extension("lock");
        let unavailable = |why: String| StoreError::Unavailable(format!("{}: {why}", path.display()));
        let file = private_file(&path).map_err(|error| unavailable(error.to_string()))?;
        file.try_lock().map_err(|_| unavailable("another daemon serves this database".into()))?;
        *self.serving.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
        Ok(())
    }

    pub(super) async fn remember_windows(&self, window: Duration, skew: Duration) -> Result<(), StoreError> {
        let now = self.clock.now();
        let job =
            on_thread(&self.writer, move |tx| windows::remember(&mut tx.sqlite().connection(), now, window, skew));
        job.await.unwrap_or_else(|| Err(gone()))
    }
}

fn gone() -> StoreError {
    StoreError::Unavailable("the storage thread is gone".into())
}

/// Every statement on this engine is synchronous, so a transaction that waits does something that it must not.
fn poll_once<T>(future: BoxFuture<'_, Result<T, StoreError>>) -> Result<T, StoreError> {
    future
        .now_or_never()
        .unwrap_or_else(|| Err(StoreError::Internal("a transaction waited for something outside the database".into())))
}

impl Tx {
    fn sqlite(&self) -> &SqliteTx {
        match &self.0 {
            Inner::Sqlite(tx) => tx,
            Inner::Postgres(_) => unreachable!("a storage thread makes its own transactions"),
        }
    }
}

/// Errors by what a caller does about them. The messages of SQLite name tables and columns, never values.
#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err takes")]
fn translate(error: rusqlite::Error) -> StoreError {
    let text = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Conflict(text),
        Some(
            ErrorCode::DiskFull
            | ErrorCode::ReadOnly
            | ErrorCode::CannotOpen
            | ErrorCode::SystemIoFailure
            | ErrorCode::OperationInterrupted
            | ErrorCode::OutOfMemory,
        ) => StoreError::Unavailable(text),
        _ => StoreError::Internal(text),
    }
}
