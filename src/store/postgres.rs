//! The engine for production and for more than one node: tokio-postgres over a deadpool.
//!
//! Every session carries its own time-outs and the plan settings that keep `UPDATE … FROM UNNEST` off hash joins on tables
//! without statistics. A connection whose transaction did not end is thrown away, never given back.

mod commit;
mod connector;
mod failure;
mod lease;
mod parameters;
mod read;
mod server;
mod session;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Object, Pool};
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::task::JoinError;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use self::commit::{Ended, commit};
use self::connector::{Connector, driver_config, tls_config};
use self::failure::{slow, translate};
pub(super) use self::lease::Connection;
use self::lease::{Lease, lease, pool};
use self::parameters::{parameters, scalar_ids};
use self::read::{READ, READ_LONG, RoundTrip, read};
use self::server::{check_privileges, check_server};
use self::session::Token;
use super::error::{CommitError, StoreError};
use super::reads::Reader;
use super::row::{Row, Values};
use super::statement::{Column, Scalar, Statement};
use super::tx::{Inner, Tx};
use super::writer::BATCH_INSERT;
use crate::clock::DatabaseClock;
use crate::config::SecretFiles;
use crate::config::postgres::PostgresAddress;
use crate::domain::ids::BatchId;

/// Connections that customers' reads cannot take: as many shards as there may be (64 and 64), each keeps one; and the key
/// list, the sweeper, the resolver and commands. They are made when they are needed.
const HOUSE_MAX: usize = 144;
/// How long a transaction's statements, and then its COMMIT, may take before the connection is given up.
const PATIENCE: Duration = Duration::from_millis(2_500);

/// Session settings, each with a reason: bounded waits everywhere, no plan that scans a table for a batch of ids. A lock is
/// waited for as long as a whole batch may stand still for one row of it: daemons hold rows for milliseconds.
const SESSION: &str = "-c lock_timeout=500 -c statement_timeout=2000 \
    -c idle_in_transaction_session_timeout=2000 -c enable_hashjoin=off -c enable_mergejoin=off \
    -c enable_seqscan=off -c jit=off";

/// The longest a read may be limited to: the server takes milliseconds, and zero for no limit.
const LIMIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The pools and the runtime on which every connection of them lives, whoever asks: an answer of the server must not wait
/// behind the work of another runtime.
#[derive(Debug)]
pub(super) struct Postgres {
    pool: Pool,
    /// For reads that customers ask for: their gates let in no more than it has connections.
    readers: Pool,
    /// One connection, for the list of keys.
    watch: Pool,
    runtime: Handle,
    round_trip: RoundTrip,
    clock: DatabaseClock,
}

impl Postgres {
    pub(super) fn new(
        address: &PostgresAddress,
        files: SecretFiles,
        readers: usize,
        runtime: Handle,
        clock: DatabaseClock,
    ) -> Result<Self, StoreError> {
        // What no connection could be made with is told now, and not by each that fails.
        if address.tls.is_spoken() {
            tls_config(&address.tls, files).map_err(StoreError::Internal)?;
        }
        for warning in address.warnings() {
            tracing::warn!("store.url: {warning}");
        }
        let token = Token::fresh();
        let config = driver_config(address, &format!("{SESSION} {}", token.option()));
        let pool = |max| {
            let connector = Connector::new(address.tls.clone(), files, runtime.clone());
            pool(config.clone(), connector, &token, max)
        };
        // Of the readers one gate is for orders and one for customers.
        let (readers, watch, pool) = (pool(2 * readers.max(1))?, pool(1)?, pool(HOUSE_MAX)?);
        Ok(Self { pool, readers, watch, runtime, round_trip: RoundTrip::default(), clock })
    }

    pub(super) fn close(&self) {
        self.pool.close();
        self.readers.close();
        self.watch.close();
    }

    pub(super) async fn read<T, F>(&self, reader: Reader, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t Tx) -> BoxFuture<'t, Result<T, StoreError>> + Send + 'static,
    {
        let pool = match &reader {
            Reader::House => self.pool.clone(),
            Reader::Watch => self.watch.clone(),
            Reader::Order(_) | Reader::Customer(_) => self.readers.clone(),
        };
        let (clock, round_trip) = (self.clock.clone(), self.round_trip.clone());
        let run = async move {
            // Held to the end of the work, whether its caller still waits or not.
            let _turn = reader;
            timeout(PATIENCE, read(&pool, clock, READ, &round_trip, work)).await.unwrap_or_else(|_| Err(slow()))
        };
        self.run(run).await?
    }

    /// A read with the limits of a request lifted; with a `limit`, the server ends each statement after it. Dropped, it
    /// gives its connection up.
    pub(super) async fn read_long<T, F>(&self, limit: Option<Duration>, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t Tx) -> BoxFuture<'t, Result<T, StoreError>> + Send + 'static,
    {
        let (pool, clock, round_trip) = (self.pool.clone(), self.clock.clone(), self.round_trip.clone());
        let limit_ms = limit.map_or(0, |limit| limit.min(LIMIT_MAX).as_millis().max(1));
        let begin = format!("{READ_LONG}; SET LOCAL statement_timeout = {limit_ms}");
        let reading = async move { read(&pool, clock, &begin, &round_trip, work).await };
        let task = AbortOnDropHandle::new(self.runtime.spawn(reading));
        task.await.map_err(|ended| failed(&ended))?
    }

    /// One try of a transaction on `kept` (or a new connection), which is left in `kept` if it is still good.
    pub(super) async fn commit<T, F>(
        &self,
        kept: &mut Option<Connection>,
        batch: Option<BatchId>,
        work: Arc<F>,
    ) -> Result<T, CommitError<T>>
    where
        T: Send + 'static,
        F: for<'t> Fn(&'t Tx) -> BoxFuture<'t, Result<T, StoreError>> + Send + Sync + 'static,
    {
        let (pool, clock, mut connection) = (self.pool.clone(), self.clock.clone(), kept.take());
        let run = async move {
            let outcome = commit(&pool, clock, &mut connection, batch, &*work).await;
            (connection, outcome)
        };
        let (connection, outcome) = self.run(run).await?;
        *kept = connection;
        outcome
    }

    /// The way to the server and back, as the last read saw it.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.round_trip.last()
    }

    /// Runs `work` on the connections' runtime, to its end even if the caller stops waiting.
    async fn run<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.runtime.spawn(work).await.map_err(|ended| failed(&ended))
    }

    pub(super) async fn check_server(&self) -> Result<(), StoreError> {
        let pool = self.pool.clone();
        self.run(async move { check_server(&pool).await }).await?
    }

    pub(super) async fn check_privileges(&self) -> Result<(), StoreError> {
        let pool = self.pool.clone();
        self.run(async move { check_privileges(&pool).await }).await?
    }
}

fn failed(ended: &JoinError) -> StoreError {
    if ended.is_panic() {
        StoreError::Internal("a transaction panicked".into())
    } else {
        StoreError::Unavailable("the connections' runtime has ended".into())
    }
}

#[derive(Debug)]
pub(super) struct PgTx {
    lease: Lease,
    clock: DatabaseClock,
    ended: Ended,
}

impl Tx {
    fn postgres(&self) -> &PgTx {
        match &self.0 {
            Inner::Postgres(tx) => tx,
            Inner::Sqlite(_) => unreachable!("this engine makes its own transactions"),
        }
    }

    fn into_connection(self) -> Lease {
        match self.0 {
            Inner::Postgres(tx) => tx.lease,
            Inner::Sqlite(_) => unreachable!("this engine makes its own transactions"),
        }
    }
}

impl PgTx {
    fn new(lease: Lease, clock: DatabaseClock) -> Self {
        Self { lease, clock, ended: Ended::default() }
    }

    /// What a statement that reads the house's time is sent with.
    fn bound_us(&self, statement: &Statement) -> Option<Option<i64>> {
        statement.reads_time().then(|| self.clock.bound_us())
    }

    fn object(&self) -> &Object {
        self.lease.object()
    }

    async fn run(&self, sql: &str) -> Result<(), StoreError> {
        self.object().batch_execute(sql).await.map_err(|error| translate(&error))
    }

    async fn claim(&self, batch: Option<BatchId>) -> Result<(), StoreError> {
        match batch {
            Some(batch) => self.execute(&BATCH_INSERT, &[], &[Scalar::Id(*batch.as_bytes())]).await.map(drop),
            None => Ok(()),
        }
    }

    pub(super) async fn run_ddl(&self, sql: &str) -> Result<(), StoreError> {
        self.run("SET LOCAL statement_timeout = 0").await?;
        self.run(sql).await
    }

    pub(super) async fn query(
        &self,
        statement: &'static Statement,
        columns: &[Column<'_>],
        scalars: &[Scalar<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        let prepared = self.prepare(statement).await?;
        let (ids, bound_us) = (scalar_ids(scalars), self.bound_us(statement));
        let rows = self.object().query(&prepared, &parameters(columns, scalars, &ids, bound_us.as_ref())).await;
        let rows = rows.map_err(|error| translate(&error))?;
        Ok(rows.into_iter().map(|row| Row(Values::Postgres(row))).collect())
    }

    pub(super) async fn execute(
        &self,
        statement: &'static Statement,
        columns: &[Column<'_>],
        scalars: &[Scalar<'_>],
    ) -> Result<u64, StoreError> {
        let prepared = self.prepare(statement).await?;
        let (ids, bound_us) = (scalar_ids(scalars), self.bound_us(statement));
        let changed = self.object().execute(&prepared, &parameters(columns, scalars, &ids, bound_us.as_ref())).await;
        changed.map_err(|error| translate(&error))
    }

    /// Answers at once when the statement is prepared, so that statements polled together stay in order.
    async fn prepare(&self, statement: &'static Statement) -> Result<tokio_postgres::Statement, StoreError> {
        self.object().prepare_cached(statement.postgres()).await.map_err(|error| translate(&error))
    }
}
