//! The one place that spawns tasks.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

/// Tasks that the graceful stop waits for. Cheap to clone; all clones count into the same number.
#[derive(Clone, Debug, Default)]
pub struct Tasks(TaskTracker);

impl Tasks {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `work` on the runtime and counts it until it has ended, panicked or been aborted.
    #[allow(clippy::disallowed_methods, reason = "the tracker is what the ban of bare spawns is for")]
    pub fn spawn<F>(&self, work: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        tokio::spawn(self.0.track_future(work))
    }

    /// The same on another `runtime`.
    pub fn spawn_on<F>(&self, runtime: &Handle, work: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        runtime.spawn(self.0.track_future(work))
    }

    /// How many tasks are running.
    #[must_use]
    pub fn running(&self) -> usize {
        self.0.len()
    }

    /// Waits until no task is running, at most `within`. Returns whether that came true. Tasks may still be spawned.
    pub async fn idle(&self, within: Duration) -> bool {
        self.0.close();
        let idle = tokio::time::timeout(within, self.0.wait()).await.is_ok();
        self.0.reopen();
        idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test(start_paused = true)]
    async fn waits_for_what_runs_and_for_no_longer() {
        let tasks = Tasks::new();
        let (release, released) = oneshot::channel::<()>();
        let task = tasks.spawn(async move { released.await.is_ok() });
        assert_eq!(tasks.running(), 1);
        assert!(!tasks.idle(Duration::from_secs(1)).await);
        release.send(()).expect("the task listens");
        assert!(tasks.idle(Duration::from_secs(1)).await);
        assert!(task.await.expect("no panic"));
        assert_eq!(tasks.running(), 0);
    }

    #[tokio::test]
    async fn a_panicked_task_is_no_longer_counted() {
        let tasks = Tasks::new();
        let task = tasks.spawn(async { panic!("on purpose") });
        assert!(task.await.is_err());
        assert!(tasks.idle(Duration::from_secs(1)).await);
    }
}
