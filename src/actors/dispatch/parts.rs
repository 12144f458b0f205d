//! What outlives every incarnation of one carrier's queue: its places, its links, its mailbox, and the times it obeys.

use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio::time::Instant;

use super::attempt::Link;
use super::ending::Ender;
use super::lane::Lane;
use super::neighbours::Neighbours;
use super::queue::Message;
use crate::actors::supervise::{Slot, Tasks};
use crate::carrier::upstream::Upstream;
use crate::config::{DispatchConfig, millis};
use crate::domain::carrier::Carrier;
use crate::telemetry::names;

/// What every incarnation of one carrier's queue is made with.
pub(super) struct Parts {
    pub(super) carrier: Carrier,
    pub(super) lane: Arc<Lane>,
    pub(super) links: Vec<Arc<Link>>,
    pub(super) ender: Arc<Ender>,
    pub(super) mailbox: Slot<Message>,
    /// Attempts that await their outcome.
    pub(super) attempts: Tasks,
    pub(super) times: Times,
    pub(super) breaker_failures: u32,
}

/// The times of the configuration that a queue obeys.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) within: Duration,
    /// From the commit of the charge to the settle time.
    pub(super) settle_after: Duration,
    pub(super) attempt_needs: Duration,
    pub(super) attempt_timeout: Duration,
    pub(super) breaker_rest: Duration,
    /// At a graceful stop, how long queued jobs may still leave.
    pub(super) drain_within: Duration,
}

impl Parts {
    pub(super) fn new(
        config: &DispatchConfig,
        times: Times,
        carrier: Carrier,
        upstreams: Vec<Arc<dyn Upstream>>,
        neighbours: Arc<dyn Neighbours>,
    ) -> Self {
        let links: Vec<_> = upstreams.into_iter().map(|upstream| Arc::new(Link::new(upstream))).collect();
        // One link without a rate, and nothing but `queue_max` bounds the queue.
        let paces = links.iter().map(|link| link.pace.as_ref().map(|pace| pace.per_second()));
        let rate = paces.sum::<Option<u32>>();
        let lost = counter!(names::DISPATCH_LOST, "carrier" => carrier.as_str().to_owned());
        Self {
            lane: Arc::new(Lane::new(rate, times.within, config.queue_max, times.breaker_rest)),
            links,
            ender: Arc::new(Ender { neighbours, tasks: Tasks::new(), lost }),
            mailbox: Slot::vacant(),
            attempts: Tasks::new(),
            times,
            breaker_failures: config.breaker_failures,
            carrier,
        }
    }
}

impl Times {
    pub(super) fn new(config: &DispatchConfig, drain_within: Duration) -> Self {
        Self {
            within: millis(config.dispatch_within_ms),
            settle_after: millis(config.dispatch_within_ms + config.receipt_wait_ms),
            attempt_needs: millis(config.attempt_needs_ms),
            attempt_timeout: millis(config.attempt_timeout_ms),
            breaker_rest: millis(config.breaker_open_ms),
            drain_within,
        }
    }

    /// When the charge was committed, told from its settle time.
    pub(super) fn accepted_at(&self, settle_by: Instant) -> Instant {
        settle_by.checked_sub(self.settle_after).unwrap_or(settle_by)
    }
}
