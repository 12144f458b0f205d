//! Tracking: deliveries that await their end, and the group commits that end them.
//!
//! It owns the settle clock, the only copy of a code that is kept for a fallback (dropped when the delivery ends), one
//! committing connection per shard, and what carriers call our attempts (`references`). A receipt is durable before its link acknowledges it; while the database is away the
//! ends wait here and are tried again. Ends are idempotent: whoever is first ends a delivery, everybody else changes nothing.
//!
//! It never dispatches: a failed receipt that leaves a channel goes back through the channel given at birth. What a
//! shard forgets by a restart, the sweeper ends.

mod committed;
mod ledger;
mod postponed;
mod references;
mod settler;
mod shard;
mod unwritten;
mod watching;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use self::ledger::{Ledger, StoreLedger};
use self::references::{Book, ByReference, References, StoreBook};
use self::shard::{Message, Shard};
use self::unwritten::UnwrittenAnswers;
use self::watching::Needs;
use crate::actors::group_commit::conflict_key;
use crate::actors::supervise::{Budget, Child, Slot, Tasks};
use crate::carrier::upstream::{FailureClass, Naming, NotDurable, Polling, Receipt, ReceiptSink, Subject, TakenOver};
use crate::config::{DispatchConfig, TrackingConfig, millis};
use crate::domain::carrier::{Carrier, Channel};
use crate::domain::delivery::FailureCode;
use crate::domain::ids::{AccountId, DeliveryId, EndpointId};
use crate::domain::money::MicroUsd;
use crate::domain::reference::UpstreamId;
use crate::domain::sealing::Keyring;
use crate::records::carrier_attempts::{CarrierAttempt, Named, Sought};
use crate::records::idempotency::{AnswerRecord, FirstAnswer};
use crate::records::settlement::{Settled, Settlement};
use crate::store::Store;

/// How long a link waits for a receipt, or for a name, to become durable before it keeps it and reports it again.
const RECEIPT_WAIT: Duration = Duration::from_secs(2);

/// A delivery that is about to go on the wire. `J` is what dispatch needs to try the next channel; it holds the code.
#[derive(Debug)]
pub struct InFlight<J> {
    pub delivery: DeliveryId,
    pub carrier: Carrier,
    /// The channel of the attempt that starts; a failed receipt of another one changes nothing.
    pub channel: Channel,
    /// Whose receipts of it count.
    pub upstream: UpstreamId,
    /// The delivery came from its first channel without a receipt: its row is to say so.
    pub moved: bool,
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
    references: Slot<references::Message>,
    unwritten: UnwrittenAnswers,
    /// Phones are looked up by their keys.
    keyring: Arc<Keyring>,
}

impl<J> Clone for Tracking<J> {
    fn clone(&self) -> Self {
        Self {
            shards: Arc::clone(&self.shards),
            references: self.references.clone(),
            unwritten: self.unwritten.clone(),
            keyring: Arc::clone(&self.keyring),
        }
    }
}

impl<J> fmt::Debug for Tracking<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tracking({} shards)", self.shards.len())
    }
}

/// What the branch is made with.
struct Parts<J> {
    batch_max: usize,
    needs: Needs,
    book: Arc<dyn Book>,
    keyring: Arc<Keyring>,
    ledger: Arc<dyn Fn() -> Box<dyn Ledger> + Send + Sync>,
    tasks: Tasks,
    fallbacks: mpsc::Sender<Box<J>>,
    wake: Wake,
}

impl<J: Send + 'static> Tracking<J> {
    /// Makes the handle and the branch of the tree that it speaks to. Deliveries whose attempt failed with a channel left
    /// and time for it go into `fallbacks`; if that is full or closed they end. `wake` hears which webhook endpoints have
    /// something to be sent; it must not block. By the `keyring`'s keys the phones of receipts are compared.
    #[must_use]
    pub fn new(
        config: &TrackingConfig,
        dispatch: &DispatchConfig,
        store: &Store,
        keyring: &Arc<Keyring>,
        tasks: &Tasks,
        fallbacks: mpsc::Sender<Box<J>>,
        wake: Wake,
    ) -> (Self, Child) {
        let store = store.clone();
        let parts = Parts {
            batch_max: config.batch_max,
            needs: Needs { leave: millis(dispatch.dispatch_within_ms), attempt: millis(dispatch.attempt_needs_ms) },
            book: Arc::new(StoreBook(store.clone())),
            keyring: Arc::clone(keyring),
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
        let references = Slot::vacant();
        let unwritten = UnwrittenAnswers::default();
        let tracking = Self { shards, references, unwritten, keyring: Arc::clone(&parts.keyring) };
        let shards = tracking.shards.iter().enumerate().map(|(number, slot)| {
            let parts = Arc::clone(&parts);
            Child::actor("tracking shard", slot, move || (Shard::new(number), Arc::clone(&parts)))
                .finishing(Message::<J>::Finish)
        });
        let mut children: Vec<Child> = shards.collect();
        // Stopped first: what it finds still goes to a shard.
        children.push(tracking.references_child(&parts));
        (tracking, Child::supervisor("tracking", Budget::default(), children))
    }

    fn references_child(&self, parts: &Parts<J>) -> Child {
        let shards = Arc::clone(&self.shards);
        let deliver = move |attempt: CarrierAttempt, receipt: Receipt, reply: oneshot::Sender<()>| {
            let CarrierAttempt { delivery, channel } = attempt;
            // If nobody is alive to judge it, the drop of its reply tells the link to keep it.
            let _down = shard(&shards, delivery).cast(Message::Receipt { delivery, channel, receipt, reply });
        };
        let parts = references::Parts {
            batch_max: parts.batch_max,
            book: Arc::clone(&parts.book),
            deliver: Arc::new(deliver),
            tasks: parts.tasks.clone(),
        };
        Child::actor("tracking references", &self.references, move || (References, parts.clone()))
            .finishing(references::Message::Finish)
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
    /// repeat reads the delivery instead. Until it is written [`Tracking::unwritten_answer`] knows it.
    pub fn answered(&self, answer: AnswerRecord) {
        let key = conflict_key(b'k', (answer.account, &answer.key));
        let shard = usize::try_from(key % self.shards.len() as u64).unwrap_or(0);
        let unwritten = self.unwritten.keep(&answer);
        let _down = self.shards[shard].cast(Message::Answered(answer, unwritten));
    }

    /// The answer that this node gave to a key and has not written yet, and the order that it was given to.
    #[must_use]
    pub fn unwritten_answer(&self, account: AccountId, key: &str) -> Option<(DeliveryId, FirstAnswer)> {
        self.unwritten.find(account, key)
    }

    /// Where links put receipts.
    #[must_use]
    pub fn sink(&self) -> Arc<dyn ReceiptSink> {
        Arc::new(self.clone())
    }

    fn shard(&self, delivery: DeliveryId) -> &Slot<Message<J>> {
        shard(&self.shards, delivery)
    }
}

/// The last byte of an id is random.
fn shard<J>(shards: &[Slot<Message<J>>], delivery: DeliveryId) -> &Slot<Message<J>> {
    &shards[usize::from(delivery.as_bytes()[15]) % shards.len()]
}

impl<J: Send + 'static> ReceiptSink for Tracking<J> {
    fn put(&self, receipt: Receipt) -> BoxFuture<'static, Result<(), NotDurable>> {
        let (reply, durable) = oneshot::channel();
        let sent = match receipt.subject.clone() {
            Subject::Attempt { delivery, channel } => {
                self.shard(delivery).cast(Message::Receipt { delivery, channel, receipt, reply }).is_ok()
            }
            Subject::Reference { references, phone } => {
                let phone_key = phone.map(|phone| self.keyring.phone_key(phone));
                let sought = Sought { upstream: receipt.upstream.clone(), references, phone_key };
                let item = ByReference { receipt, sought, reply };
                self.references.cast(references::Message::Receipt(item)).is_ok()
            }
        };
        Box::pin(wait(sent, durable))
    }

    fn name(&self, naming: Naming) -> BoxFuture<'static, Result<(), NotDurable>> {
        let (reply, durable) = oneshot::channel();
        let Naming { upstream, delivery, channel, phone, references, poller } = naming;
        let attempt = CarrierAttempt { delivery, channel };
        let phone_key = self.keyring.phone_key(phone);
        let named = Named { upstream, references, attempt, phone_key, poller };
        let sent = self.references.cast(references::Message::Name(references::Naming { named, reply })).is_ok();
        Box::pin(wait(sent, durable))
    }

    /// Waits as long as it takes: what was taken over and is not told would be asked for by nobody.
    fn poll(&self, polling: Polling) -> BoxFuture<'static, Result<TakenOver, NotDurable>> {
        let (reply, taken_over) = oneshot::channel();
        let sent = self.references.cast(references::Message::Poll(polling, reply)).is_ok();
        Box::pin(async move {
            match taken_over.await {
                Ok(taken_over) if sent => Ok(taken_over),
                Ok(_) | Err(_) => Err(NotDurable),
            }
        })
    }
}

async fn wait(sent: bool, durable: oneshot::Receiver<()>) -> Result<(), NotDurable> {
    if !sent {
        return Err(NotDurable);
    }
    match tokio::time::timeout(RECEIPT_WAIT, durable).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(NotDurable),
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
