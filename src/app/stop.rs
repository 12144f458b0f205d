//! The graceful stop: one function, one time-out over all of it.
//!
//! `/readyz` turns red → the notice for load balancers → the listener closes and requests in flight are answered → queued
//! jobs leave or are refunded, links close, ends are committed (the tree, last started first) → the pool closes. What still
//! awaits a receipt stays `sent`: the next start or another node settles it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::actors::supervise::{Tasks, Tree};
use crate::config::{StopConfig, millis};
use crate::store::Store;

/// A daemon that serves.
#[derive(Debug)]
pub(super) struct Serving {
    pub(super) stopping: Arc<AtomicBool>,
    pub(super) api_stop: CancellationToken,
    pub(super) ops_stop: CancellationToken,
    pub(super) api: JoinHandle<()>,
    pub(super) ops: JoinHandle<()>,
    pub(super) upkeep: JoinHandle<()>,
    pub(super) tree: Tree,
    pub(super) tasks: Tasks,
    pub(super) store: Store,
}

impl Serving {
    /// Waits for `stop` and stops; fails if the root supervisor failed first.
    pub(super) async fn until(self, stop: impl Future<Output = ()> + Send, config: &StopConfig) -> anyhow::Result<()> {
        tokio::select! {
            () = stop => {}
            () = self.tree.failed() => {
                self.store.close();
                anyhow::bail!("the root supervisor failed: its restart budget is spent");
            }
        }
        self.stop(config).await;
        Ok(())
    }

    async fn stop(self, config: &StopConfig) {
        tracing::info!(notice_ms = config.notice_ms, grace_ms = config.grace_ms, "stopping");
        self.stopping.store(true, Ordering::Relaxed);
        tokio::time::sleep(millis(config.notice_ms)).await;
        let deadline = Instant::now() + millis(config.grace_ms);
        self.api_stop.cancel();
        if timeout_at(deadline, self.api).await.is_err() {
            tracing::warn!("requests were still in flight at the end of the grace time");
        }
        self.tree.stop(deadline.saturating_duration_since(Instant::now())).await;
        self.ops_stop.cancel();
        let _ended_or_out_of_time = timeout_at(deadline, self.ops).await;
        let _ended_or_out_of_time = timeout_at(deadline, self.upkeep).await;
        if !self.tasks.idle(deadline.saturating_duration_since(Instant::now())).await {
            tracing::warn!(tasks = self.tasks.running(), "tasks were still running at the end of the grace time");
        }
        self.store.close();
        tracing::info!("stopped");
    }
}
