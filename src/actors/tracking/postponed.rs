//! Ends that would have had to wait for a row that another session holds: back to their shard in a moment.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::settler::{Ending, Reply};
use crate::actors::supervise::Tasks;

/// Before they are tried again.
const PAUSE: Duration = Duration::from_millis(100);

/// Gives ends back to their shard.
pub(super) type GiveBack = Arc<dyn Fn(Vec<Ending>) + Send + Sync>;

/// The ends of one shard that are on their way back to it. Clones are the same.
#[derive(Clone)]
pub(super) struct Postponed {
    count: Arc<AtomicUsize>,
    tasks: Tasks,
    give_back: GiveBack,
}

impl fmt::Debug for Postponed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Postponed({})", self.len())
    }
}

impl Postponed {
    pub(super) fn new(tasks: &Tasks, give_back: GiveBack) -> Self {
        Self { count: Arc::default(), tasks: tasks.clone(), give_back }
    }

    /// Counted before the committer returns to its shard, so that a shard that stops waits for them.
    pub(super) fn later(&self, mut ends: Vec<Ending>) {
        // A link that no longer waits reports its receipt again: a repeat that the delivery's life is not with would only add up.
        ends.retain(|end| end.life.is_some() || !matches!(&end.reply, Reply::Link(reply) if reply.is_closed()));
        if ends.is_empty() {
            return;
        }
        self.count.fetch_add(ends.len(), Ordering::Relaxed);
        let give_back = Arc::clone(&self.give_back);
        self.tasks.spawn(async move {
            tokio::time::sleep(PAUSE).await;
            give_back(ends);
        });
    }

    /// They are back.
    pub(super) fn returned(&self, ends: usize) {
        self.count.fetch_sub(ends, Ordering::Relaxed);
    }

    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}
