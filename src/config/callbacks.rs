//! The listener to which providers bring receipts.
//!
//! Only the shape; the values and the manual are `config/default.toml`, the rules between fields are in `check`.

use std::net::SocketAddr;

use ipnet::IpNet;
use serde::Deserialize;

use super::entries;

/// The carriers' listener and its limits.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallbacksConfig {
    /// `ADDRESS:PORT`; empty: there is none.
    pub listen: String,
    #[serde(deserialize_with = "entries::networks")]
    pub trusted_proxies: Vec<IpNet>,
    pub connections_max: usize,
    /// Per IPv4 address or IPv6 /64; trusted proxies are exempt.
    pub connections_per_ip_max: usize,
    pub body_bytes_max: usize,
    pub read_ms: u64,
    pub idle_ms: u64,
}

impl CallbacksConfig {
    /// Where to listen, if anywhere; a text that is no address was refused when the settings were read.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.listen.parse().ok()
    }
}
