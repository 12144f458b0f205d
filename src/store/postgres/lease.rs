//! Connections: pooled, leased for a transaction, kept by a writer between its own.

use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Timeouts};
use futures_util::FutureExt as _;
use tokio_postgres::Config;

use super::connector::Connector;
use super::failure::no_connection;
use super::session::Token;
use crate::store::error::StoreError;
use crate::wire::descriptors::{self, Need};

pub(super) fn pool(config: Config, connector: Connector, token: &Token, max: usize) -> Result<Pool, StoreError> {
    let manager = Manager::from_connect(config, connector, ManagerConfig { recycling_method: RecyclingMethod::Fast });
    let wait = Some(Duration::from_secs(2));
    Pool::builder(manager)
        .max_size(max)
        .timeouts(Timeouts { wait, create: wait, recycle: wait })
        .runtime(Runtime::Tokio1)
        .post_create(token.clone().hook())
        .build()
        .map_err(|error| StoreError::Internal(error.to_string()))
}

pub(super) async fn lease(pool: &Pool) -> Result<Lease, StoreError> {
    let mut got = pool.get().await;
    // Its name may have to be looked up, which takes one more.
    if got.is_err() && descriptors::are_out() && (0..2).filter(|_| descriptors::lend(Need::First)).count() > 0 {
        got = pool.get().await;
    }
    let object = got.map_err(|error| no_connection(&error))?;
    Ok(Lease(Some(object)))
}

/// A connection that a writer keeps between transactions.
#[derive(Debug)]
pub(in crate::store) struct Connection(pub(super) Lease);

/// A pooled connection in a transaction. Dropped before [`Lease::keep`], it is closed instead of given back: a
/// transaction that was cut off must not leak into the next one.
#[derive(Debug)]
pub(in crate::store) struct Lease(Option<Object>);

impl Lease {
    pub(super) fn object(&self) -> &Object {
        self.0.as_ref().expect("the connection is there until the lease ends")
    }

    pub(super) fn keep(mut self) {
        drop(self.0.take());
    }

    /// Sends ROLLBACK and gives the connection back before it is answered: whatever is asked next comes behind it. One that is
    /// lost meanwhile is found out by its next user, as one that was lost in the pool.
    pub(super) fn roll_back(self) {
        // The first poll hands it to the connection; its answer has no other bearing.
        let sent = self.object().batch_execute("ROLLBACK").now_or_never();
        if !matches!(sent, Some(Err(_))) {
            self.keep();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(object) = self.0.take() {
            drop(Object::take(object));
        }
    }
}
