//! What the use case answers, in facts and without HTTP.

use std::time::Duration;

use crate::domain::carrier::Carrier;
use crate::domain::ids::DeliveryId;
use crate::domain::money::MicroUsd;

/// The answer to one request; `replayed` if it is the answer of an earlier one with the same key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    pub result: Result<Sent, SendError>,
    pub replayed: bool,
}

impl Answer {
    /// An answer that was not given before.
    #[must_use]
    pub const fn first(result: Result<Sent, SendError>) -> Self {
        Self { result, replayed: false }
    }

    /// The answer of an earlier request, given again.
    #[must_use]
    pub const fn again(result: Result<Sent, SendError>) -> Self {
        Self { result, replayed: true }
    }
}

/// What a 202 says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sent {
    pub delivery: DeliveryId,
    pub carrier: Carrier,
    pub cost: MicroUsd,
    pub balance: MicroUsd,
}

/// Why there is no 202. No variant leaves a charge standing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SendError {
    /// 503 `overloaded`: shed before any money moved.
    Overloaded,
    /// 503 `unavailable`: the database, or the outcome of its commit, is out of reach.
    Unavailable,
    /// 402.
    Insufficient { balance: MicroUsd, cost: MicroUsd },
    /// 429 `rate_limited`: the phone's window.
    CoolingDown { remaining: Duration },
    /// 429 `rate_limited`: the carrier's own limit; refunded.
    CarrierLimited { delivery: DeliveryId, remaining: Duration },
    /// 429 `no_route`: the carrier's queue cannot take it in time; nothing charged.
    NoRouteNow { retry_after: Duration },
    /// 502 `no_route`: refused on the last channel, or could not leave; refunded.
    NoRoute { delivery: DeliveryId },
    /// 400 `invalid_phone`: a look-up found the phone on a network that is not served.
    NotServed { carrier: Carrier },
    /// 400 `invalid_request`: a look-up found the phone on a network that the chosen channel does not reach.
    NoChannel { carrier: Carrier },
    /// 409.
    IdempotencyInProgress,
    /// 422.
    IdempotencyReused,
    /// The key list that authenticated the caller is old: reload it and authenticate once more.
    StaleKey,
    /// 500: ours.
    Internal,
}

impl SendError {
    /// The `error` of the answer: a bounded label.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Overloaded => "overloaded",
            Self::Unavailable => "unavailable",
            Self::Insufficient { .. } => "insufficient_balance",
            Self::CoolingDown { .. } => "rate_limited",
            Self::CarrierLimited { .. } => "carrier_rate_limited",
            Self::NoRouteNow { .. } => "no_route_now",
            Self::NoRoute { .. } => "no_route",
            Self::NotServed { .. } => "not_served",
            Self::NoChannel { .. } => "no_channel",
            Self::IdempotencyInProgress => "idempotency_in_progress",
            Self::IdempotencyReused => "idempotency_key_reused",
            Self::StaleKey => "stale_key",
            Self::Internal => "internal",
        }
    }
}

/// Why an order went no further: an answer, or a key that has one already.
pub(super) enum Refusal {
    Error(SendError),
    KeyKnown,
}

impl Refusal {
    pub(super) fn into_error(self) -> SendError {
        match self {
            Self::Error(error) => error,
            Self::KeyKnown => SendError::IdempotencyInProgress,
        }
    }
}

impl From<SendError> for Refusal {
    fn from(error: SendError) -> Self {
        Self::Error(error)
    }
}
