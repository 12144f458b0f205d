//! From a host to the addresses that may be connected to, and to no other.
//!
//! The filter sits here, behind the DNS and before the socket: the addresses that passed it are those that are dialled, so
//! that a name cannot answer one thing to a check and another to the connection. Nobody else resolves a name.

use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::Name;
use ipnet::IpNet;

use crate::config::WebhooksConfig;
use crate::domain::egress;
use crate::domain::endpoint_url::Host;
use crate::webhook::courier::Refused;

/// So many addresses of a name are tried at most.
const ADDRESSES_MAX: usize = 8;
/// A name that had no address may get one soon.
const NEGATIVE_TTL_MAX: Duration = Duration::from_secs(10);
const POSITIVE_TTL_MAX: Duration = Duration::from_secs(300);
const NAMES_CACHED: u64 = 8_192;
const QUERIES_AT_ONCE: usize = 1_024;

#[derive(Debug)]
pub(crate) struct Resolver {
    /// Or why there is none: literal addresses can be reached without.
    dns: Result<TokioResolver, String>,
    allowed: Vec<IpNet>,
    denied: Vec<IpNet>,
}

impl Resolver {
    pub(crate) fn new(config: &WebhooksConfig) -> Self {
        let deadline = Duration::from_millis(config.timeout_ms);
        let WebhooksConfig { allow_networks, deny_networks, .. } = config;
        Self { dns: dns(config, deadline), allowed: allow_networks.clone(), denied: deny_networks.clone() }
    }

    /// The addresses of `host` that are public or allowed; never none, each once, IPv4 before IPv6.
    pub(crate) async fn addresses(&self, host: &Host) -> Result<Vec<IpAddr>, Refused> {
        let name = match host {
            Host::Address(address) if self.admits(address.to_canonical()) => return Ok(vec![address.to_canonical()]),
            Host::Address(address) => return Err(Refused::Address(*address)),
            Host::Name(name) => name,
        };
        let found = self.look_up(name).await.map_err(|why| Refused::Unresolved { name: name.clone(), why })?;
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

    async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        let dns = self.dns.as_ref().map_err(Clone::clone)?;
        let mut name = Name::from_ascii(name).map_err(|error| error.to_string())?;
        // No search domain is put behind it: a customer's name is never one of our own network.
        name.set_fqdn(true);
        match dns.lookup_ip(name).await {
            Ok(found) => Ok(found.iter().collect()),
            Err(error) if error.is_nx_domain() => Err("there is no such name".to_owned()),
            Err(error) if error.is_no_records_found() => Err("no address".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn dns(config: &WebhooksConfig, deadline: Duration) -> Result<TokioResolver, String> {
    let provider = TokioRuntimeProvider::default();
    let mut builder = if config.dns_servers.is_empty() {
        TokioResolver::builder(provider).map_err(|error| format!("no DNS server is known: {error}"))?
    } else {
        let servers = config.dns_servers.iter().map(|server| {
            let mut ways = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
            ways.iter_mut().for_each(|way| way.port = server.port());
            NameServerConfig::new(server.ip(), true, ways.into())
        });
        TokioResolver::builder_with_config(ResolverConfig::from_name_servers(servers.collect()), provider)
    };
    patience(builder.options_mut(), deadline);
    builder.build().map_err(|error| error.to_string())
}

/// A query is asked again before the attempt's deadline, and given up before it: who does not answer is then named.
fn patience(options: &mut ResolverOpts, deadline: Duration) {
    options.timeout = deadline / 4;
    options.attempts = 2;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.cache_size = NAMES_CACHED;
    options.max_active_requests = QUERIES_AT_ONCE;
    options.negative_max_ttl = Some(NEGATIVE_TTL_MAX);
    options.positive_max_ttl = Some(POSITIVE_TTL_MAX);
}
