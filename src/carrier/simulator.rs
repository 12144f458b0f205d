//! The simulator: a carrier that needs no carrier, and the first implementation of [`Upstream`].
//!
//! What becomes of an attempt depends on the seed, the phone and the channel and on nothing else (not on the clock, the
//! order of attempts or the delivery), so that a run can be repeated. A number that ends in `0000NN` forces an outcome; the
//! table is in [`fate`]. Acks and receipts cost no task and no timer each: receipts wait in one heap behind one task.
//!
//! It never looks at the code, which is gone when `dispatch` returns. It ends with [`Upstream::shutdown`] or by being
//! dropped; receipts that wait then are lost, as with a carrier that went away.

pub mod fate;
mod post;
mod second;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::{BoxFuture, pending, ready};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::fate::{Ack, Fate};
use self::post::Post;
use self::second::Second;
use super::upstream::{Attempt, Capabilities, Health, Outcome, ReceiptSink, Upstream, UpstreamId};
use crate::config::SimulatorConfig;
use crate::domain::carrier::{Carrier, Channel, Route};
use crate::domain::delivery::CarrierStatus;
use crate::domain::ids::DeliveryId;
use crate::domain::phone::Phone;

/// One simulated carrier. Its script can be changed while it runs; its capabilities cannot.
pub struct Simulator {
    id: UpstreamId,
    capabilities: Capabilities,
    carrier: Carrier,
    /// The channel that the carrier prefers, which some forced outcomes tell from the fallback.
    first: Channel,
    script: ArcSwap<SimulatorConfig>,
    health: watch::Sender<Health>,
    second: Second,
    post: Arc<Post>,
    witness: Option<Witness>,
    /// The task that puts receipts into the sink.
    postman: Mutex<JoinSet<()>>,
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Simulator({}, {} receipts wait)", self.id.0, self.post.waiting())
    }
}

impl Simulator {
    /// Starts a simulated link to the carrier of `route`. Must be called inside a runtime.
    #[must_use]
    pub fn start(
        route: &Route,
        script: SimulatorConfig,
        sink: Arc<dyn ReceiptSink>,
        witness: Option<Witness>,
    ) -> Arc<Self> {
        let id = UpstreamId(format!("simulator-{}", route.carrier.as_str()).into());
        let post = Arc::new(Post::new(id.clone()));
        let mut postman = JoinSet::new();
        postman.spawn(Arc::clone(&post).deliver(sink));
        Arc::new(Self {
            capabilities: Capabilities {
                in_flight_max: script.in_flight_max,
                rate_per_second: (script.rate_per_second > 0).then_some(script.rate_per_second),
            },
            carrier: route.carrier.clone(),
            first: route.channels.first(),
            health: watch::Sender::new(health_of(&script)),
            second: Second::new(script.rate_per_second),
            script: ArcSwap::from_pointee(script),
            post,
            witness,
            postman: Mutex::new(postman),
            id,
        })
    }

    /// Changes the script for the attempts that start from now on.
    pub fn change(&self, change: impl Fn(&mut SimulatorConfig)) {
        self.script.rcu(|script| {
            let mut changed = SimulatorConfig::clone(script);
            change(&mut changed);
            changed
        });
        let health = health_of(&self.script.load());
        self.health.send_if_modified(|known| std::mem::replace(known, health) != health);
    }

    /// Receipts that wait for their instant or for a sink that takes them.
    #[must_use]
    pub fn receipts_waiting(&self) -> usize {
        self.post.waiting()
    }

    fn fate(&self, script: &SimulatorConfig, attempt: &Attempt, now: Instant) -> Fate {
        if script.link_down {
            return Fate::not_sent("link down");
        }
        if !self.second.allows(now) {
            return Fate::not_sent("throttled");
        }
        if script.hang {
            return Fate::silent();
        }
        let to_settle = attempt.settle_by.saturating_duration_since(now);
        fate::decide(script, &self.carrier, self.first, attempt.phone, attempt.channel, to_settle)
    }
}

fn health_of(script: &SimulatorConfig) -> Health {
    if script.link_down { Health::Down } else { Health::Up }
}

impl Upstream for Simulator {
    fn id(&self) -> &UpstreamId {
        &self.id
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    fn dispatch(&self, attempt: Attempt) -> BoxFuture<'static, Outcome> {
        let now = Instant::now();
        let Fate { ack, receipts } = self.fate(&self.script.load(), &attempt, now);
        if let Some(witness) = &self.witness {
            let Attempt { delivery, phone, channel, .. } = attempt;
            witness.see(Sighting { delivery, phone, channel, at: now, taken: ack.taken() });
        }
        for receipt in receipts.into_iter().flatten() {
            self.post.push(now + receipt.after, attempt.delivery, attempt.channel, receipt.state);
        }
        match ack {
            Ack::After(Duration::ZERO, outcome) => Box::pin(ready(outcome)),
            Ack::After(after, outcome) => Box::pin(async move {
                tokio::time::sleep_until(now + after).await;
                outcome
            }),
            Ack::Never => Box::pin(pending()),
            Ack::Panics => panic!("the simulator was told to panic"),
        }
    }

    fn shutdown(&self, _grace: Duration) -> BoxFuture<'static, ()> {
        self.change(|script| script.link_down = true);
        let mut postman = std::mem::take(&mut *self.postman.lock().unwrap_or_else(PoisonError::into_inner));
        Box::pin(async move { postman.shutdown().await })
    }
}

/// Sees every attempt that a simulator was handed; for the invariants that tests check. Clones see the same.
#[derive(Clone, Debug, Default)]
pub struct Witness(Arc<Mutex<Vec<Sighting>>>);

/// One attempt as the carrier saw it; never its code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sighting {
    pub delivery: DeliveryId,
    pub phone: Phone,
    pub channel: Channel,
    pub at: Instant,
    /// The carrier took it, or may have: the phone may ring.
    pub taken: bool,
}

impl Witness {
    /// Everything seen so far, in order.
    #[must_use]
    pub fn sightings(&self) -> Vec<Sighting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn see(&self, sighting: Sighting) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(sighting);
    }
}

fn status(text: &str) -> CarrierStatus {
    CarrierStatus::clean(text)
}

#[cfg(test)]
mod tests;
