//! *Accept*: the one transaction that claims a phone's window, charges a wallet and writes the delivery.

use std::time::Duration;

use crate::domain::carrier::{Carrier, Channel};
use crate::domain::ids::{AccountId, DeliveryId};
use crate::domain::money::MicroUsd;
use crate::domain::sealing::PhoneKey;
use crate::domain::time::Timestamp;

/// One OTP that asks to be accepted; everything that its rows will hold, and nothing secret.
#[derive(Clone, Debug)]
pub struct Order {
    pub delivery: DeliveryId,
    pub account: AccountId,
    /// The epoch of the key list that authenticated the caller.
    pub auth_epoch: i64,
    pub phone_key: PhoneKey,
    pub phone_sealed: Vec<u8>,
    pub metadata_sealed: Option<Vec<u8>>,
    pub carrier: Carrier,
    pub channel: Channel,
    pub price: MicroUsd,
    /// From the claim of the window to the settle time.
    pub settle_after: Duration,
    pub idempotency: Option<IdempotencyClaim>,
}

/// The idempotency key of an order and the keyed digest of its body.
#[derive(Clone, Debug)]
pub struct IdempotencyClaim {
    pub key: String,
    pub body_mac: [u8; 32],
}

/// What the transaction decided for one order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Durable: window claimed, wallet charged, delivery written. `balance` is what the account can still spend.
    Charged {
        created_at: Timestamp,
        balance: MicroUsd,
    },
    /// The phone's window is held by `owner` for `remaining` more.
    CoolingDown {
        remaining: Duration,
        owner: DeliveryId,
    },
    Insufficient {
        balance: MicroUsd,
    },
    /// The key is known: look it up by a plain read.
    KeyKnown,
    /// The key list that authenticated the caller is older than the database's.
    StaleKey,
    /// The order's id is too far from the database's clock.
    ClockSkew,
}
