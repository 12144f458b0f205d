//! What outlives every incarnation of one queue: its places, its links, its mailbox, and the times it obeys.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use metrics::counter;
use tokio::time::Instant;

use super::ending::Ender;
use super::lane::Lane;
use super::lanes::Lanes;
use super::link::Link;
use super::neighbours::Neighbours;
use super::plans::{Plan, Planned};
use super::queue::Message;
use super::sharing::Seat;
use super::speed::Speed;
use crate::actors::supervise::{Slot, Tasks};
use crate::config::{DispatchConfig, millis};
use crate::domain::carrier::{Carrier, Channel};
use crate::telemetry::names;

/// What every incarnation of one queue is made with.
pub(super) struct Parts {
    pub(super) carrier: Carrier,
    pub(super) channel: Channel,
    pub(super) lane: Arc<Lane>,
    pub(super) links: Vec<Member>,
    pub(super) ender: Arc<Ender>,
    pub(super) mailbox: Slot<Message>,
    /// Attempts that await their outcome.
    pub(super) attempts: Tasks,
    running: AtomicUsize,
    pub(super) times: Times,
    pub(super) breaker_failures: u32,
    /// Where jobs go that are not this queue's any more.
    pub(super) lanes: Weak<Lanes>,
}

/// A link as one queue uses it.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) link: Arc<Link>,
    pub(super) weight: u32,
    pub(super) seat: Seat,
    /// How many queues share the link.
    pub(super) shares: u32,
    /// What it took may go on to the other channel when it fails.
    pub(super) falls_back: bool,
}

impl Member {
    /// How fast jobs of this queue leave by it, while every other queue that shares it has something to send too.
    pub(super) fn speed(&self) -> Speed {
        self.link.speed().shared_by(self.shares)
    }
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

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parts({:?} {}, {:?})", self.carrier, self.channel.as_str(), self.lane)
    }
}

impl Parts {
    /// Takes a seat at every link of `plan`.
    pub(super) fn new(
        config: &DispatchConfig,
        times: Times,
        plan: Plan,
        neighbours: Arc<dyn Neighbours>,
        lanes: Weak<Lanes>,
    ) -> Self {
        let Plan { carrier, channel, links } = plan;
        let mailbox = Slot::vacant();
        let links = links.into_iter().map(|planned| {
            let woken: Slot<Message> = mailbox.clone();
            let seat = planned.link.join(Box::new(move || woken.cast(Message::Wake).is_ok()));
            let Planned { link, weight, shares, falls_back } = planned;
            Member { link, weight, seat, shares, falls_back }
        });
        let links: Vec<Member> = links.collect();
        let speed = links.iter().fold(Speed::default(), |sum, member| sum.and(member.speed()));
        let name = carrier.as_str().to_owned();
        let lost = counter!(names::DISPATCH_LOST, "carrier" => name, "channel" => channel.as_str());
        Self {
            lane: Arc::new(Lane::new(speed, times.within, config.queue_max, times.breaker_rest)),
            links,
            ender: Arc::new(Ender { neighbours, tasks: Tasks::new(), lost }),
            mailbox,
            attempts: Tasks::new(),
            running: AtomicUsize::new(0),
            times,
            breaker_failures: config.breaker_failures,
            carrier,
            channel,
            lanes,
        }
    }

    /// Whether it is what `plan` asks for.
    pub(super) fn follows(&self, plan: &Plan) -> bool {
        let same = |(own, planned): (&Member, &Planned)| {
            Arc::ptr_eq(&own.link, &planned.link)
                && (own.weight, own.shares, own.falls_back) == (planned.weight, planned.shares, planned.falls_back)
        };
        self.links.len() == plan.links.len() && self.links.iter().zip(&plan.links).all(same)
    }

    /// Leaves its links. Returns those that nobody uses any more.
    pub(super) fn give_up(&self) -> Vec<Arc<Link>> {
        let last = self.links.iter().filter(|member| member.link.leave(member.seat));
        last.map(|member| Arc::clone(&member.link)).collect()
    }

    /// Whether new orders of its carrier and channel go to another queue.
    pub(super) fn has_successor(&self) -> bool {
        let lanes = self.lanes.upgrade();
        lanes.is_some_and(|lanes| lanes.current().lane(&self.carrier, self.channel).is_some())
    }

    /// Has a link that nobody uses any more show nothing, unless another has its name.
    pub(super) fn forget(&self, unused: &Link) {
        let links = self.lanes.upgrade().map_or_else(Vec::new, |lanes| lanes.current().links());
        if !links.iter().any(|link| link.id() == unused.id()) {
            unused.hide();
        }
    }

    /// Attempts of this queue that await their outcome.
    pub(super) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// An attempt on the link `at` is under way; its place in the window is taken already.
    pub(super) fn depart(self: &Arc<Self>, at: usize) -> Departed {
        self.running.fetch_add(1, Ordering::Relaxed);
        Departed { parts: Arc::clone(self), at, heard: false }
    }
}

/// An attempt's place in a link's window, free again when it is dropped.
#[derive(Debug)]
pub(super) struct Departed {
    parts: Arc<Parts>,
    at: usize,
    heard: bool,
}

impl Departed {
    pub(super) fn link(&self) -> &Link {
        &self.parts.links[self.at].link
    }

    /// The queue itself hears of the outcome, and looks for what may leave now.
    pub(super) fn heard(mut self) {
        self.heard = true;
    }
}

impl Drop for Departed {
    fn drop(&mut self) {
        self.parts.running.fetch_sub(1, Ordering::Relaxed);
        let member = &self.parts.links[self.at];
        member.link.release(self.heard.then_some(member.seat));
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
