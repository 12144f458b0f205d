//! The listeners: the public one with its limits, and the one for operators.
//!
//! Only the shape; the values and the manual are `config/default.toml`, the rules between fields are in `check`.

use std::net::SocketAddr;

use ipnet::IpNet;
use serde::Deserialize;

use super::entries;

/// The public listener and its limits.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    pub bind: SocketAddr,
    /// What `deposit_url` in a 402 is.
    pub deposit_url: String,
    /// Peers whose client-IP headers are believed.
    #[serde(deserialize_with = "entries::networks")]
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
