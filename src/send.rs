//! Floor 5: the use case. One OTP, readable from top to bottom.
//!
//! It composes what the floors below offer and decides nothing that the database decides. Nothing here is undone by
//! hand: every permit, slot and window entry gives itself back when it is dropped.

mod answer;
mod looking_up;
mod meter;
mod replay;
mod request;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use answer::Refusal;
pub use answer::{Answer, SendError, Sent};
use looking_up::Penniless;
use meter::Meter;
pub use request::{Caller, Idempotency, SendRequest};

use crate::actors::admission::Admission;
use crate::actors::cooldown::{Cooldown, EnterError, Entry};
use crate::actors::dispatch::{Dispatch, DispatchAnswer, Fallback, Job, Slot};
use crate::actors::learning::Learning;
use crate::actors::tracking::Tracking;
use crate::actors::wallet::{Charge, Wallet};
use crate::carrier::look_up::LookUp;
use crate::clock::DatabaseClock;
use crate::domain::carrier::Unroutable;
use crate::domain::ids::{AccountId, DeliveryId};
use crate::domain::money::MicroUsd;
use crate::domain::numbering::Routed;
use crate::domain::phone::Phone;
use crate::domain::sealing::{Keyring, PhoneKey};
use crate::records::acceptance::{IdempotencyClaim, Order, Verdict};
use crate::records::idempotency::{AnswerRecord, FirstAnswer};
use crate::routing::Routing;
use crate::store::Store;

/// The times of the use case.
#[derive(Clone, Copy, Debug)]
pub struct SendTimes {
    /// How long an answer waits for the carrier's ack, from the commit of the charge.
    pub ack_wait: Duration,
    /// From the claim of the window to the settle time.
    pub settle_after: Duration,
}

/// The parts that one OTP passes through.
#[derive(Clone, Debug)]
pub struct Parts {
    pub routing: Routing,
    pub look_up: LookUp,
    pub learning: Learning,
    pub keyring: Arc<Keyring>,
    pub clock: DatabaseClock,
    pub store: Store,
    pub admission: Admission,
    pub cooldown: Cooldown,
    pub wallet: Wallet,
    pub dispatch: Dispatch,
    pub tracking: Tracking<Fallback>,
    pub times: SendTimes,
}

/// Sends codes; cheap to clone.
#[derive(Clone, Debug)]
pub struct Sender {
    parts: Arc<Parts>,
    meter: Arc<Meter>,
    penniless: Arc<Penniless>,
}

/// What the charge of one order led to.
struct Charged {
    delivery: DeliveryId,
    balance: MicroUsd,
    /// Before the transaction that claimed the window was sent: what may leave, and until when, counts from here.
    claimed_at: Instant,
    /// When the charge became known: what the caller waits counts from here.
    known_at: Instant,
    not_before: Option<Instant>,
}

impl Sender {
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self { parts: Arc::new(parts), meter: Arc::new(Meter::new()), penniless: Arc::default() }
    }

    /// The carrier that serves a phone, as far as memory knows.
    ///
    /// # Errors
    /// [`Unroutable`] if the prefix has no carrier or one that is not configured here.
    pub fn route(&self, phone: Phone) -> Result<Routed, Unroutable> {
        self.parts.routing.route(phone)
    }

    /// Sends one code. Run it to its end, whatever becomes of the caller: dropping it half-way leaves a charge to the
    /// settle clock.
    pub async fn send(&self, caller: Caller, request: SendRequest) -> Answer {
        let entered = Instant::now();
        let answer = self.answer(caller, request).await;
        self.meter.count(&answer, entered.elapsed());
        answer
    }

    async fn answer(&self, caller: Caller, request: SendRequest) -> Answer {
        let claim = self.idempotency_claim(&request);
        if let Some(claim) = &claim
            && let Some(answer) = self.replay(caller.account, claim).await
        {
            return answer;
        }
        let keyed = claim.clone();
        let result = self.send_new(caller, request, claim).await;
        match (keyed, result) {
            (Some(claim), Err(Refusal::KeyKnown)) => self.replay(caller.account, &claim).await.unwrap_or_else(|| {
                // Its owner was not charged after all and gave the key back: this caller may try again.
                Answer::first(Err(SendError::IdempotencyInProgress))
            }),
            (Some(claim), Err(Refusal::Error(refused @ SendError::CoolingDown { .. }))) => {
                // The window may be this very order's: its first request was in its commit when the key was looked up.
                let again = self.replay(caller.account, &claim).await;
                again.unwrap_or_else(|| Answer::first(Err(refused)))
            }
            (keyed, result) => {
                let result = result.map_err(Refusal::into_error);
                if let Some(claim) = keyed {
                    self.remember(caller.account, claim, &result);
                }
                Answer::first(result)
            }
        }
    }

    async fn send_new(
        &self,
        caller: Caller,
        mut request: SendRequest,
        claim: Option<IdempotencyClaim>,
    ) -> Result<Sent, Refusal> {
        let parts = &*self.parts;
        if parts.clock.doubt().is_some() {
            return Err(SendError::Unavailable.into());
        }
        let _in_flight = parts.admission.in_flight(caller.account).map_err(|_| SendError::Overloaded)?;
        self.look_up(caller.account, &mut request).await?;
        self.meter.routed(request.source);
        let carrier = &request.route.carrier;
        let (slot, channels) = parts
            .dispatch
            .reserve(carrier, request.channels, caller.account)
            .map_err(|full| SendError::NoRouteNow { retry_after: full.retry_after })?;
        request.channels = channels;
        let phone_key = parts.keyring.phone_key(request.phone);
        let entry = parts.cooldown.enter(phone_key).await.map_err(|error| match error {
            EnterError::CoolingDown { remaining } => SendError::CoolingDown { remaining },
            // Earlier orders for this phone are still undecided: contract §8 knows no third way.
            EnterError::Busy => SendError::CoolingDown { remaining: Duration::from_secs(1) },
        })?;
        // Not before: orders that wait for one phone's verdict would hold every permit and shut the door to everybody.
        let commit = parts.admission.commit().await.map_err(|_| SendError::Overloaded)?;
        let order = self.order(caller, &request, phone_key, claim);
        let charged = self.charge(order, entry).await?;
        drop(commit);
        self.dispatch(caller, request, phone_key, slot, &charged).await
    }

    /// Everything that the rows of this OTP will hold.
    fn order(
        &self,
        caller: Caller,
        request: &SendRequest,
        phone_key: PhoneKey,
        idempotency: Option<IdempotencyClaim>,
    ) -> Order {
        let parts = &*self.parts;
        let delivery = DeliveryId::new(parts.clock.now(), rand::random());
        Order {
            delivery,
            account: caller.account,
            auth_epoch: caller.auth_epoch,
            phone_key,
            phone_sealed: parts.keyring.seal_phone(delivery, request.phone),
            metadata_sealed: request.metadata.as_ref().map(|pairs| parts.keyring.seal_metadata(delivery, pairs)),
            carrier: request.route.carrier.clone(),
            carrier_source: request.source,
            channel: request.channels.first(),
            price: request.route.price,
            settle_after: parts.times.settle_after,
            idempotency,
        }
    }

    /// The durable step: window, wallet and row in one commit.
    async fn charge(&self, order: Order, entry: Entry) -> Result<Charged, Refusal> {
        let (account, delivery, cost) = (order.account, order.delivery, order.price);
        let not_before = entry.not_before();
        let deadline = Instant::now() + self.parts.times.ack_wait;
        let (verdict, claimed_at) = match self.parts.wallet.charge(order, deadline).await {
            Charge::Decided { verdict, since } => (verdict, since),
            Charge::Unavailable => return Err(SendError::Unavailable.into()),
            Charge::Internal => return Err(SendError::Internal.into()),
        };
        match verdict {
            Verdict::Charged { balance, .. } => {
                entry.claimed();
                self.penniless.charged(account);
                Ok(Charged { delivery, balance, claimed_at, known_at: Instant::now(), not_before })
            }
            Verdict::CoolingDown { remaining, .. } => {
                entry.cooling_elsewhere(remaining);
                Err(SendError::CoolingDown { remaining }.into())
            }
            Verdict::Insufficient { balance } => {
                self.penniless.refused(account);
                Err(SendError::Insufficient { balance, cost }.into())
            }
            Verdict::KeyKnown => Err(Refusal::KeyKnown),
            Verdict::StaleKey => Err(SendError::StaleKey.into()),
            Verdict::ClockSkew | Verdict::WalletLocked => Err(SendError::Unavailable.into()),
        }
    }

    /// Hands the charged order to its carrier and waits for what the answer depends on.
    async fn dispatch(
        &self,
        caller: Caller,
        request: SendRequest,
        phone_key: PhoneKey,
        slot: Slot,
        charged: &Charged,
    ) -> Result<Sent, Refusal> {
        let Parts { dispatch, times, .. } = &*self.parts;
        let (answer, answered) = oneshot::channel();
        let delivery = charged.delivery;
        let sent = Sent {
            delivery,
            carrier: request.route.carrier.clone(),
            cost: request.route.price,
            balance: charged.balance,
        };
        dispatch.enqueue(Job {
            delivery,
            account: caller.account,
            phone: request.phone,
            phone_key,
            code: request.code,
            route: request.route,
            channels: request.channels,
            slot,
            not_before: charged.not_before,
            claimed_at: charged.claimed_at,
            settle_by: charged.claimed_at + times.settle_after,
            answer: Some(answer),
            window_kept: false,
        });
        match timeout_at(charged.known_at + times.ack_wait, answered).await {
            Ok(Ok(DispatchAnswer::Refused)) => Err(SendError::NoRoute { delivery }.into()),
            Ok(Ok(DispatchAnswer::PerPhone { remaining })) => {
                Err(SendError::CarrierLimited { delivery, remaining }.into())
            }
            // Undecided within the wait, or its queue died: the charge stands and the end comes by itself.
            Ok(Ok(DispatchAnswer::Out | DispatchAnswer::Undecided) | Err(_)) | Err(_) => Ok(sent),
        }
    }

    /// Has the answer to a keyed order written in a later batch. Refusals that moved no money have no key to write to.
    fn remember(&self, account: AccountId, claim: IdempotencyClaim, result: &Result<Sent, SendError>) {
        let (delivery, answer) = match result {
            Ok(sent) => (sent.delivery, FirstAnswer::Sent),
            Err(SendError::NoRoute { delivery }) => (*delivery, FirstAnswer::NoRoute),
            Err(SendError::CarrierLimited { delivery, .. }) => (*delivery, FirstAnswer::CarrierLimited),
            Err(_) => return,
        };
        self.parts.tracking.answered(AnswerRecord { account, delivery, key: claim.key, answer });
    }

    fn idempotency_claim(&self, request: &SendRequest) -> Option<IdempotencyClaim> {
        request.idempotency.as_ref().map(|idempotency| IdempotencyClaim {
            key: idempotency.key.clone(),
            body_mac: self.parts.keyring.body_mac(&idempotency.body),
        })
    }
}
