//! Floor 2: one SQL, two engines.
//!
//! [`Store`] opens a database and runs transactions; [`Tx`] executes [`Statement`]s, each written once for both engines.
//! SQLite is the embedded default (one writer thread, some readers, WAL, `synchronous=FULL`); Postgres serves production
//! and more than one node. Nothing here knows the product's tables except the migrations and `batches`, by which an
//! unknown commit is resolved.

mod error;
mod gate;
mod migrations;
mod postgres;
mod reads;
mod row;
mod sqlite;
mod statement;
mod tx;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;

pub use error::{CommitError, FileRefused, StoreError};
use reads::Gates;
pub use row::Row;
pub use statement::{Column, Scalar, Statement, Type};
pub use tx::{Tx, Write};
pub use writer::Writer;

use crate::clock::DatabaseClock;
use crate::config::{Database, SecretFiles, StoreUrl};
use crate::domain::ids::BatchId;
use crate::domain::time::Timestamp;

/// How often a transaction is run again after a deadlock or a serialization failure.
const TRIES_MAX: u32 = 4;

/// A database; cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    engine: Arc<Engine>,
    gates: Arc<Gates>,
    clock: DatabaseClock,
}

#[derive(Debug)]
enum Engine {
    Sqlite(sqlite::Sqlite),
    Postgres(postgres::Postgres),
}

/// Which engine a store runs on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EngineKind {
    Sqlite,
    Postgres,
}

impl Store {
    /// Opens `sqlite:PATH` (made if it is missing) or `postgres://…` with `readers` connections for customers' reads.
    ///
    /// # Errors
    /// [`StoreError::Internal`] for an address that is not well formed or names certificates that cannot be used,
    /// [`StoreError::Unavailable`] if the file cannot be opened. A Postgres server that is away is found by the first transaction, not here.
    pub async fn open(url: &str, readers: usize) -> Result<Self, StoreError> {
        Self::open_on(&Handle::current(), url, readers, SecretFiles::default(), DatabaseClock::here())
    }

    /// Checks that the files of an embedded database can be made and written; a server has none of ours.
    ///
    /// # Errors
    /// [`FileRefused`], which names the directory or file.
    pub fn check_files(url: &str) -> Result<(), FileRefused> {
        url.strip_prefix("sqlite:").map_or(Ok(()), |path| sqlite::check_files(Path::new(path)))
    }

    /// The same, with the connections to a server on `runtime`, and with a `clock` that knows no time yet. The key of a client's
    /// certificate is read by the rule of `files`.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_on(
        runtime: &Handle,
        url: &str,
        readers: usize,
        files: SecretFiles,
        clock: DatabaseClock,
    ) -> Result<Self, StoreError> {
        let database = StoreUrl(url.to_owned()).database();
        let engine = match database.map_err(|wrong| StoreError::Internal(wrong.to_string()))? {
            Database::Sqlite(path) => Engine::Sqlite(sqlite::Sqlite::open(path, readers, clock.clone())?),
            Database::Postgres(address) => {
                Engine::Postgres(postgres::Postgres::new(&address, files, readers, runtime.clone(), clock.clone())?)
            }
        };
        Ok(Self { engine: Arc::new(engine), gates: Arc::new(Gates::new(readers)), clock })
    }

    /// The house's time, as the statements of this store are told it. Who reads a time tells it what was read.
    #[must_use]
    pub fn clock(&self) -> &DatabaseClock {
        &self.clock
    }

    #[must_use]
    pub fn kind(&self) -> EngineKind {
        match *self.engine {
            Engine::Sqlite(_) => EngineKind::Sqlite,
            Engine::Postgres(_) => EngineKind::Postgres,
        }
    }

    /// Runs `work` in one transaction and commits it; runs it again after a deadlock, a serialization failure or a lock that
    /// was not granted in time.
    ///
    /// # Errors
    /// What `work` returns. A commit of unknown outcome is [`StoreError::Unavailable`]: use a [`Writer`] with a batch
    /// where that matters.
    pub async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> Fn(&'t Tx) -> BoxFuture<'t, Result<T, StoreError>> + Send + Sync + 'static,
    {
        match self.writer().commit_patiently(work).await {
            Ok(outcome) => Ok(outcome),
            Err(CommitError::NotCommitted(error)) => Err(error),
            Err(CommitError::Unknown { .. }) => Err(StoreError::Unavailable("the commit's outcome is unknown".into())),
        }
    }

    /// Does `work` as a [`Writer`] would with this `batch`, and takes it back instead of committing it. On SQLite what it wrote
    /// is handed to the file before that, or a disk that is full would not show.
    ///
    /// # Errors
    /// What `work` returns, or the file.
    pub async fn rehearse<F>(&self, batch: BatchId, work: F) -> Result<(), StoreError>
    where
        F: for<'t> Fn(&'t Tx) -> BoxFuture<'t, Result<(), StoreError>> + Send + Sync + 'static,
    {
        const TAKEN_BACK: &str = "a rehearsal is taken back";
        let work = Arc::new(work);
        let mut writer = self.writer();
        let rehearsed = writer.commit(Some(batch), move |tx| {
            let work = Arc::clone(&work);
            Box::pin(async move {
                work(tx).await?;
                tx.flush()?;
                // Whatever fails is rolled back.
                Err::<(), _>(StoreError::Internal(TAKEN_BACK.to_owned()))
            })
        });
        match rehearsed.await {
            Err(CommitError::NotCommitted(StoreError::Internal(why))) if why == TAKEN_BACK => Ok(()),
            Err(CommitError::NotCommitted(error)) => Err(error),
            Ok(()) | Err(CommitError::Unknown { .. }) => {
                Err(StoreError::Internal("a rehearsal may have been committed".to_owned()))
            }
        }
    }

    /// A committing connection for one shard. It connects when it is first used and after it was lost.
    #[must_use]
    pub fn writer(&self) -> Writer {
        Writer::new(Arc::clone(&self.engine))
    }

    /// Tells whether the transaction that began with `batch` committed. It waits for a transaction that is still
    /// undecided, and makes sure that one which had not committed never will.
    ///
    /// # Errors
    /// [`StoreError`] if the database is out of reach: ask again.
    pub async fn resolve(&self, batch: BatchId) -> Result<bool, StoreError> {
        // No clock is before 1970: a tombstone is told from a batch that committed, also by who asks again because its own
        // answer was lost.
        static BURY: Statement = Statement::new(
            "batches.bury",
            &[],
            &[Type::Id],
            "INSERT INTO batches (id, at_us) SELECT $1, -1 WHERE true ON CONFLICT (id) DO NOTHING",
        );
        static FIND: Statement =
            Statement::new("batches.find", &[], &[Type::Id], "SELECT at_us FROM batches WHERE id = $1");
        let id = *batch.as_bytes();
        self.write(move |tx| {
            Box::pin(async move {
                tx.execute(&BURY, &[], &[Scalar::Id(id)]).await?;
                let rows = tx.query(&FIND, &[], &[Scalar::Id(id)]).await?;
                let row = rows.first().ok_or_else(|| StoreError::Internal("a batch has gone".into()))?;
                Ok(row.i64(0)? >= 0)
            })
        })
        .await
    }

    /// Reads the house's time.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the database is out of reach.
    pub async fn ping(&self) -> Result<Timestamp, StoreError> {
        static NOW: Statement = Statement::new("now", &[], &[], "SELECT {now_us}");
        self.read(|tx| {
            Box::pin(async move {
                let rows = tx.query(&NOW, &[], &[]).await?;
                let row = rows.first().ok_or_else(|| StoreError::Internal("the clock gave no row".into()))?;
                Ok(Timestamp::from_micros(row.i64(0)?))
            })
        })
        .await
    }

    /// The way to a server and back, as the last read saw it; `None` on SQLite and before the first read.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        match &*self.engine {
            Engine::Sqlite(_) => None,
            Engine::Postgres(postgres) => postgres.round_trip(),
        }
    }

    /// Applies the migrations that are missing and returns their versions.
    ///
    /// # Errors
    /// [`StoreError`] if one cannot be applied; those before it stay.
    pub async fn migrate(&self) -> Result<Vec<i64>, StoreError> {
        migrations::migrate(self).await
    }

    /// Whether every migration of this binary is applied.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the database is out of reach.
    pub async fn schema_current(&self) -> Result<bool, StoreError> {
        migrations::current(self).await
    }

    /// Refuses a server that may lose commits it has acknowledged (Postgres `fsync` or `synchronous_commit` off), a pooler in
    /// the place of one, and a database that is not UTF-8.
    ///
    /// # Errors
    /// [`StoreError::Unfit`] naming what is wrong, [`StoreError::Unavailable`] if the server is away.
    pub async fn check_server(&self) -> Result<(), StoreError> {
        match &*self.engine {
            Engine::Sqlite(_) => Ok(()),
            Engine::Postgres(postgres) => postgres.check_server().await,
        }
    }

    /// Refuses a role that may not do what the statements of this build do. For a schema that is up to date.
    ///
    /// # Errors
    /// [`StoreError::Unfit`] naming each privilege that is missing, [`StoreError::Unavailable`] if the server is away.
    pub async fn check_privileges(&self) -> Result<(), StoreError> {
        match &*self.engine {
            Engine::Sqlite(_) => Ok(()),
            Engine::Postgres(postgres) => postgres.check_privileges().await,
        }
    }

    /// Takes the lock that makes a daemon the only one on a SQLite file; it is held until the store is dropped.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if another daemon holds it.
    pub fn lock_for_serving(&self) -> Result<(), StoreError> {
        match &*self.engine {
            Engine::Sqlite(sqlite) => sqlite.lock_for_serving(),
            Engine::Postgres(_) => Ok(()),
        }
    }

    /// Takes the phones' windows of a SQLite file into the writer's memory, where claims cost no page of their own. A claim
    /// holds its phone for `window`, and the id of its delivery is at most `skew` older than it. For the one daemon that
    /// serves the file, once, with the schema up to date.
    ///
    /// # Errors
    /// [`StoreError`]; the windows are on disk then, as before.
    pub async fn remember_windows(&self, window: Duration, skew: Duration) -> Result<(), StoreError> {
        match &*self.engine {
            Engine::Sqlite(sqlite) => sqlite.remember_windows(window, skew).await,
            Engine::Postgres(_) => Ok(()),
        }
    }

    /// Closes the connections; transactions after this fail.
    pub fn close(&self) {
        if let Engine::Postgres(postgres) = &*self.engine {
            postgres.close();
        }
    }
}

/// Waits a moment before a transaction is tried again: 2–10 ms, more each time, so that two rivals part.
async fn pause_before_retry(attempt: u32) {
    let jitter = rand::random_range(2..=10_u64);
    tokio::time::sleep(Duration::from_millis(jitter.saturating_mul(u64::from(attempt)))).await;
}
