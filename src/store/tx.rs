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

    /// Runs DDL that is written per engine.
    pub(super) async fn run_ddl(&self, sql: &str) -> Result<(), StoreError> {
        match &self.0 {
            Inner::Sqlite(tx) => tx.run_ddl(sql),
            Inner::Postgres(tx) => tx.run_ddl(sql).await,
        }
    }
}
