//! Notify: what ended is told to its account's webhook endpoints, once.
//!
//! It owns how many POSTs are under way, of whom, and the connections they use. The outbox decides what is sent: an event
//! leaves it in the transaction that writes its attempt down, and only after that commit is it POSTed, so that no crash sends
//! it twice; an attempt whose result nobody wrote shows as `unknown` and is never sent again by itself.
//!
//! One actor, the desk, for all endpoints. Senders are no actors of their own: an endpoint's state is a few numbers, which have
//! to be compared with everybody else's for each slot, and a POST owns a connection for as long as it takes: a task with it is
//! enough. POSTs run on the threads that serve requests, where TLS delays no batch.

mod claim;
mod desk;
mod lines;
mod outbox;
mod policy;
mod post;
mod recorder;
mod slots;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;

use self::desk::{Desk, Message};
use self::outbox::{Book, Outbox, StoreBook, StoreOutbox};
use self::post::Office;
use crate::actors::supervise::{Child, Slot, Tasks};
use crate::clock::DatabaseClock;
use crate::config::{WebhooksConfig, millis};
use crate::domain::ids::EndpointId;
use crate::domain::sealing::Keyring;
use crate::store::Store;
use crate::webhook::courier::Courier;

/// The handle. Cheap to clone.
#[derive(Clone)]
pub struct Notify {
    desk: Slot<Message>,
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Notify")
    }
}

/// What the desk is made with.
struct Parts {
    posts_max: usize,
    posts_per_endpoint: usize,
    poll_every: Duration,
    outbox: Box<dyn Fn() -> Box<dyn Outbox> + Send + Sync>,
    book: Box<dyn Fn() -> Box<dyn Book> + Send + Sync>,
    tasks: Tasks,
    /// Where POSTs run.
    posts: Handle,
    office: Arc<Office>,
}

impl Notify {
    /// Makes the handle and the branch of the tree that it speaks to. POSTs run on `posts`.
    #[must_use]
    pub fn new(
        config: &WebhooksConfig,
        store: &Store,
        keyring: Arc<Keyring>,
        courier: Courier,
        tasks: &Tasks,
        posts: Handle,
        clock: &DatabaseClock,
    ) -> (Self, Child) {
        let desk = Slot::vacant();
        let office =
            Office { ways: Arc::new(courier), keyring: Arc::clone(&keyring), clock: clock.clone(), desk: desk.clone() };
        let (claims, results) = (store.clone(), store.clone());
        let parts = Parts {
            posts_max: config.posts_max,
            posts_per_endpoint: config.posts_per_endpoint,
            poll_every: millis(config.poll_ms),
            outbox: Box::new(move || Box::new(StoreOutbox::new(&claims, &keyring))),
            book: Box::new(move || Box::new(StoreBook::new(&results))),
            tasks: tasks.clone(),
            posts,
            office: Arc::new(office),
        };
        Self::from_parts(desk, parts)
    }

    fn from_parts(desk: Slot<Message>, parts: Parts) -> (Self, Child) {
        let (parts, births) = (Arc::new(parts), AtomicU64::new(0));
        let branch =
            Child::actor("notify", &desk, move || (Desk, (Arc::clone(&parts), births.fetch_add(1, Ordering::Relaxed))));
        (Self { desk }, branch.finishing(Message::Finish))
    }

    /// Tells that events of `endpoints` have been queued. Never blocks; one that is lost is found by the next poll.
    pub fn wake(&self, endpoints: Vec<EndpointId>) {
        let _found_by_the_poll = self.desk.cast(Message::Wake(endpoints));
    }
}

#[cfg(test)]
mod tests;
