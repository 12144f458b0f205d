//! A transaction of this engine: its statements on the connection of a storage thread, rows bound in chunks.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, ToSql};

use super::translate;
use crate::clock::DatabaseClock;
use crate::store::error::StoreError;
use crate::store::row::{Row, Values};
use crate::store::statement::{CHUNKS, Column, Scalar, Statement};
use crate::store::tx::Write;

/// A connection in the hands of its thread. The mutex is never contended: it makes the transaction shareable by
/// reference, as the other engine's is.
#[derive(Debug)]
pub(in crate::store) struct SqliteTx {
    pub(super) connection: Mutex<Connection>,
    pub(super) clock: DatabaseClock,
}

impl SqliteTx {
    pub(super) fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn run(&self, sql: &str) -> Result<(), StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(sql).map_err(translate)?;
        statement.raw_execute().map(drop).map_err(translate)
    }

    pub(in crate::store) fn run_ddl(&self, sql: &str) -> Result<(), StoreError> {
        self.connection().execute_batch(sql).map_err(translate)
    }

    /// Writes the pages that this transaction has changed to the log of the file, as a commit does.
    pub(in crate::store) fn flush(&self) -> Result<(), StoreError> {
        self.connection().cache_flush().map_err(translate)
    }

    pub(in crate::store) fn query(
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

    pub(in crate::store) fn execute(
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
    pub(in crate::store) fn write(&self, writes: &[Write<'_>]) -> Result<(), StoreError> {
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
            bind_call(&mut prepared, statement, chunk, scalars, &self.clock)?;
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

/// Binds what is the same for every row: the scalars, and the time of this call, read under the writer's lock.
fn bind_call(
    prepared: &mut rusqlite::CachedStatement<'_>,
    statement: &'static Statement,
    chunk: usize,
    scalars: &[Scalar<'_>],
    clock: &DatabaseClock,
) -> Result<(), StoreError> {
    if statement.reads_time() {
        bind(prepared, statement.now_at(chunk), &clock.now().micros())?;
    }
    if statement.reads_server() {
        bind(prepared, statement.now_at(chunk) + 1, &clock.wall().micros())?;
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
