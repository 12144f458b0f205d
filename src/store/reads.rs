//! Reads: who may ask for one, how many at once, and for how long.
//!
//! The daemon's own reads come first by having connections to themselves; what takes long has one of its own. Nothing is
//! written here.

use std::time::Duration;

use futures_util::future::BoxFuture;

use super::error::StoreError;
use super::gate::{Gate, Pass};
use super::tx::Tx;
use super::{Engine, Store};

/// The gates before reads that customers ask for. Orders have their own: whoever lists deliveries in a loop must not hold up
/// the look-up of an idempotency key.
#[derive(Debug)]
pub(super) struct Gates {
    orders: Gate,
    customers: Gate,
}

impl Gates {
    pub(super) fn new(readers: usize) -> Self {
        let seats = readers.max(1);
        Self { orders: Gate::new(seats), customers: Gate::new(seats) }
    }
}

/// Who asks for a read: each has connections of its own, which the others cannot take.
#[derive(Debug)]
#[allow(dead_code, reason = "a pass is held for its drop")]
pub(super) enum Reader {
    /// The daemon itself, and commands.
    House,
    /// The daemon itself, for what must never wait until a connection is made.
    Watch,
    /// An order, for its idempotency key.
    Order(Pass),
    /// A customer who looks something up.
    Customer(Pass),
}

impl Store {
    /// Runs `work` in one read-only transaction that sees one snapshot: for the daemon itself, and for commands.
    ///
    /// # Errors
    /// What `work` returns, or [`StoreError::Unavailable`].
    pub async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t Tx) -> BoxFuture<'t, Result<T, StoreError>> + Send + 'static,
    {
        self.read_as(Reader::House, work).await
    }

    /// Runs `work` like [`Store::read`], on a connection that nothing else uses: for what is polled, one after the other, and is
    /// too old if a poll has to wait until a connection is made, which takes a server far away longer than a second.
    ///
    /// # Errors
    /// What `work` returns, or [`StoreError::Unavailable`].
    pub async fn read_for_watch<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t Tx) -> BoxFuture<'t, Result<T, StoreError>> + Send + 'static,
    {
        self.read_as(Reader::Watch, work).await
    }

    /// Runs `work` like [`Store::read`] for a customer who looks something up: after other customers, and on connections
    /// that nothing else needs.
    ///
    /// # Errors
    /// What `work` returns, or [`StoreError::Unavailable`], also for too many such reads at once.
    pub async fn read_for_customer<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t Tx) -> BoxFuture<'t, Result<T, StoreError>> + Send + 'static,
    {
        self.read_as(Reader::Customer(self.gates.customers.enter().await?), work).await
    }

    /// Runs `work` like [`Store::read_for_customer`] for an order, after other orders only.
    ///
    /// # Errors
    /// As [`Store::read_for_customer`].
    pub async fn read_for_order<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t Tx) -> BoxFuture<'t, Result<T, StoreError>> + Send + 'static,
    {
        self.read_as(Reader::Order(self.gates.orders.enter().await?), work).await
    }

    async fn read_as<T, F>(&self, reader: Reader, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t Tx) -> BoxFuture<'t, Result<T, StoreError>> + Send + 'static,
    {
        // In a box: whoever may read, but mostly does not, would carry two kilobytes of room for it through every move.
        match &*self.engine {
            Engine::Sqlite(sqlite) => Box::pin(sqlite.read(reader, work)).await,
            Engine::Postgres(postgres) => Box::pin(postgres.read(reader, work)).await,
        }
    }

    /// Runs `work` like [`Store::read`], without the time limit of a request and on a connection of its own: for `verify`.
    /// Dropped, it ends the work.
    ///
    /// # Errors
    /// What `work` returns, or [`StoreError::Unavailable`].
    pub async fn read_long<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t Tx) -> BoxFuture<'t, Result<T, StoreError>> + Send + 'static,
    {
        match &*self.engine {
            Engine::Sqlite(sqlite) => sqlite.read_long(work).await,
            Engine::Postgres(postgres) => postgres.read_long(None, work).await,
        }
    }

    /// Runs `work` like [`Store::read_long`], for `limit` at most: then it is called off, in the database too.
    ///
    /// # Errors
    /// What `work` returns, or [`StoreError::Unavailable`], also for the limit.
    pub async fn read_within<T, F>(&self, limit: Duration, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t Tx) -> BoxFuture<'t, Result<T, StoreError>> + Send + 'static,
    {
        let read = async {
            match &*self.engine {
                Engine::Sqlite(sqlite) => sqlite.read_long(work).await,
                Engine::Postgres(postgres) => postgres.read_long(Some(limit), work).await,
            }
        };
        let called_off = || StoreError::Unavailable("a read took too long and was called off".into());
        tokio::time::timeout(limit, read).await.unwrap_or_else(|_| Err(called_off()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Statement;

    static ENDLESS: Statement = Statement::new(
        "test.endless",
        &[],
        &[],
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT COUNT(*) FROM n",
    );

    #[tokio::test]
    async fn a_read_past_its_limit_ends_in_the_database_too() {
        let dir = std::env::temp_dir().join(format!("nexo-within-{}", std::process::id()));
        let store = Store::open(&format!("sqlite:{}/t.db", dir.display()), 1).await.expect("opens");
        let (working, mut ended) = tokio::sync::mpsc::channel::<()>(1);
        let read = store.read_within(Duration::from_millis(50), move |tx| {
            Box::pin(async move {
                let _held_by_the_work = working;
                tx.query(&ENDLESS, &[], &[]).await
            })
        });
        assert!(matches!(read.await, Err(StoreError::Unavailable(_))));
        assert_eq!(ended.recv().await, None, "the thread has given it up");
        assert!(store.ping().await.is_ok());
        std::fs::remove_dir_all(dir).expect("removes");
    }
}
