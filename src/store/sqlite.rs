//! The embedded engine: one writer thread and some reader threads, each with its own connection.
//!
//! A transaction's future is shipped to a thread and polled there once: every statement is synchronous, so it never
//! waits. WAL and `synchronous=FULL`: a commit is on the disk when it returns. The threads end when the store is dropped.

mod threads;

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rusqlite::{Connection, ErrorCode, ToSql};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::threads::{Job, connect, on_thread, private_file, spawn};
use super::error::{CommitError, StoreError};
use super::reads::Reader;
use super::row::{Row, Values};
use super::statement::{CHUNKS, Column, Scalar, Statement};
use super::tx::{Inner, Tx, Write};
use super::writer::BATCH_INSERT;
use crate::clock::wall_now;
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
}

impl Sqlite {
    pub(super) fn open(path: PathBuf, readers: usize) -> Result<Self, StoreError> {
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(parent)
                .map_err(|error| StoreError::Unavailable(format!("{}: {error}", parent.display())))?;
        }
        // The engine would make it readable for everybody; what it makes beside it takes this file's mode.
        private_file(&path).map_err(|error| StoreError::Unavailable(format!("{}: {error}", path.display())))?;
        let writer = spawn("sqlite-writer", [connect(&path, false)?])?;
        let house = spawn("sqlite-house", [connect(&path, true)?])?;
        let orders = spawn("sqlite-orders", [connect(&path, true)?])?;
        let connections: Vec<Connection> =
            (0..readers.max(1)).map(|_| connect(&path, true)).collect::<Result<_, _>>()?;
        let customers = spawn("sqlite-reader", connections)?;
        Ok(Self { path, writer, house, orders, customers, serving: Mutex::new(None) })
    }

    pub(super) async fn read<T, F>(&self, reader: Reader, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t Tx) -> BoxFuture<'t, Result<T, StoreError>> + Send + 'static,
    {
        let threads = match reader {
            Reader::House => &self.house,
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
        let thread = spawn("sqlite-long", [connection])?;
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

/// A connection in the hands of its thread. The mutex is never contended: it makes the transaction shareable by
/// reference, as the other engine's is.
#[derive(Debug)]
pub(super) struct SqliteTx {
    connection: Mutex<Connection>,
}

impl SqliteTx {
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, sql: &str) -> Result<(), StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(sql).map_err(translate)?;
        statement.raw_execute().map(drop).map_err(translate)
    }

    pub(super) fn run_ddl(&self, sql: &str) -> Result<(), StoreError> {
        self.connection().execute_batch(sql).map_err(translate)
    }

    pub(super) fn query(
        &self,
        statement: &'static Statement,
        columns: &[Column<'_>],
        scalars: &[Scalar<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        let mut found = Vec::new();
        self.each_chunk(statement, columns, scalars, |prepared| {
            let width = prepared.column_count();
            let mut rows = prepared.raw_query();
            while let Some(row) = rows.next().map_err(translate)? {
                let values = (0..width).map(|at| row.get(at)).collect::<Result<_, _>>().map_err(translate)?;
                found.push(Row(Values::Sqlite(values)));
            }
            Ok(())
        })?;
        Ok(found)
    }

    pub(super) fn execute(
        &self,
        statement: &'static Statement,
        columns: &[Column<'_>],
        scalars: &[Scalar<'_>],
    ) -> Result<u64, StoreError> {
        let mut changed = 0;
        self.each_chunk(statement, columns, scalars, |prepared| {
            changed += prepared.raw_execute().map_err(translate)? as u64;
            Ok(())
        })?;
        Ok(changed)
    }

    /// The last writes of a transaction; its owner commits.
    pub(super) fn write(&self, writes: &[Write<'_>]) -> Result<(), StoreError> {
        for write in writes {
            let changed = self.execute(write.statement, &write.columns, &write.scalars)?;
            if !write.is_kept_by(Some(changed)) {
                let why = format!("{:?} wrote {changed} rows, not {:?}", write.statement, write.rows);
                return Err(StoreError::Internal(why));
            }
        }
        Ok(())
    }

    /// Runs the statement on all rows in the largest pieces that fit; once where it takes no rows.
    fn each_chunk(
        &self,
        statement: &'static Statement,
        columns: &[Column<'_>],
        scalars: &[Scalar<'_>],
        mut run: impl FnMut(&mut rusqlite::CachedStatement<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let connection = self.connection();
        let (mut row, rows) = (0, columns.first().map_or(1, Column::len));
        for (chunk, size) in CHUNKS.into_iter().enumerate() {
            if rows - row < size {
                continue;
            }
            let mut prepared = connection.prepare_cached(statement.sqlite(chunk)).map_err(translate)?;
            bind_call(&mut prepared, statement, chunk, scalars)?;
            while rows - row >= size {
                for offset in 0..size {
                    bind_row(&mut prepared, columns, row + offset, offset * columns.len())?;
                }
                run(&mut prepared)?;
                row += size;
            }
        }
        assert_eq!(row, rows, "the last chunk is of one row");
        Ok(())
    }
}

/// Binds what is the same for every row: the scalars, and the clock of this call, read under the writer's lock.
fn bind_call(
    prepared: &mut rusqlite::CachedStatement<'_>,
    statement: &'static Statement,
    chunk: usize,
    scalars: &[Scalar<'_>],
) -> Result<(), StoreError> {
    if statement.reads_clock() {
        bind(prepared, statement.now_at(chunk), &wall_now().micros())?;
    }
    for (scalar, number) in scalars.iter().zip(1..) {
        let at = statement.scalar_at(chunk, number);
        match *scalar {
            Scalar::I64(value) => bind(prepared, at, &value),
            Scalar::OptI64(value) => bind(prepared, at, &value),
            Scalar::Text(value) => bind(prepared, at, &value),
            Scalar::OptText(value) => bind(prepared, at, &value),
            Scalar::Bytes(value) => bind(prepared, at, &value),
            Scalar::Id(value) => bind(prepared, at, &value),
            Scalar::OptId(value) => bind(prepared, at, &value),
        }?;
    }
    Ok(())
}

/// Binds one row behind the `bound` parameters of the rows before it in its chunk.
fn bind_row(
    prepared: &mut rusqlite::CachedStatement<'_>,
    columns: &[Column<'_>],
    row: usize,
    bound: usize,
) -> Result<(), StoreError> {
    for (column, at) in columns.iter().zip(bound + 1..) {
        match column {
            Column::I64(values) => bind(prepared, at, &values[row]),
            Column::OptI64(values) => bind(prepared, at, &values[row]),
            Column::Text(values) => bind(prepared, at, &values[row]),
            Column::OptText(values) => bind(prepared, at, &values[row]),
            Column::Bytes(values) => bind(prepared, at, &values[row]),
            Column::OptBytes(values) => bind(prepared, at, &values[row]),
            Column::Id(values) => bind(prepared, at, values[row].as_bytes()),
        }?;
    }
    Ok(())
}

fn bind(statement: &mut rusqlite::CachedStatement<'_>, at: usize, value: &dyn ToSql) -> Result<(), StoreError> {
    statement.raw_bind_parameter(at, value).map_err(translate)
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
