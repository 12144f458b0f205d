//! From a host to the addresses that may be connected to, and to no other.
//!
//! The filter sits here, behind the DNS and before the socket: the addresses that passed it are those that are dialled, so
//! that a name cannot answer one thing to a check and another to the connection. Nobody else resolves a name.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::config::WebhooksConfig;
use crate::domain::egress;
use crate::domain::endpoint_url::Host;
use crate::webhook::courier::Refused;
use crate::wire::dns::Dns;

/// So many addresses of a name are tried at most.
const ADDRESSES_MAX: usize = 8;

#[derive(Debug)]
pub(crate) struct Resolver {
    dns: Dns,
    allowed: Vec<IpNet>,
    denied: Vec<IpNet>,
}

impl Resolver {
    pub(crate) fn new(config: &WebhooksConfig) -> Self {
        let deadline = Duration::from_millis(config.timeout_ms);
        let WebhooksConfig { allow_networks, deny_networks, dns_servers, .. } = config;
        Self { dns: Dns::new(dns_servers, deadline), allowed: allow_networks.clone(), denied: deny_networks.clone() }
    }

    /// The addresses of `host` that are public or allowed; never none, each once, IPv4 before IPv6.
    pub(crate) async fn addresses(&self, host: &Host) -> Result<Vec<IpAddr>, Refused> {
        let name = match host {
            Host::Address(address) if self.admits(address.to_canonical()) => return Ok(vec![address.to_canonical()]),
            Host::Address(address) => return Err(Refused::Address(*address)),
            Host::Name(name) => name,
        };
        // No search domain is put behind it: a customer's name is never one of our own network.
        let found = self.dns.look_up(name).await.map_err(|why| Refused::Unresolved { name: name.clone(), why })?;
        let (mut admitted, mut refused) = (Vec::new(), None);
        for address in found.into_iter().map(|address| address.to_canonical()) {
            if !self.admits(address) {
                refused = Some(address);
            } else if !admitted.contains(&address) && admitted.len() < ADDRESSES_MAX {
                admitted.push(address);
            }
        }
        match refused {
            _ if !admitted.is_empty() => Ok(admitted),
            Some(address) => Err(Refused::Private { name: name.clone(), address }),
            None => Err(Refused::Unresolved { name: name.clone(), why: "no address".to_owned() }),
        }
    }

    fn admits(&self, address: IpAddr) -> bool {
        let denied = self.denied.iter().any(|network| network.contains(&address));
        !denied && (egress::is_public(address) || self.allows(address))
    }

    /// Whether the operator has named a network that holds `address`.
    pub(crate) fn allows(&self, address: IpAddr) -> bool {
        self.allowed.iter().any(|network| network.contains(&address))
    }
}
