//! A child of a supervisor: how it is started, linked, and how it is stopped.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use ractor::{Actor, ActorCell, Message, SpawnErr};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::branch::Branch;
use super::keeper::{Budget, Keeper};
use super::slot::Slot;
use super::tree::Supervisor;

type Start = dyn Fn(ActorCell) -> BoxFuture<'static, Result<ActorCell, SpawnErr>> + Send + Sync;
type Stop = dyn Fn(ActorCell, Duration) -> BoxFuture<'static, ()> + Send + Sync;

/// How one child is started and how it is stopped. Cheap to clone.
#[derive(Clone)]
pub struct Child {
    pub(super) name: &'static str,
    pub(super) start: Arc<Start>,
    stop: Arc<Stop>,
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Child({})", self.name)
    }
}

impl Child {
    /// A leaf: an actor without children. `make` gives a fresh one for every start; it is stopped by draining.
    pub fn actor<A, F>(name: &'static str, slot: &Slot<A::Msg>, make: F) -> Self
    where
        A: Actor,
        A::Msg: Message,
        F: Fn() -> (A, A::Arguments) + Send + Sync + 'static,
    {
        let slot = slot.clone();
        let start = move |supervisor: ActorCell| -> BoxFuture<'static, Result<ActorCell, SpawnErr>> {
            let (actor, arguments) = make();
            let slot = slot.clone();
            Box::pin(async move {
                let (started, _ended) = A::spawn_linked(None, actor, arguments, supervisor).await?;
                let cell = started.get_cell();
                slot.fill(started);
                Ok(cell)
            })
        };
        let stop = |cell: ActorCell, within: Duration| -> BoxFuture<'static, ()> {
            Box::pin(async move {
                let _ended_or_out_of_time = cell.drain_and_wait(Some(within)).await;
            })
        };
        Self { name, start: Arc::new(start), stop: Arc::new(stop) }
    }

    /// An actor that must finish something before it may be drained: it gets the message that `finish` makes and answers
    /// when it is done. An actor with children of its own ends them before it answers.
    #[must_use]
    pub fn finishing<M: Message>(mut self, finish: fn(oneshot::Sender<()>) -> M) -> Self {
        self.stop = Arc::new(move |cell: ActorCell, within: Duration| -> BoxFuture<'static, ()> {
            Box::pin(async move {
                let deadline = Instant::now() + within;
                let (done, finished) = oneshot::channel();
                if cell.send_message(finish(done)).is_ok() {
                    let _done_or_out_of_time = tokio::time::timeout_at(deadline, finished).await;
                }
                let left = deadline.saturating_duration_since(Instant::now());
                let _ended_or_out_of_time = cell.drain_and_wait(Some(left)).await;
            })
        });
        self
    }

    /// A supervisor of `children`, itself supervised.
    #[must_use]
    pub fn supervisor(name: &'static str, budget: Budget, children: Vec<Self>) -> Self {
        let start = move |supervisor: ActorCell| -> BoxFuture<'static, Result<ActorCell, SpawnErr>> {
            let children = children.clone();
            Box::pin(async move {
                let keeper = Keeper::new(budget, children);
                let (started, _ended) =
                    Supervisor::spawn_linked(None, Supervisor::new(name), keeper, supervisor).await?;
                Ok(started.get_cell())
            })
        };
        let stop = |cell: ActorCell, within: Duration| Supervisor::stop_cell(cell, within);
        Self { name, start: Arc::new(start), stop: Arc::new(stop) }
    }

    /// A supervisor of the children of `branch`, which come and go.
    #[must_use]
    pub fn branch(name: &'static str, budget: Budget, branch: &Branch) -> Self {
        let branch = branch.clone();
        let start = move |supervisor: ActorCell| -> BoxFuture<'static, Result<ActorCell, SpawnErr>> {
            let branch = branch.clone();
            Box::pin(async move {
                let keeper = Keeper::new(budget, branch.children().clone());
                let (started, _ended) =
                    Supervisor::spawn_linked(None, Supervisor::new(name), keeper, supervisor).await?;
                let cell = started.get_cell();
                branch.supervisor().fill(started);
                Ok(cell)
            })
        };
        let stop = |cell: ActorCell, within: Duration| Supervisor::stop_cell(cell, within);
        Self { name, start: Arc::new(start), stop: Arc::new(stop) }
    }

    /// Whether both are the same child, not only of the same kind.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.start, &other.start)
    }

    pub(super) fn stop(&self, cell: ActorCell, within: Duration) -> BoxFuture<'static, ()> {
        (self.stop)(cell, within)
    }
}
