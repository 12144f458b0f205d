//! The trait that every carrier link implements, and the words in which a link reports.
//!
//! A dispatch has more than two outcomes: what is ambiguous is neither sent again on the same channel nor given up.
//! Receipts are pushed into a [`ReceiptSink`], which a link awaits *before* it acknowledges on the wire: a crash then
//! means redelivery, never loss. The trait is free of actors, so that the simulator is one more implementation.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::domain::carrier::{Carrier, Channel};
use crate::domain::code::OtpCode;
use crate::domain::delivery::CarrierStatus;
use crate::domain::ids::DeliveryId;
use crate::domain::phone::Phone;

/// The name of an upstream in logs and metrics; cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct UpstreamId(pub Arc<str>);

/// What an upstream can do; fixed while it lives.
#[derive(Clone, Debug)]
pub struct Capabilities {
    /// The most dispatches that may await their ack at once.
    pub in_flight_max: usize,
    /// The carrier's limit in dispatches per second, if it has one.
    pub rate_per_second: Option<u32>,
}

/// Whether an upstream can take work now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Health {
    Up,
    Down,
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
    /// When the code is of no more use to the caller: a link that can pass a validity period derives it from this.
    pub settle_by: Instant,
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
}

/// What became of one attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The carrier took it.
    Accepted,
    /// It certainly did not reach the carrier; another channel may be tried.
    NotSent { status: CarrierStatus },
    /// The carrier said no; another channel may be tried.
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
    pub delivery: DeliveryId,
    pub channel: Channel,
    pub state: ReceiptState,
    pub status: CarrierStatus,
}

/// The states of a receipt; `InProgress` never ends a delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReceiptState {
    InProgress,
    Delivered,
    Failed(FailureClass),
}

/// The receipt could not be made durable now; the link keeps it and reports it again later.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the receipt is not durable yet")]
pub struct NotDurable;

/// Where links put receipts. Resolves when the receipt is durable (or is known to change nothing).
pub trait ReceiptSink: Send + Sync + fmt::Debug + 'static {
    fn put(&self, receipt: Receipt) -> BoxFuture<'static, Result<(), NotDurable>>;
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
