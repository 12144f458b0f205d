//! A thread of its own for the database's round trips.
//!
//! On the threads that serve requests a connection would wait its turn behind hundreds of handlers at every answer of the
//! server, and a batch needs four of them. The thread ends when its owner is dropped.

use std::future::Future;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use super::error::StoreError;

#[derive(Debug)]
pub(super) struct StorageThread {
    handle: Handle,
    /// Dropped with the owner: the thread's signal to end.
    _stop: oneshot::Sender<()>,
}

impl StorageThread {
    pub(super) fn start(name: &str) -> Result<Self, StoreError> {
        let unavailable = |error: std::io::Error| StoreError::Unavailable(error.to_string());
        let runtime = Builder::new_current_thread().enable_all().build().map_err(unavailable)?;
        let (stop, stopped) = oneshot::channel();
        let handle = runtime.handle().clone();
        std::thread::Builder::new()
            .name(name.into())
            .spawn(move || {
                let _owner_dropped = runtime.block_on(stopped);
            })
            .map_err(unavailable)?;
        Ok(Self { handle, _stop: stop })
    }

    /// Runs `work` on the thread, to its end even if the caller stops waiting.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.handle.spawn(work).await.map_err(|ended| match ended.is_panic() {
            true => StoreError::Internal("a transaction panicked".into()),
            false => StoreError::Unavailable("the storage thread is gone".into()),
        })
    }
}
