//! Notify alone, with a scripted database, scripted receivers and paused time.

mod faults;
mod receivers;
mod script;
mod sending;

use script::{START, Script};

use super::*;
use crate::actors::supervise::{Budget, Tree};
use crate::domain::webhook::Outcome;

/// Longer than any test: only who is woken is claimed for.
const NO_POLL: Duration = Duration::from_secs(24 * 60 * 60);
const POLL: Duration = Duration::from_secs(1);
const POSTS_MAX: usize = 40;
const PER_ENDPOINT: usize = 10;

struct House {
    notify: Notify,
    script: Script,
    tree: Tree,
    tasks: Tasks,
}

impl House {
    async fn new(poll_every: Duration) -> Self {
        let (script, tasks, desk) = (Script::default(), Tasks::new(), Slot::vacant());
        let (claims, results) = (script.clone(), script.clone());
        let office = Office {
            ways: Arc::new(script.clone()),
            keyring: Arc::new(script::keyring()),
            clock: DatabaseClock::new(START),
            desk: desk.clone(),
        };
        let parts = Parts {
            posts_max: POSTS_MAX,
            posts_per_endpoint: PER_ENDPOINT,
            poll_every,
            outbox: Box::new(move || Box::new(claims.clone())),
            book: Box::new(move || Box::new(results.clone())),
            tasks: tasks.clone(),
            posts: Handle::current(),
            office: Arc::new(office),
        };
        let (notify, branch) = Notify::from_parts(desk, parts);
        let tree = Tree::grow(Budget::default(), vec![branch]).await.expect("starts");
        Self { notify, script, tree, tasks }
    }

    /// Queues `count` events for `endpoint`, as another node would.
    fn queue(&self, endpoint: EndpointId, count: u32) {
        self.script.with(|world| *world.queued.entry(endpoint).or_default() += count);
    }

    /// The same, and says so.
    fn tell(&self, endpoint: EndpointId, count: u32) {
        self.queue(endpoint, count);
        self.notify.wake(vec![endpoint]);
    }

    fn behave(&self, endpoint: EndpointId, manner: receivers::Manner) {
        self.script.with(|world| world.manners.insert(endpoint, manner));
    }

    fn accepted(&self, endpoint: EndpointId) -> usize {
        self.script.results(endpoint, Outcome::Accepted).len()
    }

    fn failed(&self, endpoint: EndpointId) -> usize {
        self.script.results(endpoint, Outcome::Failed).len()
    }
}

fn endpoint(number: u8) -> EndpointId {
    EndpointId::from_bytes([number; 16])
}

async fn pass(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}
