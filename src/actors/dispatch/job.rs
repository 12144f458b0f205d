//! What is handed to a queue, and what comes back to the caller.
//!
//! A [`Job`] is a charged delivery that has not left yet. It never outlives its queue: it leaves, or it is settled. What
//! is left of it after it left is a [`Fallback`], which waits in tracking for a receipt.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::lane::Slot;
use crate::domain::carrier::{Channel, Channels, Route};
use crate::domain::code::OtpCode;
use crate::domain::ids::{AccountId, DeliveryId};
use crate::domain::phone::Phone;
use crate::domain::reference::UpstreamId;
use crate::domain::sealing::PhoneKey;

/// A charged delivery that is to leave.
#[derive(Debug)]
pub struct Job {
    pub delivery: DeliveryId,
    pub account: AccountId,
    pub phone: Phone,
    pub phone_key: PhoneKey,
    pub code: OtpCode,
    pub route: Arc<Route>,
    /// What is left to try; the first is next.
    pub channels: Channels,
    pub slot: Slot,
    /// The phone may not be called before this.
    pub not_before: Option<Instant>,
    /// Before the claim of the phone's window was sent: the time in which it must leave runs from here, however long the
    /// charge was on its way to this job.
    pub claimed_at: Instant,
    /// When the delivery is settled as timed out, whatever became of it.
    pub settle_by: Instant,
    /// Where the caller waits. A sender that is dropped unused means [`DispatchAnswer::Undecided`].
    pub answer: Option<oneshot::Sender<DispatchAnswer>>,
    /// An attempt was accepted or is ambiguous: the phone may have been called, its window stays.
    pub window_kept: bool,
}

/// What became of a job, as far as the caller's answer depends on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DispatchAnswer {
    /// An attempt was accepted or is ambiguous.
    Out,
    /// Refused on the last channel, or it could not leave in time; the refund is durable.
    Refused,
    /// The carrier refuses this phone for now; the refund is durable.
    PerPhone { remaining: Duration },
    /// The refund could not be committed, or somebody else decides: the end comes by itself.
    Undecided,
}

/// The second channel of a delivery whose first one was taken by the carrier and may still fail by receipt. Tracking
/// keeps it with the delivery in flight; it holds the code, so it is dropped when the delivery ends.
#[derive(Debug)]
pub struct Fallback {
    pub(super) delivery: DeliveryId,
    pub(super) account: AccountId,
    pub(super) phone: Phone,
    pub(super) phone_key: PhoneKey,
    pub(super) code: OtpCode,
    pub(super) route: Arc<Route>,
    pub(super) channel: Channel,
    pub(super) claimed_at: Instant,
    pub(super) settle_by: Instant,
    /// The upstream that took the first one, if it refuses the phone for a while after that.
    pub(super) gapped: Option<UpstreamId>,
    pub(super) claim: Claim,
}

/// The right to go on to a delivery's second channel, which exists once: a refusal and a failed receipt of the same
/// attempt may both ask for it.
#[derive(Clone)]
pub(super) struct Claim(Arc<AtomicBool>);

impl Claim {
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicBool::new(false)))
    }

    /// Takes the right; `false` if it was taken before.
    pub(super) fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.load(Ordering::Relaxed) { "Claim(taken)" } else { "Claim(free)" })
    }
}
