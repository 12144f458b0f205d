//! Who knows where a webhook may go, and hands out lines that go there.
//!
//! Holds what all lines share: the resolver with its filter, the certificate authorities, the deadlines. Reads no environment:
//! a proxy that is set for others is not used. Holds no connection; lines do.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use crate::config::WebhooksConfig;
use crate::domain::endpoint_url::EndpointUrl;
use crate::domain::webhook::Fault;
use crate::webhook::failure::Failure;
use crate::webhook::line::Line;
use crate::webhook::resolver::Resolver;
use crate::wire;
use crate::wire::tls::TlsError;

/// In the list of ports: any.
const ANY_PORT: u16 = 0;

/// Cheap to clone; all clones share the resolver's cache.
#[derive(Clone, Debug)]
pub struct Courier(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    resolver: Resolver,
    tls: Arc<ClientConfig>,
    allow_http: bool,
    ports: Vec<u16>,
    timeout: Duration,
    keep_alive: Duration,
}

/// Why there is no courier.
#[derive(Debug, thiserror::Error)]
pub enum CourierError {
    #[error("webhooks.extra_ca_file: {0}")]
    Tls(#[from] TlsError),
}

/// Why an endpoint may not be told anything.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    #[error("the URL must start with https://")]
    Http,
    #[error("port {port} is not allowed; allowed: {allowed:?}")]
    Port { port: u16, allowed: Vec<u16> },
    #[error("{0} is not an address of the public internet")]
    Address(IpAddr),
    #[error("{name} leads to {address}, which is not an address of the public internet")]
    Private { name: String, address: IpAddr },
    #[error("{name} cannot be resolved: {why}")]
    Unresolved { name: String, why: String },
    #[error("{name} could not be resolved in time")]
    TooSlow { name: String },
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        let fault = match &refused {
            Refused::Unresolved { .. } => Fault::Dns,
            Refused::TooSlow { .. } => Fault::Timeout,
            Refused::Http | Refused::Port { .. } | Refused::Address(_) | Refused::Private { .. } => Fault::Blocked,
        };
        match refused {
            // Customers read this: where a name leads inside our own networks is not theirs to know.
            Refused::Private { name, .. } => {
                Self::new(fault, format_args!("{name} leads to no address of the public internet"))
            }
            refused => Self::new(fault, refused),
        }
    }
}

impl Courier {
    /// Reads the extra authorities and the system's DNS settings; connects to nobody.
    ///
    /// # Errors
    /// [`CourierError`] if the extra authorities cannot be read or used.
    pub fn new(config: &WebhooksConfig) -> Result<Self, CourierError> {
        Ok(Self(Arc::new(Shared {
            resolver: Resolver::new(config),
            tls: Arc::new(tls(config)?),
            allow_http: config.allow_http,
            ports: config.ports.clone(),
            timeout: Duration::from_millis(config.timeout_ms),
            keep_alive: Duration::from_millis(config.keep_alive_ms),
        })))
    }

    /// Whether `url` may be an endpoint now: its scheme, its port, and where its host leads. Asked at registration; every
    /// attempt asks again.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn check(&self, url: &EndpointUrl) -> Result<(), Refused> {
        let looking = tokio::time::timeout(self.timeout(), self.addresses(url));
        let late = |_| Refused::TooSlow { name: url.host().to_string() };
        looking.await.map_err(late)?.map(|_| ())
    }

    /// A line to `url`; it connects when it is used.
    #[must_use]
    pub fn line(&self, url: EndpointUrl) -> Line {
        Line::new(self.clone(), url)
    }

    /// Where `url` leads, if it may be told anything.
    pub(crate) async fn addresses(&self, url: &EndpointUrl) -> Result<Vec<IpAddr>, Refused> {
        if !url.is_https() && !self.0.allow_http {
            return Err(Refused::Http);
        }
        let ports = &self.0.ports;
        if !ports.contains(&ANY_PORT) && !ports.contains(&url.port()) {
            return Err(Refused::Port { port: url.port(), allowed: ports.clone() });
        }
        let mut addresses = self.0.resolver.addresses(url.host()).await?;
        if !url.is_https() {
            // In the clear only inside a network that the operator has named.
            addresses.retain(|address| self.0.resolver.allows(*address));
        }
        if addresses.is_empty() { Err(Refused::Http) } else { Ok(addresses) }
    }

    pub(crate) fn tls(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0.tls)
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.0.timeout
    }

    pub(crate) fn keep_alive(&self) -> Duration {
        self.0.keep_alive
    }
}

fn tls(config: &WebhooksConfig) -> Result<ClientConfig, TlsError> {
    let extra_ca_file = Some(Path::new(&config.extra_ca_file)).filter(|path| !path.as_os_str().is_empty());
    let mut tls = wire::tls::client(extra_ca_file)?;
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(tls)
}
