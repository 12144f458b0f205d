//! Floor 5: the use case. One OTP, readable from top to bottom.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::domain::carrier::{Carrier, Channels, Route};
use crate::domain::code::OtpCode;
use crate::domain::ids::{AccountId, DeliveryId};
use crate::domain::metadata::Metadata;
use crate::domain::money::MicroUsd;
use crate::domain::phone::Phone;

/// Who calls, as the key list knew it when the request came.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    pub account: AccountId,
    pub auth_epoch: i64,
    /// The client's address after trusted proxies; for logs.
    pub ip: IpAddr,
}

/// One validated request to send a code.
#[derive(Debug)]
pub struct SendRequest {
    pub phone: Phone,
    pub code: OtpCode,
    pub route: Arc<Route>,
    pub channels: Channels,
    pub metadata: Option<Metadata>,
    pub idempotency: Option<Idempotency>,
}

/// An idempotency key and the raw body that it covers.
#[derive(Debug)]
pub struct Idempotency {
    /// 1–255 visible ASCII characters.
    pub key: String,
    pub body: Bytes,
}

/// The answer to one request; `replayed` if it is the answer of an earlier one with the same key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    pub result: Result<Sent, SendError>,
    pub replayed: bool,
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
    /// 409.
    IdempotencyInProgress,
    /// 422.
    IdempotencyReused,
    /// The key list that authenticated the caller is old: reload it and authenticate once more.
    StaleKey,
    /// 500: ours.
    Internal,
}
