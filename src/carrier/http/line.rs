//! Connections to one provider: dialled when they are needed, kept for the next request, never more than are in use at once.
//!
//! A kept connection that turns out closed before a byte of a request was written is replaced. What goes over one is in
//! `exchange`.

use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use rustls::ClientConfig;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::exchange::{Answer, Undone, Wire};
use crate::config::upstreams::http::HttpConfig;
use crate::domain::endpoint_url::{EndpointUrl, Host};
use crate::wire::dns::Dns;
use crate::wire::tcp;
use crate::wire::tls::{self, TlsError};

/// So many addresses of a name are tried at most.
const ADDRESSES_MAX: usize = 8;
/// A connection goes on for so long at most: where its name leads is to be asked again.
const CONNECTION_LIFE_MAX: Duration = Duration::from_secs(300);

/// The way to one provider.
pub(in crate::carrier) struct Lines {
    url: EndpointUrl,
    dns: Dns,
    tls: Arc<ClientConfig>,
    connect_timeout: Duration,
    answer_timeout: Duration,
    keep_alive: Duration,
    kept_max: usize,
    kept: Mutex<Vec<Kept>>,
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lines({})", self.url.host())
    }
}

/// An idle connection.
struct Kept {
    wire: Wire,
    born: Instant,
    since: Instant,
}

/// Whom lines go to, and what they are given.
#[derive(Clone, Debug)]
pub(in crate::carrier) struct Way {
    pub(in crate::carrier) url: EndpointUrl,
    /// PEM with certificate authorities to trust besides the public ones.
    pub(in crate::carrier) extra_ca_file: Option<String>,
    pub(in crate::carrier) connect_timeout: Duration,
    pub(in crate::carrier) answer_timeout: Duration,
    pub(in crate::carrier) keep_alive: Duration,
    pub(in crate::carrier) kept_max: usize,
}

impl Lines {
    /// # Errors
    /// [`TlsError`] if the extra authorities cannot be read.
    pub(super) fn new(config: &HttpConfig) -> Result<Self, TlsError> {
        Self::to(Way {
            url: config.url.clone(),
            extra_ca_file: config.extra_ca_file.clone(),
            connect_timeout: config.connect_timeout,
            answer_timeout: config.answer_timeout,
            keep_alive: config.keep_alive,
            kept_max: config.in_flight_max,
        })
    }

    /// # Errors
    /// [`TlsError`] if the extra authorities cannot be read.
    pub(in crate::carrier) fn to(way: Way) -> Result<Self, TlsError> {
        let mut tls = tls::client(way.extra_ca_file.as_deref().map(Path::new))?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            url: way.url,
            dns: Dns::new(&[], way.connect_timeout),
            tls: Arc::new(tls),
            connect_timeout: way.connect_timeout,
            answer_timeout: way.answer_timeout,
            keep_alive: way.keep_alive,
            kept_max: way.kept_max,
            kept: Mutex::default(),
        })
    }

    /// Sends what `request` makes and reads the answer. Not a byte is written after `leave_by`.
    pub(in crate::carrier) async fn exchange(
        &self,
        leave_by: Instant,
        request: impl Fn() -> Request<Full<Bytes>>,
    ) -> Result<Answer, Undone> {
        while let Some(Kept { mut wire, born, .. }) = self.take_kept() {
            match self.over(&mut wire, request()).await {
                Err(Undone::NotSent(_)) => {}
                Err(undone) => return Err(undone),
                Ok((answer, reusable)) => {
                    self.keep(wire, born, reusable);
                    return Ok(answer);
                }
            }
        }
        let (mut wire, born) = (self.dial(leave_by).await?, Instant::now());
        if born > leave_by {
            self.keep(wire, born, true);
            return Err(Undone::NotSent("too late".to_owned()));
        }
        let (answer, reusable) = self.over(&mut wire, request()).await?;
        self.keep(wire, born, reusable);
        Ok(answer)
    }

    /// Whether the provider can be connected to. The connection is kept.
    pub(super) async fn probe(&self) -> Result<(), Undone> {
        let wire = self.dial(Instant::now() + self.connect_timeout).await?;
        self.keep(wire, Instant::now(), true);
        Ok(())
    }

    async fn over(&self, wire: &mut Wire, request: Request<Full<Bytes>>) -> Result<(Answer, bool), Undone> {
        let deadline = Instant::now() + self.answer_timeout;
        timeout_at(deadline, wire.exchange(request)).await.unwrap_or(Err(Undone::Lost("no answer in time")))
    }

    async fn dial(&self, leave_by: Instant) -> Result<Wire, Undone> {
        let deadline = leave_by.min(Instant::now() + self.connect_timeout);
        let dialled = timeout_at(deadline, self.connect(deadline)).await;
        let dialled = dialled.unwrap_or_else(|_| Err("no connection in time".to_owned()));
        // What was cut short because it was late itself says nothing of the provider.
        dialled.map_err(|why| {
            if Instant::now() >= leave_by { Undone::NotSent("too late".to_owned()) } else { Undone::Unreachable(why) }
        })
    }

    async fn connect(&self, deadline: Instant) -> Result<Wire, String> {
        let addresses = self.addresses().await?;
        let stream = tcp::connect(&addresses, self.url.port(), deadline).await.map_err(|error| error.to_string())?;
        if !self.url.is_https() {
            return Wire::over(Box::new(stream)).await;
        }
        let name = tls::server_name(self.url.host())?;
        let stream = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await;
        Wire::over(Box::new(stream.map_err(|error| format!("TLS: {error}"))?)).await
    }

    /// Where the provider is: anywhere, also in a private network; whom an operator configures is the operator's choice.
    async fn addresses(&self) -> Result<Vec<IpAddr>, String> {
        let mut addresses = match self.url.host() {
            Host::Address(address) => vec![*address],
            Host::Name(name) => self.dns.look_up(name).await.map_err(|why| format!("{name}: {why}"))?,
        };
        addresses.iter_mut().for_each(|address| *address = address.to_canonical());
        addresses.truncate(ADDRESSES_MAX);
        Ok(addresses)
    }

    /// The connection that was used last: the others grow old and are let go.
    fn take_kept(&self) -> Option<Kept> {
        let mut kept = self.kept();
        let now = Instant::now();
        kept.retain_mut(|kept| {
            let young = now < kept.born + CONNECTION_LIFE_MAX && now < kept.since + self.keep_alive;
            young && !kept.wire.has_ended()
        });
        kept.pop()
    }

    fn keep(&self, mut wire: Wire, born: Instant, reusable: bool) {
        if !reusable || wire.has_ended() {
            return;
        }
        let mut kept = self.kept();
        if kept.len() < self.kept_max {
            kept.push(Kept { wire, born, since: Instant::now() });
        }
    }

    /// Closes what is idle.
    pub(super) fn close(&self) {
        self.kept().clear();
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
