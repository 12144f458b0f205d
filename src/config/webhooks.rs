//! Webhooks: deadlines, how many at once, and where they may go.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;

use super::entries;

/// What is told to customers' endpoints, and how.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhooksConfig {
    /// From the start of an attempt to the end of its answer.
    pub timeout_ms: u64,
    pub poll_ms: u64,
    pub posts_per_endpoint: usize,
    pub posts_max: usize,
    pub keep_alive_ms: u64,
    pub ports: Vec<u16>,
    pub allow_http: bool,
    #[serde(deserialize_with = "entries::networks")]
    pub allow_networks: Vec<IpNet>,
    #[serde(deserialize_with = "entries::networks")]
    pub deny_networks: Vec<IpNet>,
    /// Empty: the system's.
    #[serde(deserialize_with = "entries::sockets")]
    pub dns_servers: Vec<SocketAddr>,
    /// PEM; empty: none.
    pub extra_ca_file: String,
    pub keep_attempts_days: u64,
}

impl WebhooksConfig {
    /// How long attempts are kept.
    #[must_use]
    pub const fn keep_attempts(&self) -> Duration {
        Duration::from_secs(self.keep_attempts_days.saturating_mul(24 * 60 * 60))
    }
}
