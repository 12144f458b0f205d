//! Threads of their own for what must not queue behind requests.
//!
//! On the threads that serve requests, an actor or a database connection waits its turn behind hundreds of handlers, and
//! a batch needs three answers of the server: 12 ms a commit, of which 3 were the server's. So the actors live in one such
//! thread, where a message between two of them wakes nobody else, and the database connections in another, which sleeps
//! until the server speaks. A thread ends, with all that runs on it, when its owner is dropped.

use std::future::Future;
use std::io;

use anyhow::Context as _;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// One thread with a runtime of its own.
#[derive(Debug)]
pub(super) struct EngineRoom {
    handle: Handle,
    /// Dropped with the owner: the thread's signal to end.
    _stop: oneshot::Sender<()>,
}

impl EngineRoom {
    /// # Errors
    /// The system's, if it gives no thread.
    pub(super) fn start(name: &str) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let handle = runtime.handle().clone();
        std::thread::Builder::new().name(name.into()).spawn(move || {
            let _owner_dropped = runtime.block_on(stopped);
        })?;
        Ok(Self { handle, _stop: stop })
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs `work` in the engine room; what it spawns stays there.
    ///
    /// # Errors
    /// If it panicked.
    pub(super) async fn run<T, F>(&self, work: F) -> anyhow::Result<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.handle.spawn(work).await.context("the engine room failed")
    }
}
