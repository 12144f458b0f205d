//! The trait that every carrier link implements, and the words in which a link reports.
//!
//! A dispatch has more than two outcomes: what is ambiguous is neither sent again on the same channel nor given up.
//! Receipts are pushed into a [`ReceiptSink`], which a link awaits *before* it acknowledges on the wire: a crash then
//! means redelivery, never loss. The trait is free of actors, so that the simulator is one more implementation.

use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::domain::carrier::{Carrier, Channel, NetworkCode};
use crate::domain::code::OtpCode;
use crate::domain::delivery::CarrierStatus;
use crate::domain::ids::{DeliveryId, PollerId};
use crate::domain::phone::Phone;
use crate::domain::reference::{Reference, UpstreamId};

/// What an upstream can do; fixed while it lives.
#[derive(Clone, Debug)]
pub struct Capabilities {
    /// The most dispatches that may await their ack at once.
    pub in_flight_max: usize,
    /// The carrier's limit in dispatches per second, if it has one.
    pub rate_per_second: Option<u32>,
    /// How long the upstream refuses a phone after it took a dispatch to it, if it does.
    pub per_phone_gap: Option<Duration>,
    /// What its receipts are worth.
    pub receipts: ReceiptTrust,
}

/// What a receipt that says "delivered" has seen, and what becomes of a delivery where none will come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ReceiptTrust {
    /// The handset has it.
    #[default]
    Handset,
    /// The network took it; the handset may be off.
    Network,
    /// No receipts are sent. What was accepted fails at its settle time and is refunded.
    Refunded,
    /// No receipts are sent. What was accepted counts as delivered at once: the operator's choice, written down.
    Charged,
}

/// Whether an upstream can take work now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Health {
    Up,
    Down,
    /// The other side refuses us as we are configured: somebody must mend it.
    Misconfigured,
}

/// One attempt, handed to a link exactly once. A delivery has at most one attempt per channel, so the pair of
/// delivery and channel names it.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub delivery: DeliveryId,
    pub phone: Phone,
    pub carrier: Carrier,
    pub channel: Channel,
    pub code: OtpCode,
    /// It may reach the wire until then; a link that holds it longer answers [`Outcome::NotSent`].
    pub leave_by: Instant,
    /// When the code is of no more use to the caller: a link that can pass a validity period derives it from this.
    pub settle_by: Instant,
}

impl Attempt {
    /// What this attempt is called where an upstream wants a key of ours: the same for the same attempt, always.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}-{}", self.delivery, self.channel.as_str())
    }
}

/// Why a carrier said no, or why a delivery failed later; what is bounded here becomes a metric label.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum FailureClass {
    Unreachable,
    InvalidNumber,
    Rejected,
    Congestion,
    Misconfigured,
    Expired,
    /// The phone is another carrier's: it was ported.
    WrongNetwork,
}

/// What became of one attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The carrier took it.
    Accepted,
    /// It certainly did not reach the carrier; another channel may be tried.
    NotSent { status: CarrierStatus },
    /// The carrier said no; another channel may be tried, and for congestion or our configuration another link first.
    Refused { class: FailureClass, status: CarrierStatus },
    /// The carrier refuses this phone for now; no channel may be tried.
    PerPhone { retry_after: Duration },
    /// It may have been sent. Never resent on this channel; a receipt or the settle time ends it.
    Ambiguous { status: CarrierStatus },
}

/// What a carrier reports of an attempt after its ack (or, early, before it).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Receipt {
    pub upstream: UpstreamId,
    pub subject: Subject,
    pub state: ReceiptState,
    pub status: CarrierStatus,
    /// The network that the handset is on, if the carrier tells.
    pub network: Option<NetworkCode>,
}

/// Which attempt a receipt is of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Subject {
    /// The carrier echoes what we called it.
    Attempt { delivery: DeliveryId, channel: Channel },
    /// The carrier's own name for it, in every form that it may have been told in ([`Naming`]): one that matches is enough.
    /// With a phone, only an attempt to that phone matches.
    Reference { references: Vec<Reference>, phone: Option<Phone> },
}

impl Subject {
    /// The attempt whose [`Attempt::id`] is `text`.
    #[must_use]
    pub fn of_attempt_id(text: &str) -> Option<Self> {
        let (delivery, channel) = text.rsplit_once('-')?;
        Some(Self::Attempt { delivery: delivery.parse().ok()?, channel: Channel::from_name(channel)? })
    }
}

/// What a carrier calls an attempt that it accepted. A link that gets receipts by reference has this made durable before
/// it reports [`Outcome::Accepted`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Naming {
    pub upstream: UpstreamId,
    pub delivery: DeliveryId,
    pub channel: Channel,
    pub phone: Phone,
    /// Every form in which a receipt may bear the name; not empty.
    pub references: Vec<Reference>,
    /// Who asks for its receipt, where the upstream brings none.
    pub poller: Option<PollerId>,
}

/// A link that asks for receipts says that it does so still, and how many more attempts it can ask for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Polling {
    pub upstream: UpstreamId,
    /// This life of the link: another one has another id.
    pub poller: PollerId,
    /// Unless it says so again, it is gone after this; at once, if there is none.
    pub lives_for: Duration,
    pub takes: usize,
}

/// An attempt whose receipt the link that asked for it will ask for no more: it is gone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Orphan {
    pub delivery: DeliveryId,
    pub channel: Channel,
    pub reference: Reference,
    pub settle_by: Instant,
}

/// What a polling link takes over.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TakenOver {
    pub orphans: Vec<Orphan>,
    /// Whether there may be more.
    pub more: bool,
}

/// The states of a receipt; `InProgress` never ends a delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReceiptState {
    InProgress,
    Delivered,
    Failed(FailureClass),
}

/// It could not be made durable now; the link keeps it and reports it again later.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not durable yet")]
pub struct NotDurable;

/// Where links put what carriers tell them.
pub trait ReceiptSink: Send + Sync + fmt::Debug + 'static {
    /// Resolves when the receipt is durable (or is known to change nothing). One whose reference nobody knows yet is parked,
    /// durably, until its naming comes or a minute has passed.
    fn put(&self, receipt: Receipt) -> BoxFuture<'static, Result<(), NotDurable>>;

    /// Resolves when a receipt that bears one of the references will find its attempt, on any node and after any crash.
    fn name(&self, naming: Naming) -> BoxFuture<'static, Result<(), NotDurable>>;

    /// Says that a link still asks for receipts. What links of its upstream that are gone asked for is given to it, and to no
    /// other. By itself a sink knows of none.
    fn poll(&self, _polling: Polling) -> BoxFuture<'static, Result<TakenOver, NotDurable>> {
        Box::pin(std::future::ready(Ok(TakenOver::default())))
    }
}

/// A way to a carrier.
pub trait Upstream: Send + Sync + fmt::Debug + 'static {
    fn id(&self) -> &UpstreamId;

    fn capabilities(&self) -> &Capabilities;

    fn health(&self) -> watch::Receiver<Health>;

    /// Hands over one attempt. Resolves by the link's own deadline; a link that never resolves is abandoned by the
    /// caller as [`Outcome::Ambiguous`].
    fn dispatch(&self, attempt: Attempt) -> BoxFuture<'static, Outcome>;

    /// Stops taking work and closes the link within `grace`.
    fn shutdown(&self, grace: Duration) -> BoxFuture<'static, ()>;
}
