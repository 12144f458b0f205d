//! What a queue needs of the actors beside it: the phone's window and the delivery's end.

use std::fmt;

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::job::Fallback;
use crate::actors::cooldown::Cooldown;
use crate::actors::tracking::{InFlight, SettleFailed, Tracking};
use crate::domain::delivery::WindowAfter;
use crate::domain::sealing::PhoneKey;
use crate::records::settlement::{Settled, Settlement};

/// The actors beside dispatch, as it sees them; tests put probes here.
pub trait Neighbours: Send + Sync + fmt::Debug + 'static {
    /// An attempt to the phone starts.
    fn left(&self, phone: PhoneKey, at: Instant);

    /// The attempt that started last was refused or not sent, and none of its delivery before it was taken.
    fn refused(&self, phone: PhoneKey);

    /// An attempt is about to start; receipts may come from now on.
    fn watch(&self, flight: InFlight<Fallback>);

    /// Ends a delivery; durable when it resolves to `Ok`.
    fn settle(&self, settlement: Settlement) -> BoxFuture<'static, Result<Settled, SettleFailed>>;

    /// The delivery that owned the phone's window has ended.
    fn window(&self, phone: PhoneKey, after: WindowAfter);
}

/// The real neighbours.
#[derive(Clone, Debug)]
pub struct Beside {
    pub cooldown: Cooldown,
    pub tracking: Tracking<Fallback>,
}

impl Neighbours for Beside {
    fn left(&self, phone: PhoneKey, at: Instant) {
        self.cooldown.left(phone, at);
    }

    fn refused(&self, phone: PhoneKey) {
        self.cooldown.refused(phone);
    }

    fn watch(&self, flight: InFlight<Fallback>) {
        self.tracking.watch(flight);
    }

    fn settle(&self, settlement: Settlement) -> BoxFuture<'static, Result<Settled, SettleFailed>> {
        let tracking = self.tracking.clone();
        Box::pin(async move { tracking.settle(settlement).await })
    }

    fn window(&self, phone: PhoneKey, after: WindowAfter) {
        self.cooldown.window(phone, after);
    }
}
