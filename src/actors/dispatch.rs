//! Dispatch: from a durable charge to a carrier's wire, in time or not at all.
//!
//! It owns the order in which deliveries leave: places reserved before the charge, one queue per carrier and channel,
//! fairness between accounts, each link's pace, window and pause, breakers, and the second link or channel after a definite
//! failure. What cannot leave in time is settled and refunded, never sent late; an ambiguous attempt is never repeated on its
//! channel.
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
mod lanes;
mod link;
mod links;
mod meters;
mod neighbours;
mod parts;
mod plans;
mod promises;
mod queue;
mod relay;
mod sharing;
mod speed;
mod waiting;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};

pub use self::job::{DispatchAnswer, Fallback, Job};
pub use self::lane::{NoRouteNow, Slot};
use self::lanes::Lanes;
pub use self::link::{Link, LinkState};
pub use self::neighbours::{Beside, Neighbours};
use self::parts::Times;
pub use self::plans::LanePlan;
use self::relay::Relay;
pub use super::supervise::NotStarted;
use super::supervise::{self, Branch, Budget, Child};
use crate::config::DispatchConfig;
use crate::domain::carrier::{Carrier, Channels};
use crate::domain::ids::AccountId;
use crate::domain::reference::UpstreamId;

/// What a caller is told of a carrier that has no queue.
const NO_QUEUE: NoRouteNow = NoRouteNow { retry_after: Duration::from_secs(1) };

/// The handle. Cheap to clone.
#[derive(Clone)]
pub struct Dispatch {
    lanes: Arc<Lanes>,
    #[cfg(test)]
    relay: supervise::Slot<relay::Message>,
    branch: Branch,
}

impl fmt::Debug for Dispatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dispatch({} carriers)", self.lanes.current().carriers())
    }
}

impl Dispatch {
    /// Makes the handle and the branch of the tree that it speaks to. `fallbacks` is the other end of what tracking was
    /// given; at a graceful stop, jobs may still leave for `drain_within`.
    #[must_use]
    pub fn new(
        config: &DispatchConfig,
        drain_within: Duration,
        plans: Vec<LanePlan>,
        neighbours: Arc<dyn Neighbours>,
        fallbacks: mpsc::Receiver<Box<Fallback>>,
    ) -> (Self, Child) {
        let lanes = Lanes::new(config, Times::new(config, drain_within), neighbours);
        let queues = lanes.furnish(plans);
        let slot = supervise::Slot::vacant();
        let (returned, relayed) = (Arc::new(Mutex::new(fallbacks)), Arc::clone(&lanes));
        let relay =
            Child::actor("dispatch relay", &slot, move || (Relay, (Arc::clone(&relayed), Arc::clone(&returned))));
        let branch = Branch::new(std::iter::once(relay).chain(queues).collect());
        let child = Child::branch("dispatch", Budget::default(), &branch);
        let dispatch = Self {
            lanes,
            #[cfg(test)]
            relay: slot,
            branch,
        };
        (dispatch, child)
    }

    /// Takes a place in the queue of the first of `channels` that takes work, before anything is charged. Returns the place
    /// and the channels that are left from there on.
    ///
    /// # Errors
    /// [`NoRouteNow`] if for every channel the queue is full, the account's half of it is, or no link takes work for now.
    pub fn reserve(
        &self,
        carrier: &Carrier,
        channels: Channels,
        account: AccountId,
    ) -> Result<(Slot, Channels), NoRouteNow> {
        let generation = self.lanes.current();
        let (mut left, mut refused) = (Some(channels), None::<NoRouteNow>);
        while let Some(channels) = left {
            if let Some(parts) = generation.lane(carrier, channels.first()) {
                match parts.lane.reserve(account) {
                    Ok(slot) => return Ok((slot, channels)),
                    Err(full) => {
                        let sooner = refused.map_or(full.retry_after, |other| other.retry_after.min(full.retry_after));
                        refused = Some(NoRouteNow { retry_after: sooner });
                    }
                }
            }
            left = channels.after_first();
        }
        Err(refused.unwrap_or(NO_QUEUE))
    }

    /// Hands over a charged job. It leaves in time or is settled; its caller is answered either way.
    pub fn enqueue(&self, job: Job) {
        self.lanes.enqueue(job);
    }

    /// Sends new orders to the queues of `plans` from now on. What waits in queues that are no more goes there too; what is on
    /// the wire ends where it is. Links that no plan has any more are closed when nobody uses them.
    ///
    /// # Errors
    /// [`NotStarted`]: everything is as it was.
    pub async fn exchange(&self, plans: Vec<LanePlan>) -> Result<(), NotStarted> {
        self.lanes.exchange(plans, &self.branch).await
    }

    /// Stops new work on an upstream, or lets it come again. What waits leaves by other links or ends in time. Returns
    /// whether there is such an upstream.
    pub fn pause(&self, upstream: &UpstreamId, paused: bool) -> bool {
        let links = self.lanes.current().links();
        let named = links.iter().filter(|link| link.id() == upstream);
        for link in named.clone().filter(|link| link.pause(paused)) {
            link.call_all();
        }
        named.count() > 0
    }

    /// Every link and how it is, by name.
    #[must_use]
    pub fn links(&self) -> Vec<LinkState> {
        let mut states: Vec<_> = self.lanes.current().links().iter().map(|link| link.state()).collect();
        states.sort_by(|one, other| one.upstream.cmp(&other.upstream));
        states
    }

    /// Slots that are reserved or taken now, over all queues.
    #[must_use]
    pub fn slots_taken(&self) -> u32 {
        self.lanes.current().lanes().map(|parts| parts.lane.taken()).sum()
    }

    /// Whether some link of some carrier is up and was not paused.
    #[must_use]
    pub fn any_link_up(&self) -> bool {
        let generation = self.lanes.current();
        let mut links = generation.lanes().flat_map(|parts| &parts.links);
        links.any(|member| member.link.takes_work())
    }
}

#[cfg(test)]
mod tests;
