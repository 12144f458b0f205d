//! The engine room: one thread on which every actor and every database connection lives.
//!
//! On the threads that serve requests, an actor and the connection that it commits on would wait their turn behind hundreds
//! of handlers at each of the four answers that a batch needs: 12 ms a commit, of which 3 were the server's. Here they only
//! wait for each other, and a message between two of them wakes no other thread. The thread ends, with all that runs on
//! it, when its owner is dropped.

use std::future::Future;
use std::io;

use anyhow::Context as _;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// Owns the thread.
#[derive(Debug)]
pub(super) struct EngineRoom {
    handle: Handle,
    /// Dropped with the owner: the thread's signal to end.
    _stop: oneshot::Sender<()>,
}

impl EngineRoom {
    /// # Errors
    /// The system's, if it gives no thread.
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let handle = runtime.handle().clone();
        std::thread::Builder::new().name("engine".into()).spawn(move || {
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
