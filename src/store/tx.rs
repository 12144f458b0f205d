//! An open transaction on either engine.
//!
//! It is used by shared reference: on Postgres two statements polled together go out in one round trip, in the order of
//! their first poll. It ends with its owner (`Store` or `Writer`), never by itself.

use super::error::StoreError;
use super::postgres::PgTx;
use super::row::Row;
use super::sqlite::SqliteTx;
use super::statement::{Column, Scalar, Statement};

/// Executes statements inside one transaction.
#[derive(Debug)]
pub struct Tx(pub(super) Inner);

#[derive(Debug)]
pub(super) enum Inner {
    Sqlite(SqliteTx),
    Postgres(PgTx),
}

/// One of a transaction's last writes.
#[derive(Debug)]
pub struct Write<'a> {
    pub statement: &'static Statement,
    pub columns: Vec<Column<'a>>,
    pub scalars: Vec<Scalar<'a>>,
    /// How many rows it changes, where that is sure.
    pub rows: Option<u64>,
}

impl Write<'_> {
    /// Whether it changed what it had to.
    pub(super) fn is_kept_by(&self, changed: Option<u64>) -> bool {
        self.rows.is_none_or(|rows| changed == Some(rows))
    }

    fn does_something(&self) -> bool {
        !self.columns.first().is_some_and(Column::is_empty)
    }
}

impl Tx {
    /// Runs a statement and returns its rows. With row parameters of no rows it does nothing.
    ///
    /// # Errors
    /// [`StoreError`]; the transaction is then lost.
    pub async fn query(
        &self,
        statement: &'static Statement,
        columns: &[Column<'_>],
        scalars: &[Scalar<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        statement.check(columns, scalars);
        if columns.first().is_some_and(Column::is_empty) {
            return Ok(Vec::new());
        }
        match &self.0 {
            Inner::Sqlite(tx) => tx.query(statement, columns, scalars),
            Inner::Postgres(tx) => tx.query(statement, columns, scalars).await,
        }
    }

    /// Runs a statement and returns how many rows it changed. With row parameters of no rows it does nothing.
    ///
    /// # Errors
    /// [`StoreError`]; the transaction is then lost.
    pub async fn execute(
        &self,
        statement: &'static Statement,
        columns: &[Column<'_>],
        scalars: &[Scalar<'_>],
    ) -> Result<u64, StoreError> {
        statement.check(columns, scalars);
        if columns.first().is_some_and(Column::is_empty) {
            return Ok(0);
        }
        match &self.0 {
            Inner::Sqlite(tx) => tx.execute(statement, columns, scalars),
            Inner::Postgres(tx) => tx.execute(statement, columns, scalars).await,
        }
    }

    /// Runs a transaction's last writes, which do not depend on each other; on Postgres they go out together with the
    /// COMMIT. Nothing may be asked of the transaction afterwards.
    ///
    /// # Errors
    /// [`StoreError`]; the transaction is then lost.
    pub async fn finish(&self, mut writes: Vec<Write<'_>>) -> Result<(), StoreError> {
        writes.retain(Write::does_something);
        writes.iter().for_each(|write| write.statement.check(&write.columns, &write.scalars));
        match &self.0 {
            Inner::Sqlite(tx) => tx.write(&writes),
            Inner::Postgres(tx) => tx.finish(&writes).await,
        }
    }

    /// Hands what was written to the database's file, where that would wait for the commit.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        match &self.0 {
            Inner::Sqlite(tx) => tx.flush(),
            Inner::Postgres(_) => Ok(()),
        }
    }

    /// Runs DDL that is written per engine.
    pub(super) async fn run_ddl(&self, sql: &str) -> Result<(), StoreError> {
        match &self.0 {
            Inner::Sqlite(tx) => tx.run_ddl(sql),
            Inner::Postgres(tx) => tx.run_ddl(sql).await,
        }
    }
}
