//! The generic supervisor and the root of the whole tree.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::error;

use super::keeper::{Budget, Child, Keeper, schedule};

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
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::actors::supervise::{Branch, Slot};

    /// Remembers nothing, panics on demand, tells when it ends.
    struct Probe;

    enum ProbeMessage {
        Panic,
        Fail,
        Ping(oneshot::Sender<u64>),
        Finish(oneshot::Sender<()>),
    }

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<String>>>);

    impl Log {
        fn note(&self, text: impl Into<String>) {
            self.0.lock().expect("no panic holds it").push(text.into());
        }

        fn take(&self) -> Vec<String> {
            std::mem::take(&mut *self.0.lock().expect("no panic holds it"))
        }
    }

    impl Actor for Probe {
        type Msg = ProbeMessage;
        type State = (Log, &'static str, u64);
        type Arguments = (Log, &'static str, u64);

        async fn pre_start(
            &self,
            _: ActorRef<ProbeMessage>,
            arguments: Self::Arguments,
        ) -> Result<Self::State, ActorProcessingErr> {
            Ok(arguments)
        }

        async fn post_stop(
            &self,
            _: ActorRef<ProbeMessage>,
            state: &mut Self::State,
        ) -> Result<(), ActorProcessingErr> {
            state.0.note(format!("{} ended", state.1));
            Ok(())
        }

        async fn handle(
            &self,
            _: ActorRef<ProbeMessage>,
            message: ProbeMessage,
            state: &mut Self::State,
        ) -> Result<(), ActorProcessingErr> {
            match message {
                ProbeMessage::Panic => panic!("on purpose"),
                ProbeMessage::Fail => return Err("on purpose".into()),
                ProbeMessage::Ping(reply) => drop(reply.send(state.2)),
                ProbeMessage::Finish(done) => {
                    state.0.note(format!("{} finished", state.1));
                    let _nobody_waits = done.send(());
                }
            }
            Ok(())
        }
    }

    fn probe(name: &'static str, slot: &Slot<ProbeMessage>, log: &Log) -> Child {
        let (log, births) = (log.clone(), Arc::new(Mutex::new(0)));
        Child::actor(name, slot, move || {
            let mut births = births.lock().expect("no panic holds it");
            *births += 1;
            (Probe, (log.clone(), name, *births))
        })
    }

    async fn ping(slot: &Slot<ProbeMessage>) -> Option<u64> {
        let (reply, answer) = oneshot::channel();
        slot.cast(ProbeMessage::Ping(reply)).ok()?;
        answer.await.ok()
    }

    async fn ping_until(slot: &Slot<ProbeMessage>, birth: u64) {
        tokio::time::timeout(Duration::from_secs(60), async {
            while ping(slot).await != Some(birth) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .expect("the child starts again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_child_that_panics_or_fails_starts_again_behind_the_same_handle() {
        let (slot, log) = (Slot::vacant(), Log::default());
        assert!(slot.cast(ProbeMessage::Panic).is_err(), "nobody lives in a vacant slot");
        let tree = Tree::grow(Budget::default(), vec![probe("a", &slot, &log)]).await.expect("starts");
        assert_eq!(ping(&slot).await, Some(1));
        assert!(slot.cast(ProbeMessage::Panic).is_ok());
        ping_until(&slot, 2).await;
        assert!(slot.cast(ProbeMessage::Fail).is_ok());
        ping_until(&slot, 3).await;
        assert!(!tree.ended());
        tree.stop(Duration::from_secs(5)).await;
        assert!(tree.ended());
        assert!(slot.cast(ProbeMessage::Panic).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_spent_budget_fails_upward_until_the_root_fails() {
        let (slot, log) = (Slot::vacant(), Log::default());
        let budget = Budget { restarts_max: 2, ..Budget::default() };
        let branch = Child::supervisor("branch", budget, vec![probe("leaf", &slot, &log)]);
        let tree = Tree::grow(budget, vec![branch]).await.expect("starts");
        // Three lives per branch, three branches.
        for birth in 1..=9 {
            ping_until(&slot, birth).await;
            assert!(!tree.ended());
            assert!(slot.cast(ProbeMessage::Panic).is_ok());
        }
        tokio::time::timeout(Duration::from_secs(60), tree.failed()).await.expect("the root fails");
    }

    #[tokio::test(start_paused = true)]
    async fn old_restarts_are_forgiven() {
        let (slot, log) = (Slot::vacant(), Log::default());
        let budget = Budget { restarts_max: 1, ..Budget::default() };
        let tree = Tree::grow(budget, vec![probe("a", &slot, &log)]).await.expect("starts");
        for birth in 1..=4 {
            ping_until(&slot, birth).await;
            tokio::time::advance(budget.within + Duration::from_secs(1)).await;
            assert!(slot.cast(ProbeMessage::Panic).is_ok());
        }
        ping_until(&slot, 5).await;
        assert!(!tree.ended());
        tree.stop(Duration::from_secs(5)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_graceful_stop_ends_the_last_started_first_and_kills_nobody() {
        let (log, slots) = (Log::default(), [Slot::vacant(), Slot::vacant(), Slot::vacant()]);
        let leaf = |name, at: usize| probe(name, &slots[at], &log).finishing(ProbeMessage::Finish);
        let branch = Child::supervisor("branch", Budget::default(), vec![leaf("b", 1), leaf("c", 2)]);
        let tree = Tree::grow(Budget::default(), vec![leaf("a", 0), branch]).await.expect("starts");
        tree.stop(Duration::from_secs(5)).await;
        assert_eq!(log.take(), ["c finished", "c ended", "b finished", "b ended", "a finished", "a ended"]);
        let never = tokio::time::timeout(Duration::from_secs(60), tree.failed()).await;
        assert!(never.is_err(), "a stop that was asked for is no failure");
    }

    #[tokio::test(start_paused = true)]
    async fn children_of_a_branch_come_and_go_and_those_that_stay_are_kept_alive() {
        let (log, slots) = (Log::default(), [Slot::vacant(), Slot::vacant(), Slot::vacant()]);
        let leaf = |name, at: usize| probe(name, &slots[at], &log).finishing(ProbeMessage::Finish);
        let (first, second) = (leaf("first", 0), leaf("second", 1));
        let branch = Branch::new(vec![first.clone()]);
        let budget = Budget { restarts_max: 3, ..Budget::default() };
        let tree = Tree::grow(budget, vec![Child::branch("branch", budget, &branch)]).await.expect("starts");
        branch.start(second.clone()).await.expect("starts");
        assert_eq!(ping(&slots[1]).await, Some(1));
        assert!(slots[1].cast(ProbeMessage::Panic).is_ok());
        ping_until(&slots[1], 2).await;

        branch.end(&first, Duration::from_secs(5)).await;
        assert_eq!(log.take(), ["first finished", "first ended"]);
        assert!(slots[0].cast(ProbeMessage::Panic).is_err());
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(ping(&slots[0]).await, None, "what was ended is not started again");

        // The branch fails and is started again: with the children that it has now, added ones too.
        for birth in 3..=4 {
            assert!(slots[1].cast(ProbeMessage::Panic).is_ok());
            ping_until(&slots[1], birth).await;
        }
        assert!(slots[1].cast(ProbeMessage::Panic).is_ok());
        ping_until(&slots[1], 5).await;
        assert_eq!(ping(&slots[0]).await, None);
        branch.start(leaf("third", 2)).await.expect("starts");
        tree.stop(Duration::from_secs(5)).await;
        assert_eq!(log.take(), ["third finished", "third ended", "second finished", "second ended"]);
    }
}
