//! Group commit: what gathers while a transaction is under way goes into the next one.
//!
//! It owns the order of a shard's items and the one committer of that shard. There is no timer: the next commit starts
//! the moment the last one has returned, so that a lone item never waits and a crowd shares its transaction. A batch
//! never holds two items with the same conflict key; the second waits for the next batch.
//!
//! It never knows what an item means: the committer answers the callers through what travels in the items. A commit that
//! panics costs the committer, which is made anew; the items answer for themselves when they are dropped.

use std::collections::{HashSet, VecDeque};
use std::future::Future;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::OnceLock;
use std::time::Duration;

use ractor::{ActorRef, Message};
use tracing::error;

use crate::actors::supervise::Tasks;

/// Tells the waiting callers what became of their items.
pub(super) type Answers = Box<dyn FnOnce() + Send>;

/// What a committer returns: how to answer, and how long to rest before it is used again.
pub(super) struct Done {
    pub(super) answers: Answers,
    /// Zero but after a failure, so that a database that is away is not hammered.
    pub(super) rest: Duration,
}

/// Something that can be committed together with others.
pub(super) trait Item: Send + 'static {
    /// Names that no other item of the same batch may bear. A chance collision only delays an item by one batch.
    fn conflicts(&self) -> [Option<u64>; 2];
}

/// Commits batches, one after the other; the owner of a shard's connection.
pub(super) trait Committer: Send + 'static {
    type Item: Item;

    /// Commits `items`, which are never empty and hold no conflict. The callers are answered after the next batch has
    /// started, so that the database does not wait for their wake-ups.
    fn commit(&mut self, items: Vec<Self::Item>) -> impl Future<Output = Done> + Send;
}

/// The gathering items of one shard and its committer while it is idle.
pub(super) struct GroupCommit<C: Committer> {
    waiting: VecDeque<C::Item>,
    claimed: HashSet<u64>,
    idle: Option<C>,
    make: Box<dyn Fn() -> C + Send>,
    batch_max: usize,
}

impl<C: Committer> GroupCommit<C> {
    /// `make` gives a committer now and after each one that was lost to a panic.
    pub(super) fn new(batch_max: usize, make: impl Fn() -> C + Send + 'static) -> Self {
        assert!(batch_max > 0, "a batch holds at least one item");
        Self { waiting: VecDeque::new(), claimed: HashSet::new(), idle: Some(make()), make: Box::new(make), batch_max }
    }

    pub(super) fn push(&mut self, item: C::Item) {
        self.waiting.push_back(item);
    }

    /// Items that gather; those of the commit under way are not among them.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing waits and no commit is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.idle.is_some()
    }

    /// Takes the committer back after a commit; `None` if it was lost.
    pub(super) fn returned(&mut self, committer: Option<C>) {
        self.idle = Some(committer.unwrap_or_else(&self.make));
    }

    /// Starts the next commit if the committer is idle and something waits. `back` makes the message with which the
    /// committer returns to its shard, which then calls [`GroupCommit::returned`] and this again.
    pub(super) fn start<M: Message>(&mut self, tasks: &Tasks, shard: &ActorRef<M>, back: fn(Option<C>) -> M) {
        if self.waiting.is_empty() {
            return;
        }
        let Some(mut committer) = self.idle.take() else {
            return;
        };
        let items = self.gather();
        let lease = Lease { committer: None, shard: shard.clone(), back };
        tasks.spawn(async move {
            let done = committer.commit(items).await;
            if done.rest.is_zero() {
                lease.give_back(committer);
                (done.answers)();
            } else {
                (done.answers)();
                tokio::time::sleep(done.rest).await;
                lease.give_back(committer);
            }
        });
    }

    /// The next batch: the oldest items of which no two conflict. An item that is passed over holds its names, so that
    /// none of them is overtaken by a younger item.
    fn gather(&mut self) -> Vec<C::Item> {
        self.claimed.clear();
        let mut batch = Vec::with_capacity(self.waiting.len().min(self.batch_max));
        let mut passed_over = Vec::new();
        while batch.len() < self.batch_max {
            let Some(item) = self.waiting.pop_front() else {
                break;
            };
            let mut free = true;
            for name in item.conflicts().into_iter().flatten() {
                free &= self.claimed.insert(name);
            }
            if free { batch.push(item) } else { passed_over.push(item) }
        }
        while let Some(item) = passed_over.pop() {
            self.waiting.push_front(item);
        }
        batch
    }
}

/// Gives the committer back to its shard however the commit ends.
struct Lease<C, M: Message> {
    committer: Option<C>,
    shard: ActorRef<M>,
    back: fn(Option<C>) -> M,
}

impl<C, M: Message> Lease<C, M> {
    fn give_back(mut self, committer: C) {
        self.committer = Some(committer);
    }
}

impl<C, M: Message> Drop for Lease<C, M> {
    fn drop(&mut self) {
        if self.committer.is_none() {
            error!("a commit ended without returning its committer");
        }
        // A shard that has ended meanwhile has a successor with a committer of its own.
        let _shard_has_ended = self.shard.send_message((self.back)(self.committer.take()));
    }
}

/// The conflict key of `name` among names of one `kind`. Keyed per process, so that nobody outside can make names collide.
pub(super) fn conflict_key(kind: u8, name: impl Hash) -> u64 {
    static KEYED: OnceLock<RandomState> = OnceLock::new();
    KEYED.get_or_init(RandomState::new).hash_one((kind, name))
}

#[cfg(test)]
mod tests;
