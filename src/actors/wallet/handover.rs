//! How a verdict changes hands so that no charge is lost between two of them.
//!
//! A verdict is owned by exactly one side at any moment. If it is dropped while it is a charge that nobody has taken —
//! the caller left before, while or after it was sent — the charge is given back.

use std::fmt;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Charge;
use crate::domain::delivery::{End, FailureCode, WindowAfter};
use crate::domain::ids::DeliveryId;
use crate::records::acceptance::Verdict;
use crate::records::settlement::Settlement;

/// Ends a delivery that nobody waits for.
pub(super) type Refund = Arc<dyn Fn(Settlement) + Send + Sync>;

/// The end of a delivery that was charged and will never be sent.
pub(super) fn give_back(refund: &Refund, delivery: DeliveryId) {
    let end = End::Failed { code: FailureCode::Unavailable, carrier_status: None };
    refund(Settlement { delivery, end, channel: None, unless_moved: false, window: WindowAfter::Release });
}

/// A verdict on its way to its caller.
pub(super) struct Handed {
    charge: Option<Charge>,
    delivery: DeliveryId,
    refund: Refund,
}

impl fmt::Debug for Handed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handed({:?})", self.charge)
    }
}

impl Handed {
    /// The caller has it: from here on the charge is the caller's to end. After `give_up` a charge goes back instead.
    pub(super) fn take_by(mut self, give_up: Instant) -> Charge {
        if self.is_charged() && Instant::now() > give_up {
            return Charge::Unavailable;
        }
        self.charge.take().unwrap_or(Charge::Unavailable)
    }

    fn is_charged(&self) -> bool {
        matches!(self.charge, Some(Charge::Decided { verdict: Verdict::Charged { .. }, .. }))
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        if self.is_charged() {
            give_back(&self.refund, self.delivery);
        }
    }
}

/// A caller who waits for a verdict.
pub(super) struct Waiter {
    pub(super) delivery: DeliveryId,
    pub(super) reply: oneshot::Sender<Handed>,
}

impl Waiter {
    /// Hands the verdict over, or gives the charge back if nobody is there.
    pub(super) fn tell(self, charge: Charge, refund: &Refund) {
        let handed = Handed { charge: Some(charge), delivery: self.delivery, refund: Arc::clone(refund) };
        // A verdict that comes back is dropped here, which gives the charge back.
        drop(self.reply.send(handed));
    }
}
