//! What the tree promises: whoever ends unasked starts again, a spent budget fails upward, a stop ends everybody in order.

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

    async fn post_stop(&self, _: ActorRef<ProbeMessage>, state: &mut Self::State) -> Result<(), ActorProcessingErr> {
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
