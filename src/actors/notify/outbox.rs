//! What the desk asks of the database: what is due, a claim, and to write down what became of attempts.
//!
//! It never tries again: that is the claimer's and the recorder's.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::domain::ids::EndpointId;
use crate::domain::sealing::Keyring;
use crate::domain::time::Timestamp;
use crate::records::attempts::{self, Finished};
use crate::records::endpoints::GivenUp;
use crate::records::outbox::{self, ClaimedEndpoint, Demand};
use crate::store::{CommitError, Store, StoreError, Writer};

/// Endpoints that one look finds at most.
const LOOK_ROWS: usize = 1_000;

/// What a look at the outbox found.
#[derive(Clone, Debug, Default)]
pub(super) struct Look {
    /// Endpoints for which something is due.
    pub(super) due: Vec<EndpointId>,
    /// Where the next look goes on; `None` at the end of the outbox.
    pub(super) next: Option<EndpointId>,
    /// Since when the oldest due row has been due; looked up at the beginning of the outbox only.
    pub(super) oldest: Option<Timestamp>,
}

/// The claims; the store's in the house, a script in tests.
pub(super) trait Outbox: Send {
    fn look(&self, after: Option<EndpointId>) -> BoxFuture<'static, Result<Look, StoreError>>;

    fn claim(
        &mut self,
        demands: Arc<Vec<Demand>>,
    ) -> BoxFuture<'_, Result<Vec<ClaimedEndpoint>, CommitError<Vec<ClaimedEndpoint>>>>;
}

/// What became of a batch of results: the endpoints that are given up with it.
pub(super) type Written = Result<Vec<(EndpointId, GivenUp)>, CommitError<Vec<(EndpointId, GivenUp)>>>;

/// The results; the store's in the house, a script in tests.
pub(super) trait Book: Send {
    /// Writes what became of attempts; returns the endpoints that it has given up. The same attempt again changes nothing.
    fn finish(&mut self, finished: Arc<Vec<Finished>>) -> BoxFuture<'_, Written>;
}

pub(super) struct StoreOutbox {
    store: Store,
    writer: Writer,
    keyring: Arc<Keyring>,
}

impl StoreOutbox {
    pub(super) fn new(store: &Store, keyring: &Arc<Keyring>) -> Self {
        Self { store: store.clone(), writer: store.writer(), keyring: Arc::clone(keyring) }
    }
}

impl Outbox for StoreOutbox {
    fn look(&self, after: Option<EndpointId>) -> BoxFuture<'static, Result<Look, StoreError>> {
        let store = self.store.clone();
        let rows = i64::try_from(LOOK_ROWS).unwrap_or(i64::MAX);
        let read = store_look(store, after, rows);
        Box::pin(read)
    }

    fn claim(
        &mut self,
        demands: Arc<Vec<Demand>>,
    ) -> BoxFuture<'_, Result<Vec<ClaimedEndpoint>, CommitError<Vec<ClaimedEndpoint>>>> {
        let keyring = Arc::clone(&self.keyring);
        Box::pin(self.writer.commit(None, move |tx| {
            let (keyring, demands) = (Arc::clone(&keyring), Arc::clone(&demands));
            Box::pin(async move { outbox::claim(tx, &keyring, &demands).await })
        }))
    }
}

async fn store_look(store: Store, after: Option<EndpointId>, rows: i64) -> Result<Look, StoreError> {
    store
        .read(move |tx| {
            Box::pin(async move {
                let due = outbox::due(tx, after, rows).await?;
                let oldest = if after.is_none() { outbox::oldest_due(tx).await? } else { None };
                let next = due.last().copied().filter(|_| due.len() == LOOK_ROWS);
                Ok(Look { due, next, oldest })
            })
        })
        .await
}

pub(super) struct StoreBook {
    writer: Writer,
}

impl StoreBook {
    pub(super) fn new(store: &Store) -> Self {
        Self { writer: store.writer() }
    }
}

impl Book for StoreBook {
    fn finish(&mut self, finished: Arc<Vec<Finished>>) -> BoxFuture<'_, Written> {
        Box::pin(self.writer.commit(None, move |tx| {
            let finished = Arc::clone(&finished);
            Box::pin(async move { attempts::finish(tx, &finished).await })
        }))
    }
}
