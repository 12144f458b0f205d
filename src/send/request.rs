//! What is asked of the use case: who calls, and what is to be sent.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;

use crate::domain::carrier::{CarrierSource, ChannelChoice, Channels, Route};
use crate::domain::code::OtpCode;
use crate::domain::ids::AccountId;
use crate::domain::metadata::Metadata;
use crate::domain::phone::Phone;

/// Who calls, as the key list knew it when the request came.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    pub account: AccountId,
    pub auth_epoch: i64,
    /// The client's address after trusted proxies: the allowlist meets it again when the key list has changed.
    pub ip: IpAddr,
}

/// One validated request to send a code.
#[derive(Debug)]
pub struct SendRequest {
    pub phone: Phone,
    pub code: OtpCode,
    pub route: Arc<Route>,
    /// How the carrier was found.
    pub source: CarrierSource,
    /// What the caller asked for, where a look-up finds another carrier.
    pub choice: ChannelChoice,
    /// What this leaves of the carrier's channels.
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
