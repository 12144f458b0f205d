//! A carrier that is not there: the first implementation of [`Upstream`], for the demo, the tests and rehearsals.
//!
//! What happens to an attempt is a pure function of the script's seed, the phone and the channel (`script`), so that a run can
//! be repeated whatever the scheduling. Receipts wait in one heap and are put into the sink by one task (`pump`), not by a
//! timer each. The code of an attempt is dropped with the attempt; the simulator never reads it.

mod pump;
mod script;
mod second;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

pub use script::{Ack, Delay, Plan, Planned, Script, plan};
pub use second::Second;

use super::upstream::{Attempt, Capabilities, Health, Outcome, ReceiptSink, ReceiptTrust, Upstream};
use crate::domain::carrier::Channel;
use crate::domain::delivery::CarrierStatus;
use crate::domain::ids::DeliveryId;
use crate::domain::phone::Phone;
use crate::domain::reference::UpstreamId;
use pump::Pump;

/// One attempt as the carrier saw it, for tests that judge what left the house.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sighting {
    pub delivery: DeliveryId,
    pub phone: Phone,
    pub channel: Channel,
    pub at: Instant,
    /// The carrier took it, or may have.
    pub taken: bool,
}

/// Is told of every attempt.
pub type Witness = Arc<dyn Fn(Sighting) + Send + Sync>;

/// Turns the link on and off, lets it hang and changes its script while the house runs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Controls {
    link: watch::Sender<Health>,
    hanging: Arc<AtomicBool>,
    script: Arc<ArcSwap<Script>>,
}

impl Controls {
    /// Cuts or mends the link.
    pub fn set_link(&self, health: Health) {
        self.link.send_replace(health);
    }

    /// Has every further attempt wait for an answer that never comes.
    pub fn set_hanging(&self, hanging: bool) {
        self.hanging.store(hanging, Ordering::Relaxed);
    }

    /// Changes the delays and shares of further attempts. What an upstream says of itself at its start (its rate and its
    /// window) stays, and so do the link and whether it hangs.
    pub fn set_script(&self, script: Script) {
        self.script.store(Arc::new(script));
    }
}

/// A simulated carrier; cheap to clone.
#[derive(Clone)]
pub struct Simulator {
    inner: Arc<Inner>,
}

struct Inner {
    id: UpstreamId,
    capabilities: Capabilities,
    controls: Controls,
    /// The carrier's own limit: what comes faster is thrown back.
    limit: Second,
    in_flight: AtomicUsize,
    pump: Pump,
    tasks: TaskTracker,
    witness: Option<Witness>,
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Simulator({})", self.inner.id.0)
    }
}

impl Simulator {
    /// Starts a carrier named `name` that reports to `sink`.
    #[must_use]
    pub fn start(name: &str, script: Script, sink: Arc<dyn ReceiptSink>, witness: Option<Witness>) -> Self {
        let id = UpstreamId(name.into());
        let limit = script.rate_per_second;
        let in_flight_max = script.in_flight_max;
        let controls = Controls {
            link: watch::Sender::new(if script.link_down { Health::Down } else { Health::Up }),
            hanging: Arc::new(AtomicBool::new(script.hang)),
            script: Arc::new(ArcSwap::from_pointee(script)),
        };
        let pump = Pump::new(id.clone());
        let tasks = TaskTracker::new();
        tasks.spawn(pump.clone().run(sink));
        let inner = Inner {
            capabilities: Capabilities {
                in_flight_max,
                rate_per_second: limit.map(std::num::NonZeroU32::get),
                per_phone_gap: None,
                receipts: ReceiptTrust::Handset,
            },
            limit: Second::new(limit),
            in_flight: AtomicUsize::new(0),
            id,
            controls,
            pump,
            tasks,
            witness,
        };
        Self { inner: Arc::new(inner) }
    }

    #[must_use]
    pub fn controls(&self) -> Controls {
        self.inner.controls.clone()
    }

    /// Receipts that have not been reported yet.
    #[must_use]
    pub fn receipts_waiting(&self) -> usize {
        self.inner.pump.waiting()
    }
}

impl Inner {
    /// Why the link itself does not take an attempt now.
    fn not_sent(&self) -> Option<&'static str> {
        if *self.controls.link.borrow() != Health::Up {
            return Some("link down");
        }
        if self.in_flight.load(Ordering::Relaxed) >= self.capabilities.in_flight_max {
            return Some("window full");
        }
        if self.limit.allows(Instant::now()) { None } else { Some("throttled") }
    }

    fn see(&self, attempt: &Attempt, taken: bool) {
        if let Some(witness) = &self.witness {
            let Attempt { delivery, phone, channel, .. } = *attempt;
            witness(Sighting { delivery, phone, channel, at: Instant::now(), taken });
        }
    }
}

/// One attempt between its start and its outcome.
struct InFlight(Arc<Inner>);

impl InFlight {
    fn enter(inner: &Arc<Inner>) -> Self {
        inner.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(inner))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Upstream for Simulator {
    fn id(&self) -> &UpstreamId {
        &self.inner.id
    }

    fn capabilities(&self) -> &Capabilities {
        &self.inner.capabilities
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.inner.controls.link.subscribe()
    }

    fn dispatch(&self, attempt: Attempt) -> BoxFuture<'static, Outcome> {
        let inner = &self.inner;
        if let Some(why) = inner.not_sent() {
            inner.see(&attempt, false);
            return future::ready(Outcome::NotSent { status: CarrierStatus::clean(why) }).boxed();
        }
        let in_flight = InFlight::enter(inner);
        if inner.controls.hanging.load(Ordering::Relaxed) {
            inner.see(&attempt, true);
            return never(in_flight).boxed();
        }
        let plan = plan(&inner.controls.script.load(), attempt.phone, attempt.channel, attempt.settle_by);
        inner.see(&attempt, plan.ack.taken());
        let now = Instant::now();
        for receipt in plan.receipts.into_iter().flatten() {
            inner.pump.schedule(now + receipt.after, attempt.delivery, attempt.channel, receipt.state, receipt.status);
        }
        match plan.ack {
            Ack::Never => never(in_flight).boxed(),
            Ack::Panics => panic!("the number told the simulated link to panic"),
            Ack::After(wait, outcome) if wait.is_zero() => future::ready(outcome).boxed(),
            Ack::After(wait, outcome) => async move {
                tokio::time::sleep(wait).await;
                drop(in_flight);
                outcome
            }
            .boxed(),
        }
    }

    fn shutdown(&self, grace: Duration) -> BoxFuture<'static, ()> {
        let Controls { link, .. } = &self.inner.controls;
        link.send_replace(Health::Down);
        self.inner.pump.stop();
        let tasks = self.inner.tasks.clone();
        async move {
            tasks.close();
            // What was not reported by then is a lost receipt: the settle clock ends those deliveries.
            let _ended_or_out_of_time = tokio::time::timeout(grace, tasks.wait()).await;
        }
        .boxed()
    }
}

async fn never(in_flight: InFlight) -> Outcome {
    let _held = in_flight;
    future::pending().await
}

#[cfg(test)]
mod tests;
