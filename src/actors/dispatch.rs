//! Dispatch: from a durable charge to a carrier's wire, in time or not at all.
//!
//! It owns the order in which deliveries leave: places reserved before the charge, one queue per carrier, fairness between
//! accounts, each link's pace, window and breaker, and the second channel after a definite failure. What cannot leave in
//! time is settled and refunded, never sent late; an ambiguous attempt is never repeated on its channel.
//!
//! It ends by draining: queued jobs leave while there is time, the rest is settled, then the links are closed.

mod attempt;
mod breaker;
mod drain;
mod ending;
mod fair;
mod held;
mod job;
mod lane;
mod links;
mod meters;
mod neighbours;
mod parts;
mod promises;
mod queue;
mod relay;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant;
use tracing::error;

use self::ending::Owed;
pub use self::job::{DispatchAnswer, Fallback, Job};
pub use self::lane::{NoRouteNow, Slot};
pub use self::neighbours::{Beside, Neighbours};
use self::parts::{Parts, Times};
use self::queue::{Message, Queue};
use self::relay::Relay;
use super::supervise::{self, Budget, Child};
use crate::carrier::upstream::{Health, Upstream};
use crate::config::DispatchConfig;
use crate::domain::carrier::{Carrier, Channels};
use crate::domain::ids::AccountId;
use crate::telemetry::names;

/// The handle. Cheap to clone.
#[derive(Clone)]
pub struct Dispatch {
    queues: Arc<HashMap<Carrier, Arc<Parts>>>,
    relay: supervise::Slot<relay::Message>,
}

impl fmt::Debug for Dispatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dispatch({} carriers)", self.queues.len())
    }
}

/// A carrier and every way to it.
pub type CarrierLinks = (Carrier, Vec<Arc<dyn Upstream>>);

impl Dispatch {
    /// Makes the handle and the branch of the tree that it speaks to. `fallbacks` is the other end of what tracking was
    /// given; at a graceful stop, jobs may still leave for `drain_within`.
    #[must_use]
    pub fn new(
        config: &DispatchConfig,
        drain_within: Duration,
        carriers: Vec<CarrierLinks>,
        neighbours: Arc<dyn Neighbours>,
        fallbacks: mpsc::Receiver<Box<Fallback>>,
    ) -> (Self, Child) {
        let times = Times::new(config, drain_within);
        let parts = carriers.into_iter().map(move |(carrier, upstreams)| {
            let parts = Parts::new(config, times, carrier.clone(), upstreams, Arc::clone(&neighbours));
            (carrier, Arc::new(parts))
        });
        let dispatch = Self { queues: Arc::new(parts.collect()), relay: supervise::Slot::vacant() };
        let returned = Arc::new(Mutex::new(fallbacks));
        let relayed = dispatch.clone();
        let relay =
            Child::actor("dispatch relay", &dispatch.relay, move || (Relay, (relayed.clone(), Arc::clone(&returned))));
        let queues = dispatch.queues.values().map(|parts| {
            let (parts, mailbox) = (Arc::clone(parts), &parts.mailbox);
            Child::actor("dispatch queue", mailbox, move || (Queue, Arc::clone(&parts))).finishing(Message::Finish)
        });
        let children = std::iter::once(relay).chain(queues).collect();
        (dispatch, Child::supervisor("dispatch", Budget::default(), children))
    }

    /// Takes a place in the carrier's queue, before anything is charged.
    ///
    /// # Errors
    /// [`NoRouteNow`] if the queue is full, the account's half of it is, or no link takes work for now.
    pub fn reserve(&self, carrier: &Carrier, account: AccountId) -> Result<Slot, NoRouteNow> {
        match self.queues.get(carrier) {
            Some(parts) => parts.lane.reserve(account),
            None => Err(NoRouteNow { retry_after: Duration::from_secs(1) }),
        }
    }

    /// Hands over a charged job. It leaves in time or is settled; its caller is answered either way.
    pub fn enqueue(&self, job: Job) {
        let Some(parts) = self.queues.get(&job.route.carrier) else {
            error!(carrier = job.route.carrier.as_str(), "no queue for a reserved slot");
            return;
        };
        let owed = Owed::new(job, parts.times.within, Arc::clone(&parts.ender));
        // If nobody is alive to take it, it is settled by being dropped.
        let _dropped = parts.mailbox.cast(Message::Enqueue(owed));
    }

    /// Slots that are reserved or taken now, over all carriers.
    #[must_use]
    pub fn slots_taken(&self) -> u32 {
        self.queues.values().map(|parts| parts.lane.taken()).sum()
    }

    /// Whether some link of some carrier is up.
    #[must_use]
    pub fn any_link_up(&self) -> bool {
        let mut links = self.queues.values().flat_map(|parts| &parts.links);
        links.any(|link| *link.upstream.health().borrow() == Health::Up)
    }

    /// Takes back a delivery whose first channel failed by receipt, unless its refusal has been taken for the same thing.
    fn fall_back(&self, fallback: Fallback) {
        let Some(parts) = self.queues.get(&fallback.route.carrier).filter(|_| fallback.claim.take()) else {
            return;
        };
        let job = Job {
            delivery: fallback.delivery,
            account: fallback.account,
            phone: fallback.phone,
            phone_key: fallback.phone_key,
            code: fallback.code,
            route: fallback.route,
            channels: Channels::only(fallback.channel),
            slot: parts.lane.occupy(fallback.account),
            not_before: Some(Instant::now()),
            claimed_at: fallback.claimed_at,
            settle_by: fallback.settle_by,
            answer: None,
            window_kept: true,
        };
        counter!(names::FALLBACKS, "carrier" => parts.carrier.as_str().to_owned()).increment(1);
        self.enqueue(job);
    }
}

#[cfg(test)]
mod tests;
