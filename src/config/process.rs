//! The process itself: how it logs and how it stops.
//!
//! Only the shape; the values and the manual are `config/default.toml`, the rules between fields are in `check`.

use serde::Deserialize;

/// How the daemon logs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    pub format: LogFormat,
    /// A `tracing` filter, e.g. `info` or `nexo_route=debug,info`.
    pub filter: String,
}

/// How a line of the log looks.
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
