//! From a name to its addresses, within a deadline and without a thread of its own.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::Name;

use super::descriptors::{self, Need};

/// A name that had no address may get one soon.
const NEGATIVE_TTL_MAX: Duration = Duration::from_secs(10);
const POSITIVE_TTL_MAX: Duration = Duration::from_secs(300);
const NAMES_CACHED: u64 = 8_192;
const QUERIES_AT_ONCE: usize = 1_024;

/// A resolver with a cache of its own.
#[derive(Debug)]
pub struct Dns {
    /// Or why there is none: literal addresses can be reached without.
    resolver: Result<TokioResolver, String>,
}

impl Dns {
    /// Asks `servers`, or those of the system if there are none. `deadline` is that of whoever waits for an answer.
    #[must_use]
    pub fn new(servers: &[SocketAddr], deadline: Duration) -> Self {
        Self { resolver: resolver(servers, deadline) }
    }

    /// The addresses of `name`, which is whole: no search domain is put behind it.
    ///
    /// # Errors
    /// Why there is none, in a short text.
    pub async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        let resolver = self.resolver.as_ref().map_err(Clone::clone)?;
        let mut name = Name::from_ascii(name).map_err(|error| error.to_string())?;
        name.set_fqdn(true);
        let mut found = resolver.lookup_ip(name.clone()).await;
        if found.is_err() && descriptors::are_out() && descriptors::lend(Need::Second) {
            found = resolver.lookup_ip(name).await;
        }
        match found {
            Ok(found) => Ok(found.iter().collect()),
            Err(error) if error.is_nx_domain() => Err("there is no such name".to_owned()),
            Err(error) if error.is_no_records_found() => Err("no address".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn resolver(servers: &[SocketAddr], deadline: Duration) -> Result<TokioResolver, String> {
    let provider = TokioRuntimeProvider::default();
    let mut builder = if servers.is_empty() {
        TokioResolver::builder(provider).map_err(|error| format!("no DNS server is known: {error}"))?
    } else {
        let servers = servers.iter().map(|server| {
            let mut ways = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
            ways.iter_mut().for_each(|way| way.port = server.port());
            NameServerConfig::new(server.ip(), true, ways.into())
        });
        TokioResolver::builder_with_config(ResolverConfig::from_name_servers(servers.collect()), provider)
    };
    patience(builder.options_mut(), deadline);
    builder.build().map_err(|error| error.to_string())
}

/// A query is asked again before the deadline, and given up before it: who does not answer is then named.
fn patience(options: &mut ResolverOpts, deadline: Duration) {
    options.timeout = deadline / 4;
    options.attempts = 2;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.cache_size = NAMES_CACHED;
    options.max_active_requests = QUERIES_AT_ONCE;
    options.negative_max_ttl = Some(NEGATIVE_TTL_MAX);
    options.positive_max_ttl = Some(POSITIVE_TTL_MAX);
}
