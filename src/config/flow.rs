//! The way of one OTP through the house: permits, waits, batches and queues.
//!
//! Only the shape; the values and the manual are `config/default.toml`, the rules between fields are in `check`.

use serde::Deserialize;

/// Back-pressure before any money moves.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdmissionConfig {
    /// Charges that may await a commit at once.
    pub commits_max: usize,
    /// Callers that may wait for a commit permit; one more is shed at once.
    pub commit_waiters_max: usize,
    pub commit_wait_ms: u64,
    /// Requests between admission and answer.
    pub in_flight_max: usize,
    pub in_flight_per_account_max: usize,
}

/// The use case.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SendConfig {
    /// How long an answer waits for the carrier's ack, from the commit of the charge.
    pub ack_wait_ms: u64,
}

/// The group commits of charges.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WalletConfig {
    pub shards: usize,
    pub batch_max: usize,
}

/// The group commits of ends, and deliveries in flight.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrackingConfig {
    pub shards: usize,
    pub batch_max: usize,
}

/// The list of live keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysConfig {
    pub poll_ms: u64,
    /// A list whose last good poll is older answers 503.
    pub stale_after_ms: u64,
}

/// Queues towards carriers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DispatchConfig {
    /// How long an attempt may wait to leave, from the instant at which it may.
    pub dispatch_within_ms: u64,
    /// From the end of `dispatch_within` to the settle time.
    pub receipt_wait_ms: u64,
    /// An attempt starts only with this much time left before the settle time.
    pub attempt_needs_ms: u64,
    /// An attempt without an outcome after this is ambiguous.
    pub attempt_timeout_ms: u64,
    /// The most jobs that wait in one carrier's queue, however fast its links are.
    pub queue_max: usize,
    pub breaker_failures: u32,
    pub breaker_open_ms: u64,
}

/// Whatever is overdue.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweeperConfig {
    pub every_ms: u64,
    pub batch_max: usize,
    pub keep_deliveries_days: u64,
}
