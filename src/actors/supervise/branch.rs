//! A supervisor whose children come and go while it runs.
//!
//! The list of its children is the truth: a branch that its own supervisor starts again has exactly those. A child that is
//! ended is not started again, whatever ends it; until it has ended, a graceful stop ends it with the others.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ractor::SpawnErr;
use tokio::sync::oneshot;

use super::child::Child;
use super::slot::Slot;
use super::tree::SupervisorMessage;

/// The handle. Cheap to clone.
#[derive(Clone, Default)]
pub struct Branch {
    supervisor: Slot<SupervisorMessage>,
    children: Arc<Mutex<Vec<Child>>>,
}

impl fmt::Debug for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Branch({} children)", self.children().len())
    }
}

/// A child of a branch did not start; it is not on the branch.
#[derive(Debug, thiserror::Error)]
#[error("an actor did not start: {0}")]
pub struct NotStarted(String);

impl Branch {
    /// A branch that begins with `children`.
    #[must_use]
    pub fn new(children: Vec<Child>) -> Self {
        Self { supervisor: Slot::vacant(), children: Arc::new(Mutex::new(children)) }
    }

    /// Starts one more child and keeps it alive.
    ///
    /// # Errors
    /// [`NotStarted`], at its first start.
    pub async fn start(&self, child: Child) -> Result<(), NotStarted> {
        self.children().push(child.clone());
        let (reply, started) = oneshot::channel();
        if self.supervisor.cast(SupervisorMessage::Start { child: child.clone(), reply }).is_err() {
            // The next incarnation starts it with all others.
            return Ok(());
        }
        let refused: Option<SpawnErr> = started.await.ok().flatten();
        refused.map_or(Ok(()), |error| {
            self.forget(&child);
            Err(NotStarted(error.to_string()))
        })
    }

    /// Ends a child as a graceful stop would, within `within`; returns when it has ended.
    pub async fn end(&self, child: &Child, within: Duration) {
        self.forget(child);
        let (reply, released) = oneshot::channel();
        if self.supervisor.cast(SupervisorMessage::Release { child: child.clone(), reply }).is_ok()
            && let Ok(Some(alive)) = released.await
        {
            child.stop(alive, within).await;
        }
    }

    pub(super) fn supervisor(&self) -> &Slot<SupervisorMessage> {
        &self.supervisor
    }

    pub(super) fn children(&self) -> MutexGuard<'_, Vec<Child>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, child: &Child) {
        self.children().retain(|other| !other.is(child));
    }
}
