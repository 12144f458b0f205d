//! Tracking: deliveries that await their end, and the group commits that end them.
//!
//! It owns the settle clock, the only copy of a code that is kept for a fallback (dropped when the delivery ends), and one
//! committing connection per shard. A receipt is durable before its link acknowledges it; while the database is away the
//! ends wait here and are tried again. Ends are idempotent: whoever is first ends a delivery, everybody else changes nothing.
//!
//! It never dispatches: a failed receipt that leaves a channel goes back through the channel given at birth. What a
//! shard forgets by a restart, the sweeper ends.

mod ledger;
mod settler;
mod shard;
mod watching;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use self::ledger::{Ledger, StoreLedger};
use self::shard::{Message, Shard};
use self::watching::Needs;
use crate::actors::group_commit::conflict_key;
use crate::actors::supervise::{Budget, Child, Slot, Tasks};
use crate::carrier::upstream::{FailureClass, Naming, NotDurable, Receipt, ReceiptSink, Subject};
use crate::config::{DispatchConfig, TrackingConfig, millis};
use crate::domain::carrier::{Carrier, Channel};
use crate::domain::delivery::FailureCode;
use crate::domain::ids::{DeliveryId, EndpointId};
use crate::domain::money::MicroUsd;
use crate::records::idempotency::AnswerRecord;
use crate::records::settlement::{Settled, Settlement};
use crate::store::Store;

/// How long a link waits for a receipt to become durable before it keeps the receipt and reports it again.
const RECEIPT_WAIT: Duration = Duration::from_secs(2);

/// A delivery that is about to go on the wire. `J` is what dispatch needs to try the next channel; it holds the code.
#[derive(Debug)]
pub struct InFlight<J> {
    pub delivery: DeliveryId,
    pub carrier: Carrier,
    /// The channel of the attempt that starts; a failed receipt of another one changes nothing.
    pub channel: Channel,
    pub price: MicroUsd,
    /// When the charge was committed.
    pub accepted_at: Instant,
    /// When the delivery ends without a receipt.
    pub settle_by: Instant,
    /// What a failed receipt hands back to dispatch; `None` on the last channel.
    pub fallback: Option<Box<J>>,
}

/// Who is told of the webhook endpoints that have something to be sent, after the commit that queued it.
pub type Wake = Arc<dyn Fn(Vec<EndpointId>) + Send + Sync>;

/// The end was not made durable here, and nobody will try again: the sweeper ends the delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the end of the delivery could not be committed")]
pub struct SettleFailed;

/// The handle. Cheap to clone.
pub struct Tracking<J> {
    shards: Arc<[Slot<Message<J>>]>,
}

impl<J> Clone for Tracking<J> {
    fn clone(&self) -> Self {
        Self { shards: Arc::clone(&self.shards) }
    }
}

impl<J> fmt::Debug for Tracking<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tracking({} shards)", self.shards.len())
    }
}

/// What a tracking shard is made with.
struct Parts<J> {
    batch_max: usize,
    needs: Needs,
    ledger: Arc<dyn Fn() -> Box<dyn Ledger> + Send + Sync>,
    tasks: Tasks,
    fallbacks: mpsc::Sender<Box<J>>,
    wake: Wake,
}

impl<J: Send + 'static> Tracking<J> {
    /// Makes the handle and the branch of the tree that it speaks to. Deliveries whose attempt failed with a channel left
    /// and time for it go into `fallbacks`; if that is full or closed they end. `wake` hears which webhook endpoints have
    /// something to be sent; it must not block.
    #[must_use]
    pub fn new(
        config: &TrackingConfig,
        dispatch: &DispatchConfig,
        store: &Store,
        tasks: &Tasks,
        fallbacks: mpsc::Sender<Box<J>>,
        wake: Wake,
    ) -> (Self, Child) {
        let store = store.clone();
        let parts = Parts {
            batch_max: config.batch_max,
            needs: Needs { leave: millis(dispatch.dispatch_within_ms), attempt: millis(dispatch.attempt_needs_ms) },
            ledger: Arc::new(move || Box::new(StoreLedger::new(&store))),
            tasks: tasks.clone(),
            fallbacks,
            wake,
        };
        Self::from_parts(config.shards, parts)
    }

    fn from_parts(shards: usize, parts: Parts<J>) -> (Self, Child) {
        let parts = Arc::new(parts);
        let shards: Arc<[Slot<Message<J>>]> = (0..shards).map(|_| Slot::vacant()).collect();
        let children = shards.iter().enumerate().map(|(number, slot)| {
            let parts = Arc::clone(&parts);
            Child::actor("tracking shard", slot, move || (Shard::new(number), Arc::clone(&parts)))
                .finishing(Message::<J>::Finish)
        });
        let branch = Child::supervisor("tracking", Budget::default(), children.collect());
        (Self { shards }, branch)
    }

    /// Tells that an attempt is about to start: before the wire, so that no receipt is earlier.
    pub fn watch(&self, delivery: InFlight<J>) {
        // If nobody is alive to watch, receipts still settle it and the sweeper is its clock.
        let _down = self.shard(delivery.delivery).cast(Message::Watch(delivery));
    }

    /// Ends a delivery. Durable when it returns `Ok`. Tries as long as the database is away; a caller that stops waiting
    /// does not take the end back.
    ///
    /// # Errors
    /// [`SettleFailed`]: the sweeper ends the delivery at its settle time.
    pub async fn settle(&self, settlement: Settlement) -> Result<Settled, SettleFailed> {
        let (reply, settled) = oneshot::channel();
        self.shard(settlement.delivery)
            .cast(Message::Settle { settlement, reply: Some(reply) })
            .map_err(|_down| SettleFailed)?;
        settled.await.map_err(|_lost| SettleFailed)
    }

    /// Ends a delivery like [`Tracking::settle`], for a caller that does not wait.
    pub fn settle_later(&self, settlement: Settlement) {
        // If nobody is alive to do it, the sweeper will.
        let _down = self.shard(settlement.delivery).cast(Message::Settle { settlement, reply: None });
    }

    /// Writes the answer that an order with an idempotency key was given, together with the next ends. If it is lost, a
    /// repeat reads the delivery instead.
    pub fn answered(&self, answer: AnswerRecord) {
        let key = conflict_key(b'k', (answer.account, &answer.key));
        let shard = usize::try_from(key % self.shards.len() as u64).unwrap_or(0);
        let _down = self.shards[shard].cast(Message::Answered(answer));
    }

    /// Where links put receipts.
    #[must_use]
    pub fn sink(&self) -> Arc<dyn ReceiptSink> {
        Arc::new(self.clone())
    }

    /// The last byte of an id is random.
    fn shard(&self, delivery: DeliveryId) -> &Slot<Message<J>> {
        &self.shards[usize::from(delivery.as_bytes()[15]) % self.shards.len()]
    }
}

impl<J: Send + 'static> ReceiptSink for Tracking<J> {
    fn put(&self, receipt: Receipt) -> BoxFuture<'static, Result<(), NotDurable>> {
        let Subject::Attempt { delivery, channel } = receipt.subject else {
            return Box::pin(std::future::ready(Err(NotDurable)));
        };
        let (reply, durable) = oneshot::channel();
        let sent = self.shard(delivery).cast(Message::Receipt { delivery, channel, receipt, reply });
        Box::pin(async move {
            if sent.is_err() {
                return Err(NotDurable);
            }
            match tokio::time::timeout(RECEIPT_WAIT, durable).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) | Err(_) => Err(NotDurable),
            }
        })
    }

    fn name(&self, _naming: Naming) -> BoxFuture<'static, Result<(), NotDurable>> {
        Box::pin(std::future::ready(Err(NotDurable)))
    }
}

/// What a customer is told of a carrier's reason.
#[must_use]
pub const fn failure_code(class: FailureClass) -> FailureCode {
    match class {
        FailureClass::Unreachable => FailureCode::Unreachable,
        FailureClass::InvalidNumber => FailureCode::InvalidNumber,
        FailureClass::Rejected
        | FailureClass::Congestion
        | FailureClass::Misconfigured
        | FailureClass::WrongNetwork => FailureCode::Rejected,
        FailureClass::Expired => FailureCode::Expired,
    }
}

#[cfg(test)]
mod tests;
