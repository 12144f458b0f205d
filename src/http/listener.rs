//! A listener: accepts connections within their caps and drives each one over hyper until it ends.
//!
//! It owns a port, the limits of a connection and the tasks of all of them; what a request means is its [`Handler`]'s.
//! Nothing that one connection does ends the loop. It ends when `stop` is cancelled: it stops accepting, closes what is
//! idle, answers what has begun with `Connection: close` and returns when the last connection is gone. Dropping it cuts
//! whatever is left.

mod caps;
mod connection;
mod refusal;
mod socket;
mod vitals;

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use ipnet::IpNet;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::{CallbacksConfig, HttpConfig, millis};
use crate::http::Reply;
use crate::http::body::{BODY_MAX, Body};
use crate::http::error::ApiError;
use crate::http::meter::{Cut, Meter};
use crate::http::request_id::RequestId;
use crate::wire::descriptors::{self, Need};
use caps::Caps;

/// Connections that the kernel holds for us until they are accepted.
const BACKLOG: u32 = 4096;
/// The pause after an accept that failed for want of something (descriptors, memory).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Accepts that fail are logged so often.
const TELL_EVERY: Duration = Duration::from_secs(60);

const HEAD_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;
const BUFFER_BYTES_MAX: usize = 32 * 1024;

/// One request.
#[derive(Debug)]
pub struct Call {
    /// The other end of the connection.
    pub peer: IpAddr,
    pub head: Parts,
    pub body: Body,
    pub id: RequestId,
    /// The place in [`Handler::ROUTES`] of what is asked for; the last one until the handler knows better.
    pub route: usize,
}

/// What answers requests. One value serves all connections.
pub trait Handler: Send + Sync + 'static {
    /// The names of the routes, for the metrics; the last one is for what has no route.
    const ROUTES: &'static [&'static str];

    /// Whether a connection of `peer` is worth a place at all; asked when it is accepted, before anything is read.
    fn admits(&self, _peer: IpAddr) -> bool {
        true
    }

    /// The most bytes of a body. One that an answer leaves unread is dropped up to here, so that its connection goes on.
    fn body_bytes_max(&self) -> usize {
        BODY_MAX
    }

    /// Answers one request. It is never dropped before it is done, not even if the client is gone: it bounds itself.
    fn handle(&self, call: &mut Call) -> impl Future<Output = Result<Reply, ApiError>> + Send;
}

/// What a connection may do and for how long.
#[derive(Clone, Debug)]
pub struct Limits {
    pub connections_max: usize,
    /// Per IPv4 address or IPv6 /64.
    pub connections_per_ip_max: usize,
    /// Peers that are exempt from the cap per address.
    pub trusted_proxies: Vec<IpNet>,
    /// From accept to the first byte.
    pub first_byte: Duration,
    /// From the first byte of a head to its last.
    pub header_read: Duration,
    /// From the end of a head to the end of its body.
    pub body_read: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// How long the peer may leave our bytes untaken.
    pub write: Duration,
    /// Where descriptors run out, a new connection is closed at once and leaves those that are kept back to others.
    pub gives_way: bool,
}

impl From<&HttpConfig> for Limits {
    fn from(config: &HttpConfig) -> Self {
        Self {
            connections_max: config.connections_max,
            connections_per_ip_max: config.connections_per_ip_max,
            trusted_proxies: config.trusted_proxies.clone(),
            first_byte: millis(config.first_byte_ms),
            header_read: millis(config.header_read_ms),
            body_read: millis(config.body_read_ms),
            idle: millis(config.idle_ms),
            write: millis(config.write_ms),
            gives_way: true,
        }
    }
}

impl From<&CallbacksConfig> for Limits {
    fn from(config: &CallbacksConfig) -> Self {
        let read = millis(config.read_ms);
        Self {
            connections_max: config.connections_max,
            connections_per_ip_max: config.connections_per_ip_max,
            trusted_proxies: config.trusted_proxies.clone(),
            first_byte: read,
            header_read: read,
            body_read: read,
            idle: millis(config.idle_ms),
            gives_way: true,
            ..Self::default()
        }
    }
}

/// The limits of a private port: few connections, patient scrapers, and health checks that are to be answered to the last.
impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 256,
            connections_per_ip_max: 256,
            trusted_proxies: Vec::new(),
            first_byte: Duration::from_secs(5),
            header_read: Duration::from_secs(5),
            body_read: Duration::from_secs(5),
            idle: Duration::from_secs(120),
            write: Duration::from_secs(10),
            gives_way: false,
        }
    }
}

/// What every connection of one listener shares.
struct Server<H> {
    handler: H,
    limits: Arc<Limits>,
    http: http1::Builder,
    meter: Meter,
}

/// A bound port that does not accept yet.
#[derive(Debug)]
pub struct Listener {
    name: &'static str,
    tcp: TcpListener,
    limits: Limits,
}

impl Listener {
    /// Binds `address`; port 0 takes a free one. `name` is the listener's label in the metrics.
    ///
    /// # Errors
    /// The system's, for an address that is taken or not ours.
    pub fn bind(name: &'static str, address: SocketAddr, limits: Limits) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // A restart takes the port at once, though connections of the last process still linger on it.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(Self { name, tcp: socket.listen(BACKLOG)?, limits })
    }

    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Serves until `stop` is cancelled and the last connection is gone.
    pub async fn serve<H: Handler>(self, handler: H, stop: CancellationToken) {
        let limits = Arc::new(self.limits);
        let caps = Caps::new(Arc::clone(&limits));
        let meter = Meter::new(self.name, H::ROUTES);
        let mut trouble = Trouble { need: if limits.gives_way { Need::First } else { Need::Second }, told: None };
        let server = Arc::new(Server { handler, limits, http: http(), meter });
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(ended) = connections.join_next() => reap(ended),
                accepted = self.tcp.accept() => match accepted {
                    Ok((stream, _)) if server.limits.gives_way && !descriptors::refill() => {
                        drop(stream);
                        descriptors::refill();
                        server.meter.cut(Cut::NoFile);
                    }
                    Ok((stream, peer)) => seat(&server, &caps, &mut connections, stream, peer, &stop),
                    Err(error) => trouble.meet(&error, &stop).await,
                },
            }
        }
        drop(self.tcp);
        while let Some(ended) = connections.join_next().await {
            reap(ended);
        }
    }
}

/// The settings of hyper. Its header time-out also runs on an idle connection and costs a timer per request: the watch
/// over every connection (`connection`) does this and more. The timer is given for whatever hyper itself times.
fn http() -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(None)
        // A client that has said all it has to say, or that is gone, does not end a handler.
        .half_close(true)
        .max_headers(HEADERS_MAX)
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
        // Answers are small: one copy and one plain write are cheaper than a gathering write.
        .writev(false);
    http
}

/// Starts a connection, or closes it at once if there is no seat for it.
fn seat<H: Handler>(
    server: &Arc<Server<H>>,
    caps: &Arc<Caps>,
    connections: &mut JoinSet<()>,
    stream: TcpStream,
    peer: SocketAddr,
    stop: &CancellationToken,
) {
    if !server.handler.admits(peer.ip()) {
        server.meter.cut(Cut::Forbidden);
        return;
    }
    match caps.seat(peer.ip()) {
        Ok(seat) => {
            let (server, stop) = (Arc::clone(server), stop.child_token());
            connections.spawn(async move {
                let _held = (seat, server.meter.open());
                connection::drive(&server, stream, peer.ip(), &stop).await;
            });
        }
        Err(why) => server.meter.cut(why),
    }
}

/// A panic of a handler is an answer 500; one that comes here is of the connection itself.
fn reap(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!("a connection panicked");
    }
}

/// Accepts that fail.
struct Trouble {
    /// What a connection is accepted for where no descriptor is left.
    need: Need,
    /// When it was last logged.
    told: Option<Instant>,
}

impl Trouble {
    /// A peer that is already gone is no trouble of ours. For want of a descriptor there is one kept back: a client that is
    /// closed at once knows more than one that waits. Anything else gets better with time only.
    async fn meet(&mut self, error: &io::Error, stop: &CancellationToken) {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
        if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
            return;
        }
        if self.told.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
            self.told = Some(Instant::now());
            tracing::warn!(%error, "accepting connections fails");
        }
        if descriptors::is_want(error) && descriptors::lend(self.need) {
            return;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(ACCEPT_PAUSE) => {}
        }
    }
}

#[cfg(test)]
mod tests;
