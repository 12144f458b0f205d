//! Group commit with a scripted committer: order, conflicts, panics, and a property over all of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use ractor::{Actor, ActorProcessingErr};
use tokio::sync::{Semaphore, oneshot};

use super::*;
use crate::actors::supervise::{Budget, Child, Slot, Tree};

#[derive(Debug)]
struct Order {
    number: usize,
    names: [Option<u64>; 2],
    reply: oneshot::Sender<usize>,
}

impl Item for Order {
    fn conflicts(&self) -> [Option<u64>; 2] {
        self.names
    }
}

/// Commits when the test lets it; every batch is written down.
#[derive(Clone)]
struct Scripted {
    gate: Arc<Semaphore>,
    batches: Arc<Mutex<Vec<Vec<usize>>>>,
    panic_at: Option<usize>,
}

impl Committer for Scripted {
    type Item = Order;

    async fn commit(&mut self, items: Vec<Order>) -> Done {
        self.gate.acquire().await.expect("never closed").forget();
        let numbers: Vec<usize> = items.iter().map(|order| order.number).collect();
        self.batches.lock().expect("no panic holds it").push(numbers.clone());
        assert!(!self.panic_at.is_some_and(|bad| numbers.contains(&bad)), "on purpose");
        let mut names = HashSet::new();
        for name in items.iter().flat_map(|order| order.names).flatten() {
            assert!(names.insert(name), "a batch holds no conflict");
        }
        let answers = Box::new(|| {
            for order in items {
                let _gone = order.reply.send(order.number);
            }
        });
        Done { answers, rest: Duration::ZERO }
    }
}

enum Message {
    Add(Order),
    Returned(Option<Scripted>),
    Panic,
}

struct Shard(Tasks);

impl Actor for Shard {
    type Msg = Message;
    type State = GroupCommit<Scripted>;
    type Arguments = (Scripted, usize);

    async fn pre_start(
        &self,
        _: ActorRef<Message>,
        (committer, batch_max): Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(GroupCommit::new(batch_max, move || committer.clone()))
    }

    async fn handle(
        &self,
        shard: ActorRef<Message>,
        message: Message,
        group: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Add(order) => group.push(order),
            Message::Returned(committer) => group.returned(committer),
            Message::Panic => panic!("on purpose"),
        }
        group.start(&self.0, &shard, Message::Returned);
        Ok(())
    }
}

struct Bench {
    slot: Slot<Message>,
    script: Scripted,
    tasks: Tasks,
    tree: Tree,
}

impl Bench {
    async fn new(batch_max: usize, panic_at: Option<usize>) -> Self {
        let script = Scripted { gate: Arc::new(Semaphore::new(0)), batches: Arc::default(), panic_at };
        let (slot, tasks) = (Slot::vacant(), Tasks::new());
        let (given, spawner) = (script.clone(), tasks.clone());
        let child = Child::actor("shard", &slot, move || (Shard(spawner.clone()), (given.clone(), batch_max)));
        let tree = Tree::grow(Budget::default(), vec![child]).await.expect("starts");
        Self { slot, script, tasks, tree }
    }

    fn add(&self, number: usize, names: [Option<u64>; 2]) -> oneshot::Receiver<usize> {
        let (reply, answer) = oneshot::channel();
        assert!(self.slot.cast(Message::Add(Order { number, names, reply })).is_ok());
        answer
    }

    fn batches(&self) -> Vec<Vec<usize>> {
        self.script.batches.lock().expect("no panic holds it").clone()
    }
}

/// Lets everything that can run now run.
async fn settle_down() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lone_item_never_waits_and_a_crowd_shares_the_next_commit() {
    let bench = Bench::new(4, None).await;
    let mut answers = vec![bench.add(0, [None; 2])];
    settle_down().await;
    answers.extend((1..=6).map(|number| bench.add(number, [None; 2])));
    settle_down().await;
    bench.script.gate.add_permits(10);
    for (number, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.await, Ok(number));
    }
    assert_eq!(bench.batches(), [vec![0], vec![1, 2, 3, 4], vec![5, 6]]);
}

#[tokio::test(start_paused = true)]
async fn a_conflict_waits_for_the_next_batch_and_is_not_overtaken() {
    let bench = Bench::new(8, None).await;
    let (phone, key) = (Some(1), Some(2));
    let first = bench.add(0, [None; 2]);
    settle_down().await;
    let answers = [
        bench.add(1, [phone, None]),
        bench.add(2, [phone, key]),
        bench.add(3, [None, key]),
        bench.add(4, [Some(9), None]),
    ];
    bench.script.gate.add_permits(10);
    assert_eq!(first.await, Ok(0));
    for (at, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.await, Ok(at + 1));
    }
    assert_eq!(bench.batches(), [vec![0], vec![1, 4], vec![2], vec![3]]);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_panics_drops_its_items_and_nobody_elses() {
    let bench = Bench::new(8, Some(0)).await;
    let lost = bench.add(0, [None; 2]);
    settle_down().await;
    let next = bench.add(1, [None; 2]);
    bench.script.gate.add_permits(10);
    assert!(lost.await.is_err());
    assert_eq!(next.await, Ok(1), "the shard has a new committer");
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_panics_starts_again_while_its_commit_goes_on() {
    let bench = Bench::new(8, None).await;
    let under_way = bench.add(0, [None; 2]);
    settle_down().await;
    let gathering = bench.add(1, [None; 2]);
    assert!(bench.slot.cast(Message::Panic).is_ok());
    assert!(gathering.await.is_err(), "what gathered is lost with the mailbox");
    bench.script.gate.add_permits(10);
    assert_eq!(under_way.await, Ok(0), "what was being committed is answered");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.add(2, [None; 2]).await, Ok(2));
    assert!(bench.tasks.idle(Duration::from_secs(1)).await);
    bench.tree.stop(Duration::from_secs(1)).await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_item_is_answered_once_in_order_of_its_names(
        names in prop::collection::vec((prop::option::of(0..6_u64), prop::option::of(10..14_u64)), 1..60),
        batch_max in 1..9_usize,
        pauses in prop::collection::vec(any::<bool>(), 60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let bench = Bench::new(batch_max, None).await;
            let mut answers = Vec::new();
            for (number, (phone, key)) in names.iter().enumerate() {
                answers.push(bench.add(number, [*phone, *key]));
                if pauses[number] {
                    bench.script.gate.add_permits(1);
                    settle_down().await;
                }
            }
            bench.script.gate.add_permits(names.len());
            for (number, answer) in answers.into_iter().enumerate() {
                assert_eq!(answer.await, Ok(number));
            }
            let batches = bench.batches();
            let mut batch_of = HashMap::new();
            for (at, batch) in batches.iter().enumerate() {
                assert!(batch.len() <= batch_max && !batch.is_empty());
                for number in batch {
                    assert!(batch_of.insert(*number, at).is_none(), "no item is in two batches");
                }
            }
            assert_eq!(batch_of.len(), names.len());
            for (younger, a) in names.iter().enumerate() {
                for (older, b) in names[..younger].iter().enumerate() {
                    let conflict = (a.0.is_some() && a.0 == b.0) || (a.1.is_some() && a.1 == b.1);
                    assert!(!conflict || batch_of[&older] < batch_of[&younger]);
                }
            }
        });
    }
}
