//! Floor 1: settings. `config/default.toml` is the manual and, compiled in, the default; a file and then
//! `NEXO_SECTION__KEY` override it.
//!
//! One struct per concern; each module is handed only its own. Unknown fields and contradictions are refused at start.
//! Durations are milliseconds in the file (`…_ms`) and [`Duration`] through the accessor of the same name.

pub mod carriers;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;

/// Everything that the daemon can be told.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub http: HttpConfig,
    pub ops: OpsConfig,
    pub store: StoreConfig,
    pub secrets: SecretsConfig,
    pub admission: AdmissionConfig,
    pub send: SendConfig,
    pub wallet: WalletConfig,
    pub tracking: TrackingConfig,
    pub keys: KeysConfig,
    pub dispatch: DispatchConfig,
    pub sweeper: SweeperConfig,
    pub carriers: CarriersConfig,
    pub simulator: SimulatorConfig,
    pub log: LogConfig,
    pub stop: StopConfig,
}

/// The public listener and its limits.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    pub bind: SocketAddr,
    /// What `deposit_url` in a 402 is.
    pub deposit_url: String,
    /// Peers whose client-IP headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    pub connections_max: usize,
    /// Per IPv4 address or IPv6 /64.
    pub connections_per_ip_max: usize,
    pub first_byte_ms: u64,
    pub header_read_ms: u64,
    pub body_read_ms: u64,
    pub idle_ms: u64,
    pub write_ms: u64,
}

/// The listener for operators: metrics and health.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpsConfig {
    pub bind: SocketAddr,
}

/// Where rows live.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// `sqlite:PATH` or `postgres://…`. It may hold a password, so it is never printed.
    pub url: StoreUrl,
    /// Connections for plain reads (per node).
    pub readers: usize,
}

/// A database address; its `Debug` hides everything but the engine.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct StoreUrl(pub String);

impl std::fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let engine = self.0.split(':').next().unwrap_or_default();
        write!(f, "{engine}:[redacted]")
    }
}

/// Where the encryption and look-up keys come from.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretsConfig {
    /// A TOML file, mode 0600; empty if the keys come from the environment (`NEXO_KEYS`).
    pub key_file: PathBuf,
}

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
    /// The most jobs that one carrier's queue holds where no rate bounds it.
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
    pub keep_idempotency_hours: u64,
    pub keep_deliveries_days: u64,
}

/// The carrier table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CarriersConfig {
    /// Empty: the table that is compiled in (`config/carriers.toml`).
    pub file: PathBuf,
}

/// The simulator's script; each rate is a share of 0–1.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimulatorConfig {
    pub seed: u64,
    pub ack_ms: u64,
    pub ack_jitter_ms: u64,
    pub receipt_ms: u64,
    pub receipt_jitter_ms: u64,
    pub refuse_rate: f64,
    pub fail_rate: f64,
    pub lose_receipt_rate: f64,
    pub duplicate_receipt_rate: f64,
    pub late_receipt_rate: f64,
    /// 0: no limit.
    pub rate_per_second: u32,
    pub in_flight_max: usize,
    pub link_down: bool,
    pub hang: bool,
}

/// How the daemon logs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    pub format: LogFormat,
    /// A `tracing` filter, e.g. `info` or `nexo_route=debug,info`.
    pub filter: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

/// The graceful stop.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StopConfig {
    /// Between `/readyz` red and the closing of the listener, for load balancers.
    pub notice_ms: u64,
    /// The one time-out over everything after the notice.
    pub grace_ms: u64,
}

/// Milliseconds of a setting as a duration.
#[must_use]
pub const fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
