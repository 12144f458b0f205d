//! A repeat of a keyed request: answered from a plain read, without a permit, a slot or a window.

use std::time::Duration;

use subtle::ConstantTimeEq;

use super::answer::{Answer, SendError, Sent};
use super::{IdempotencyClaim, Sender};
use crate::domain::delivery::Status;
use crate::domain::ids::{AccountId, DeliveryId};
use crate::records::idempotency::{self, FirstAnswer, KnownKey};
use crate::store::StoreError;

impl Sender {
    /// The answer to a key that is known; `None` if it is new.
    pub(super) async fn replay(&self, account: AccountId, claim: &IdempotencyClaim) -> Option<Answer> {
        // Before the row is read: an answer that is written meanwhile is then in the row.
        let unwritten = self.parts.tracking.unwritten_answer(account, &claim.key);
        let key = claim.key.clone();
        let store = &self.parts.store;
        let found =
            store.read_for_order(move |tx| Box::pin(async move { idempotency::find(tx, account, &key).await })).await;
        match found {
            Ok(known) => known.map(|known| answer(known, claim, unwritten)),
            Err(
                error @ (StoreError::Unavailable(_)
                | StoreError::Unfit(_)
                | StoreError::Conflict(_)
                | StoreError::Locked(_)),
            ) => {
                tracing::warn!(%error, "an idempotency key cannot be looked up");
                Some(Answer::first(Err(SendError::Unavailable)))
            }
            Err(StoreError::Internal(error)) => {
                tracing::error!(error, "an idempotency key cannot be read");
                Some(Answer::first(Err(SendError::Internal)))
            }
        }
    }
}

/// The first answer once more; where it is not written, what this node remembers of it (`unwritten`) or, if the node that gave
/// it died before it was written, what the delivery itself says.
fn answer(known: KnownKey, claim: &IdempotencyClaim, unwritten: Option<(DeliveryId, FirstAnswer)>) -> Answer {
    if !bool::from(known.body_mac.as_slice().ct_eq(&claim.body_mac)) {
        return Answer::first(Err(SendError::IdempotencyReused));
    }
    let remembered = unwritten.filter(|(delivery, _)| *delivery == known.delivery).map(|(_, answer)| answer);
    let first = known.answer.or(remembered).or(match known.status {
        Status::Sent => None,
        Status::Delivered => Some(FirstAnswer::Sent),
        Status::Failed => Some(FirstAnswer::NoRoute),
    });
    let delivery = known.delivery;
    match first {
        None => Answer::first(Err(SendError::IdempotencyInProgress)),
        Some(FirstAnswer::Sent) => {
            Answer::again(Ok(Sent { delivery, carrier: known.carrier, cost: known.cost, balance: known.balance_after }))
        }
        Some(FirstAnswer::NoRoute) => Answer::again(Err(SendError::NoRoute { delivery })),
        Some(FirstAnswer::CarrierLimited) => Answer::again(Err(SendError::CarrierLimited {
            delivery,
            remaining: known.window_remaining.max(Duration::from_secs(1)),
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::carrier::Carrier;
    use crate::domain::money::MicroUsd;

    fn known(answer: Option<FirstAnswer>, status: Status) -> KnownKey {
        KnownKey {
            body_mac: [1; 32],
            delivery: DeliveryId::from_bytes([2; 16]),
            balance_after: MicroUsd::from_micros(9_978_000),
            answer,
            status,
            carrier: Carrier::new("viettel").expect("valid"),
            cost: MicroUsd::from_micros(22_000),
            window_remaining: Duration::ZERO,
        }
    }

    fn claim(mac: u8) -> IdempotencyClaim {
        IdempotencyClaim { key: "k".into(), body_mac: [mac; 32] }
    }

    #[test]
    fn another_body_is_refused_whatever_is_known() {
        let refused = answer(known(Some(FirstAnswer::Sent), Status::Delivered), &claim(9), None);
        assert_eq!(refused, Answer::first(Err(SendError::IdempotencyReused)));
    }

    #[test]
    fn the_first_answer_is_repeated_even_after_the_delivery_ended_otherwise() {
        let again = answer(known(Some(FirstAnswer::Sent), Status::Failed), &claim(1), None);
        assert!(again.replayed && again.result.is_ok());
    }

    #[test]
    fn without_a_written_answer_the_delivery_decides() {
        let of = |status| answer(known(None, status), &claim(1), None);
        assert_eq!(of(Status::Sent), Answer::first(Err(SendError::IdempotencyInProgress)));
        assert!(of(Status::Delivered).result.is_ok());
        let delivery = DeliveryId::from_bytes([2; 16]);
        assert_eq!(of(Status::Failed), Answer::again(Err(SendError::NoRoute { delivery })));
    }

    #[test]
    fn an_answer_that_is_not_written_yet_is_repeated_to_the_same_order_only() {
        let of = |mac, unwritten| answer(known(None, Status::Sent), &claim(mac), unwritten);
        let ours = (DeliveryId::from_bytes([2; 16]), FirstAnswer::Sent);
        let again = of(1, Some(ours));
        assert!(again.replayed && again.result.is_ok());
        assert_eq!(of(9, Some(ours)), Answer::first(Err(SendError::IdempotencyReused)));
        let anothers = (DeliveryId::from_bytes([3; 16]), FirstAnswer::Sent);
        assert_eq!(of(1, Some(anothers)), Answer::first(Err(SendError::IdempotencyInProgress)));
    }

    #[test]
    fn a_repeated_carrier_limit_never_says_zero() {
        let again = answer(known(Some(FirstAnswer::CarrierLimited), Status::Failed), &claim(1), None);
        assert!(matches!(again.result, Err(SendError::CarrierLimited { remaining, .. }) if remaining.as_secs() == 1));
    }
}
