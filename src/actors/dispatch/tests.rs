//! Dispatch alone: a scripted link below, probes beside, paused time.

mod exchange;
mod fake;
mod faults;
mod order;
mod outcomes;
mod promises;
mod routes;
mod shared;

use std::collections::VecDeque;
use std::sync::Mutex as StdMutex;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use tokio::time::Instant;

use self::fake::FakeLink;
use super::parts::Parts;
use super::queue::Message;
use super::*;
use crate::actors::supervise::Tree;
use crate::actors::tracking::{InFlight, SettleFailed};
use crate::carrier::upstream::{Attempt, Capabilities, FailureClass, Health, Outcome, ReceiptTrust, Upstream};
use crate::domain::carrier::{Channel, Route};
use crate::domain::code::OtpCode;
use crate::domain::delivery::{CarrierStatus, WindowAfter};
use crate::domain::ids::DeliveryId;
use crate::domain::money::MicroUsd;
use crate::domain::phone::Phone;
use crate::domain::reference::UpstreamId;
use crate::domain::sealing::PhoneKey;
use crate::records::settlement::{Settled, Settlement};

/// The actors beside dispatch: they remember what they were told.
#[derive(Debug, Default)]
struct Probe {
    left: StdMutex<Vec<PhoneKey>>,
    refused: StdMutex<Vec<PhoneKey>>,
    watched: StdMutex<Vec<(DeliveryId, Channel)>>,
    fallbacks: StdMutex<VecDeque<Box<Fallback>>>,
    settled: StdMutex<Vec<Settlement>>,
    windows: StdMutex<Vec<WindowAfter>>,
    /// What `settle` answers from now on, if not that it ended the delivery.
    verdict: StdMutex<Option<Result<Settled, SettleFailed>>>,
}

impl Neighbours for Probe {
    fn left(&self, phone: PhoneKey, _at: Instant) {
        self.left.lock().expect("not poisoned").push(phone);
    }

    fn refused(&self, phone: PhoneKey) {
        self.refused.lock().expect("not poisoned").push(phone);
    }

    fn watch(&self, flight: InFlight<Fallback>) {
        self.watched.lock().expect("not poisoned").push((flight.delivery, flight.channel));
        self.fallbacks.lock().expect("not poisoned").extend(flight.fallback);
    }

    fn settle(&self, settlement: Settlement) -> BoxFuture<'static, Result<Settled, SettleFailed>> {
        self.settled.lock().expect("not poisoned").push(settlement);
        let verdict = self.verdict.lock().expect("not poisoned").unwrap_or(Ok(Settled::Ended));
        async move { verdict }.boxed()
    }

    fn window(&self, _phone: PhoneKey, after: WindowAfter) {
        self.windows.lock().expect("not poisoned").push(after);
    }
}

/// Dispatch with one carrier and probes; with one link for both channels, if nothing else is said.
struct House {
    dispatch: Dispatch,
    /// The first link.
    link: Arc<FakeLink>,
    links: Vec<Arc<FakeLink>>,
    probe: Arc<Probe>,
    hand_back: mpsc::Sender<Box<Fallback>>,
    route: Arc<Route>,
    tree: Tree,
    next: u64,
}

fn viettel() -> Carrier {
    Carrier::new("viettel").expect("sane")
}

/// The plan of one queue to viettel.
fn plan(channel: Channel, links: &[(&Arc<Link>, u32)]) -> LanePlan {
    let links = links.iter().map(|(link, weight)| (Arc::clone(link), *weight)).collect();
    LanePlan { carrier: viettel(), channel, links }
}

fn link(fake: &Arc<FakeLink>) -> Arc<Link> {
    Link::new(Arc::clone(fake) as Arc<dyn Upstream>)
}

const CONFIG: DispatchConfig = DispatchConfig {
    dispatch_within_ms: 5_000,
    receipt_wait_ms: 60_000,
    attempt_needs_ms: 20_000,
    attempt_timeout_ms: 10_000,
    queue_max: 10_000,
    breaker_failures: 3,
    breaker_open_ms: 2_000,
};

impl House {
    async fn new(rate_per_second: Option<u32>, in_flight_max: usize) -> Self {
        let fake = Arc::new(FakeLink::new("fake", rate_per_second, in_flight_max));
        let both = link(&fake);
        let plans = [Channel::Voice, Channel::Sms].map(|channel| plan(channel, &[(&both, 1)]));
        Self::with(vec![fake], plans.into()).await
    }

    async fn with(links: Vec<Arc<FakeLink>>, plans: Vec<LanePlan>) -> Self {
        let carrier = viettel();
        let probe = Arc::new(Probe::default());
        let (hand_back, fallbacks) = mpsc::channel(16);
        let neighbours: Arc<dyn Neighbours> = Arc::clone(&probe) as _;
        let (dispatch, branch) = Dispatch::new(&CONFIG, Duration::from_secs(3), plans, neighbours, fallbacks);
        let tree = Tree::grow(Budget::default(), vec![branch]).await.expect("starts");
        let channels = Channels::from_list(&[Channel::Voice, Channel::Sms]).expect("two");
        let route = Arc::new(Route { carrier, channels, price: MicroUsd::from_micros(22_000) });
        let link = Arc::clone(&links[0]);
        Self { dispatch, link, links, probe, hand_back, route, tree, next: 0 }
    }

    fn reserve(&self, account: u8) -> Result<Slot, NoRouteNow> {
        self.reserve_on(self.route.channels, account).map(|(slot, _)| slot)
    }

    fn reserve_on(&self, channels: Channels, account: u8) -> Result<(Slot, Channels), NoRouteNow> {
        self.dispatch.reserve(&self.route.carrier, channels, AccountId::from_bytes([account; 16]))
    }

    fn job(&mut self, account: u8, slot: Slot) -> (Job, oneshot::Receiver<DispatchAnswer>) {
        self.next += 1;
        let mut delivery = [0; 16];
        delivery[8..].copy_from_slice(&self.next.to_be_bytes());
        let (answer, answered) = oneshot::channel();
        let lanes = self.dispatch.lanes.current();
        let by_sms = lanes.lane(&self.route.carrier, Channel::Sms).is_some_and(|parts| slot.is_of(&parts.lane));
        let job = Job {
            delivery: DeliveryId::from_bytes(delivery),
            account: AccountId::from_bytes([account; 16]),
            phone: Phone::parse("+84981234567").expect("valid"),
            phone_key: PhoneKey::from_number(i64::try_from(self.next).expect("small")),
            code: OtpCode::parse("482917").expect("valid"),
            route: Arc::clone(&self.route),
            channels: if by_sms { Channels::only(Channel::Sms) } else { self.route.channels },
            slot,
            not_before: None,
            claimed_at: Instant::now(),
            settle_by: Instant::now() + Duration::from_secs(65),
            answer: Some(answer),
            window_kept: false,
        };
        (job, answered)
    }

    fn send(&mut self, account: u8) -> (DeliveryId, oneshot::Receiver<DispatchAnswer>) {
        let slot = self.reserve(account).expect("there is a place");
        let (job, answered) = self.job(account, slot);
        let delivery = job.delivery;
        self.dispatch.enqueue(job);
        (delivery, answered)
    }

    async fn send_one(&mut self) -> DispatchAnswer {
        let (_, answered) = self.send(1);
        answered.await.expect("every job is answered")
    }

    fn settled(&self) -> Vec<Settlement> {
        self.probe.settled.lock().expect("not poisoned").clone()
    }

    fn windows(&self) -> Vec<WindowAfter> {
        self.probe.windows.lock().expect("not poisoned").clone()
    }

    fn taken(&self) -> u32 {
        self.dispatch.slots_taken()
    }

    fn parts(&self, channel: Channel) -> Arc<Parts> {
        Arc::clone(self.dispatch.lanes.current().lane(&self.route.carrier, channel).expect("it is there"))
    }

    /// Tells the queue of the first channel.
    fn cast(&self, message: Message) {
        assert!(self.parts(Channel::Voice).mailbox.cast(message).is_ok(), "the queue lives");
    }

    /// Gives back what tracking got with the last attempt, as it does when a receipt says that it failed.
    async fn fail_by_receipt(&self) {
        let fallback = self.probe.fallbacks.lock().expect("not poisoned").pop_front().expect("a channel is left");
        self.hand_back.send(fallback).await.expect("the relay lives");
        settle_down().await;
    }

    /// Every queue is empty, every place free, nobody has died for good.
    async fn finish(self) {
        self.tree.stop(Duration::from_secs(30)).await;
        assert_eq!(self.taken(), 0, "every slot is given back");
        let seen: Vec<_> = self.links.iter().flat_map(|link| link.seen()).collect();
        assert_eq!(self.probe.left.lock().expect("not poisoned").len(), seen.len());
        assert!(self.links.iter().all(|link| link.is_closed()), "the links are closed last");
        assert!(self.dispatch.links().iter().all(|link| link.running == 0), "every place in a window is given back");
        let watched = self.probe.watched.lock().expect("not poisoned");
        for (delivery, channel, _) in &seen {
            let of = |(other, on): (&DeliveryId, &Channel)| other == delivery && on == channel;
            let attempts = watched.iter().filter(|(other, on)| of((other, on))).count();
            let made = seen.iter().filter(|(other, on, _)| of((other, on))).count();
            assert_eq!(attempts, made, "every attempt is watched before the wire");
        }
        for link in &self.links {
            let attempts = link.seen();
            let mut once: Vec<_> = attempts.iter().map(|(delivery, channel, _)| (*delivery, *channel)).collect();
            once.sort_unstable();
            once.dedup();
            assert_eq!(once.len(), attempts.len(), "one attempt per delivery, channel and link");
        }
    }
}

fn refused() -> Outcome {
    Outcome::Refused { class: FailureClass::Unreachable, status: CarrierStatus::clean("busy") }
}

fn not_sent() -> Outcome {
    Outcome::NotSent { status: CarrierStatus::clean("no socket") }
}

fn ambiguous() -> Outcome {
    Outcome::Ambiguous { status: CarrierStatus::clean("cut") }
}

/// Lets every task run until nothing but time could move on.
async fn settle_down() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}
