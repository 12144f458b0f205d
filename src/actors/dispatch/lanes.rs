//! The set of queues that new orders go to, one for each carrier and channel, and how it is exchanged for another.
//!
//! A queue whose part of the plan did not change goes on. One that is no more hands what waits in it to those that are
//! there instead, ends when its attempts have, and gives up its links; whoever is the last at a link closes it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use metrics::counter;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::ending::{Ender, Owed, Why};
use super::job::{Fallback, Job};
use super::lane::Slot;
use super::link::Link;
use super::neighbours::Neighbours;
use super::parts::{Parts, Times};
use super::plans::{LanePlan, Plan, together};
use super::queue::{Message, Queue};
use crate::actors::supervise::{Branch, Child, NotStarted, Tasks};
use crate::config::DispatchConfig;
use crate::domain::carrier::{Carrier, Channel, Channels};
use crate::telemetry::names;

/// What an ended queue may take to close its links and to settle what it still has.
const FAREWELL: Duration = Duration::from_secs(30);

/// The queues of one set of plans.
#[derive(Default)]
pub(super) struct Generation {
    by_carrier: HashMap<Carrier, [Option<Lived>; 2]>,
}

/// A queue that lives, and what to end it by.
#[derive(Clone)]
struct Lived {
    parts: Arc<Parts>,
    child: Child,
}

/// What queues are made of, and those that new orders go to.
pub(super) struct Lanes {
    config: DispatchConfig,
    times: Times,
    neighbours: Arc<dyn Neighbours>,
    current: ArcSwap<Generation>,
    /// One exchange at a time.
    exchanging: Mutex<()>,
    /// Settles what no queue is there for.
    ender: Arc<Ender>,
    /// Queues that are ending.
    ending: Tasks,
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lanes({} carriers)", self.current.load().by_carrier.len())
    }
}

impl Lanes {
    pub(super) fn new(config: &DispatchConfig, times: Times, neighbours: Arc<dyn Neighbours>) -> Arc<Self> {
        let lost = counter!(names::DISPATCH_LOST, "carrier" => "none", "channel" => "none");
        let ender = Arc::new(Ender { neighbours: Arc::clone(&neighbours), tasks: Tasks::new(), lost });
        Arc::new(Self {
            config: config.clone(),
            times,
            neighbours,
            current: ArcSwap::default(),
            exchanging: Mutex::default(),
            ender,
            ending: Tasks::new(),
        })
    }

    pub(super) fn current(&self) -> arc_swap::Guard<Arc<Generation>> {
        self.current.load()
    }

    /// The first set of queues: what they are started by.
    pub(super) fn furnish(self: &Arc<Self>, plans: Vec<LanePlan>) -> Vec<Child> {
        let generation = self.generation(plans, &Generation::default());
        // Started last, ended first: the first channel, which may still need the second.
        let children = generation.lived().map(|lived| lived.child.clone()).collect();
        self.current.store(Arc::new(generation));
        children
    }

    /// Sends new orders to the queues of `plans` from now on, and has those end that are not among them.
    ///
    /// # Errors
    /// [`NotStarted`]: everything is as it was.
    pub(super) async fn exchange(self: &Arc<Self>, plans: Vec<LanePlan>, branch: &Branch) -> Result<(), NotStarted> {
        let _one_at_a_time = self.exchanging.lock().await;
        let before = self.current.load_full();
        let generation = self.generation(plans, &before);
        let added: Vec<_> = generation.lived().filter(|lived| !before.has(&lived.parts)).cloned().collect();
        for (number, lived) in added.iter().enumerate() {
            if let Err(error) = branch.start(lived.child.clone()).await {
                for started in &added[..number] {
                    self.retire(started, branch);
                }
                added[number..].iter().for_each(|unused| drop(unused.parts.give_up()));
                return Err(error);
            }
        }
        let generation = Arc::new(generation);
        self.current.store(Arc::clone(&generation));
        for retired in before.lived().filter(|lived| !generation.has(&lived.parts)) {
            self.retire(retired, branch);
        }
        Ok(())
    }

    /// Has a queue hand over what waits in it, and end when its attempts have.
    fn retire(&self, lived: &Lived, branch: &Branch) {
        let within = self.times.attempt_timeout + FAREWELL;
        // If nobody lives there, nothing waits there.
        let _dropped = lived.parts.mailbox.cast(Message::Retire);
        let (branch, child) = (branch.clone(), lived.child.clone());
        self.ending.spawn(async move { branch.end(&child, within).await });
    }

    fn generation(self: &Arc<Self>, plans: Vec<LanePlan>, before: &Generation) -> Generation {
        let mut generation = Generation::default();
        for plan in together(plans) {
            let (carrier, at) = (plan.carrier.clone(), place(plan.channel));
            let unchanged = before.lived_at(&carrier, plan.channel).filter(|lived| lived.parts.follows(&plan));
            let lived = unchanged.cloned().unwrap_or_else(|| self.make(plan));
            generation.by_carrier.entry(carrier).or_default()[at] = Some(lived);
        }
        generation
    }

    fn make(self: &Arc<Self>, plan: Plan) -> Lived {
        let neighbours = Arc::clone(&self.neighbours);
        let parts = Arc::new(Parts::new(&self.config, self.times, plan, neighbours, Arc::downgrade(self)));
        let made_of = Arc::clone(&parts);
        let child = Child::actor("dispatch queue", &parts.mailbox, move || (Queue, Arc::clone(&made_of)));
        Lived { parts, child: child.finishing(Message::Finish) }
    }

    /// Gives a charged job to its queue.
    pub(super) fn enqueue(&self, mut job: Job) {
        let generation = self.current.load();
        let Some(parts) = generation.lane(&job.route.carrier, job.channels.first()) else {
            return self.hand_over(Owed::new(job, self.times.within, Arc::clone(&self.ender)));
        };
        if !job.slot.is_of(&parts.lane) {
            // The routes were exchanged while it was charged.
            job.slot = parts.lane.occupy(job.account);
        }
        let owed = Owed::new(job, self.times.within, Arc::clone(&parts.ender));
        // If nobody is alive to take it, it is settled by being dropped.
        let _dropped = parts.mailbox.cast(Message::Enqueue(owed));
    }

    /// Gives a job to the queue of its next channel that there is now. Where there is none, it ends.
    pub(super) fn hand_over(&self, mut owed: Owed) {
        let generation = self.current.load();
        loop {
            let (carrier, channel) = owed.heads_for();
            if let Some(parts) = generation.lane(carrier, channel) {
                owed.move_to(parts);
                // If nobody is alive to take it, it is settled by being dropped.
                let _dropped = parts.mailbox.cast(Message::Enqueue(owed));
                return;
            }
            if !owed.skip_channel() {
                return owed.end(Why::TooLate);
            }
        }
    }

    /// Takes back a delivery whose first channel failed by receipt, unless its refusal has been taken for the same thing.
    pub(super) fn fall_back(&self, fallback: Fallback) {
        if !fallback.claim.take() {
            return;
        }
        counter!(names::FALLBACKS, "carrier" => fallback.route.carrier.as_str().to_owned()).increment(1);
        let job = Job {
            delivery: fallback.delivery,
            account: fallback.account,
            phone: fallback.phone,
            phone_key: fallback.phone_key,
            code: fallback.code,
            route: fallback.route,
            channels: Channels::only(fallback.channel),
            slot: Slot::nowhere(fallback.account),
            not_before: Some(Instant::now()),
            claimed_at: fallback.claimed_at,
            settle_by: fallback.settle_by,
            answer: None,
            window_kept: true,
        };
        let owed = Owed::new(job, self.times.within, Arc::clone(&self.ender));
        self.hand_over(owed.not_by(fallback.gapped));
    }
}

impl Generation {
    pub(super) fn lane(&self, carrier: &Carrier, channel: Channel) -> Option<&Arc<Parts>> {
        self.lived_at(carrier, channel).map(|lived| &lived.parts)
    }

    /// Every queue.
    pub(super) fn lanes(&self) -> impl Iterator<Item = &Arc<Parts>> {
        self.lived().map(|lived| &lived.parts)
    }

    /// Every link, once.
    pub(super) fn links(&self) -> Vec<Arc<Link>> {
        let mut links: Vec<Arc<Link>> = Vec::new();
        for member in self.lanes().flat_map(|parts| &parts.links) {
            if !links.iter().any(|known| Arc::ptr_eq(known, &member.link)) {
                links.push(Arc::clone(&member.link));
            }
        }
        links
    }

    pub(super) fn carriers(&self) -> usize {
        self.by_carrier.len()
    }

    fn lived(&self) -> impl Iterator<Item = &Lived> {
        // SMS first: it is what voice falls back to.
        self.by_carrier.values().flat_map(|lanes| lanes.iter().rev().flatten())
    }

    fn lived_at(&self, carrier: &Carrier, channel: Channel) -> Option<&Lived> {
        self.by_carrier.get(carrier)?[place(channel)].as_ref()
    }

    fn has(&self, parts: &Arc<Parts>) -> bool {
        self.lane(&parts.carrier, parts.channel).is_some_and(|own| Arc::ptr_eq(own, parts))
    }
}

const fn place(channel: Channel) -> usize {
    match channel {
        Channel::Voice => 0,
        Channel::Sms => 1,
    }
}
