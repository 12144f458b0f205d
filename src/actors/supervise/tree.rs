//! The generic supervisor and the root of the whole tree.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::error;

use super::child::Child;
use super::keeper::{Budget, Keeper, schedule};

/// A supervisor of any children; it holds nothing but its [`Keeper`].
#[derive(Debug)]
pub struct Supervisor {
    name: &'static str,
}

/// What a supervisor is told.
#[derive(Debug)]
pub enum SupervisorMessage {
    /// The wait of a child's restart is over.
    Restart(usize),
    /// Start one more child. Answers why it did not.
    Start { child: Child, reply: oneshot::Sender<Option<SpawnErr>> },
    /// Keep a child no longer. Answers what is to be ended, if it is alive.
    Release { child: Child, reply: oneshot::Sender<Option<ActorCell>> },
    /// End all children, last started first, then yourself.
    Stop { within: Duration, done: oneshot::Sender<()> },
}

impl Supervisor {
    pub(super) const fn new(name: &'static str) -> Self {
        Self { name }
    }

    /// Stops the supervisor that lives in `cell` with everything below it.
    pub(super) fn stop_cell(cell: ActorCell, within: Duration) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let deadline = Instant::now() + within;
            let (done, stopped) = oneshot::channel();
            if cell.send_message(SupervisorMessage::Stop { within, done }).is_ok() {
                let _stopped_or_out_of_time = tokio::time::timeout_at(deadline, stopped).await;
            }
            cell.stop(None);
            let _ended = cell.wait(Some(Duration::from_secs(1))).await;
        })
    }
}

impl Actor for Supervisor {
    type Msg = SupervisorMessage;
    type State = Keeper;
    type Arguments = Keeper;

    async fn pre_start(&self, myself: ActorRef<Self::Msg>, mut keeper: Keeper) -> Result<Keeper, ActorProcessingErr> {
        keeper.start_all(&myself.get_cell()).await?;
        Ok(keeper)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        keeper: &mut Keeper,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SupervisorMessage::Restart(child) => {
                if let Some(again) = keeper.restart(child, &myself.get_cell()).await? {
                    schedule(&myself, again);
                }
            }
            SupervisorMessage::Start { child, reply } => {
                let _nobody_waits = reply.send(keeper.start(child, &myself.get_cell()).await.err());
            }
            SupervisorMessage::Release { child, reply } => {
                let _nobody_waits = reply.send(keeper.release(&child));
            }
            SupervisorMessage::Stop { within, done } => {
                keeper.stop(within).await;
                let _nobody_waits = done.send(());
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        keeper: &mut Keeper,
    ) -> Result<(), ActorProcessingErr> {
        match keeper.observe(&event) {
            Ok(Some(restart)) => schedule(&myself, restart),
            Ok(None) => {}
            Err(spent) => {
                error!(supervisor = self.name, "supervisor failed");
                return Err(spent.into());
            }
        }
        Ok(())
    }
}

/// The root supervisor: what `app` builds, watches and stops.
#[derive(Clone, Debug)]
pub struct Tree {
    root: ActorCell,
    stopping: Arc<AtomicBool>,
}

impl Tree {
    /// Starts the root and, below it, `children` in order.
    ///
    /// # Errors
    /// The first child that does not start; everything started before it is ended.
    pub async fn grow(budget: Budget, children: Vec<Child>) -> Result<Self, SpawnErr> {
        let keeper = Keeper::new(budget, children);
        let (root, _ended) = Supervisor::spawn(None, Supervisor::new("root"), keeper).await?;
        Ok(Self { root: root.get_cell(), stopping: Arc::default() })
    }

    /// Resolves when the root has failed: the process is then to end with a non-zero code. Never resolves after
    /// [`Tree::stop`].
    pub async fn failed(&self) {
        let _no_timeout = self.root.wait(None).await;
        if self.stopping.load(Ordering::Acquire) {
            std::future::pending::<()>().await;
        }
    }

    /// Ends every actor gracefully, last started first, within one time-out.
    pub async fn stop(&self, within: Duration) {
        self.stopping.store(true, Ordering::Release);
        Supervisor::stop_cell(self.root.clone(), within).await;
    }

    /// Whether the root has ended.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.root.get_status() >= ractor::ActorStatus::Stopping
    }
}

#[cfg(test)]
mod tests;
