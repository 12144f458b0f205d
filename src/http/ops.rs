//! The operators' listener: `/metrics`, `/livez`, `/readyz`, `/links`. It has no authentication: its port is private.
//!
//! It renders what others know and decides only the colour of `/readyz`: red (503) while the database, its migrations, a
//! key list that is young enough or every link is missing, while the database's clock is not believed, while no
//! order can be written, and from the moment the
//! daemon begins to stop. OPTIONS on a health path is its GET without a body, and so is `OPTIONS /`, which HAProxy asks unless
//! it is told otherwise.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, StatusCode};

use crate::domain::json::Object;
use crate::http::Reply;
use crate::http::error::ApiError;
use crate::http::listener::{Call, Handler};
use crate::http::wire;
use crate::telemetry::names;

const ROUTES: [&str; 5] = ["/metrics", "/livez", "/readyz", "/links", "unknown ops"];
const METRICS: usize = 0;
const LIVEZ: usize = 1;
const READYZ: usize = 2;
const LINKS: usize = 3;
/// A check that takes longer has failed: who asks must not wait for a database that hangs.
const CHECK_WITHIN: Duration = Duration::from_secs(2);
const PROMETHEUS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// What readiness is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Health {
    /// The database answers.
    pub database: bool,
    /// Its schema is the one that this build knows.
    pub migrations: bool,
    /// The way to the database server and back; `None` where there is none.
    pub round_trip: Option<Duration>,
    /// The list of keys is young enough to be believed, all the time; with an older one this node answers 503 to everybody.
    pub keys: bool,
    /// How old the list is; `None` before there is one.
    pub keys_age_ms: Option<u64>,
    /// Why the database's clock is not believed, if it is not; this node then answers 503 to every order.
    pub clock: Option<&'static str>,
    /// Orders can be written, as far as the last ones and probes tell.
    pub accepting: bool,
    /// At least one link to a carrier is up.
    pub links: bool,
    /// The daemon has begun to stop.
    pub stopping: bool,
}

impl Health {
    /// Whether a load balancer should send requests here.
    #[must_use]
    pub const fn is_ready(self) -> bool {
        self.database
            && self.migrations
            && self.keys
            && self.clock.is_none()
            && self.accepting
            && self.links
            && !self.stopping
    }

    fn body(self) -> Bytes {
        let body = Object::with_capacity(256).plain("ready", self.is_ready()).plain("database", self.database);
        let body = match self.round_trip {
            Some(round_trip) => {
                let us = round_trip.as_micros();
                body.plain("database_round_trip_ms", format_args!("{}.{:03}", us / 1_000, us % 1_000))
            }
            None => body.plain("database_round_trip_ms", "null"),
        };
        let body = body.plain("migrations", self.migrations).plain("keys", self.keys);
        let body = match self.keys_age_ms {
            Some(age_ms) => body.plain("keys_age_ms", age_ms),
            None => body.plain("keys_age_ms", "null"),
        };
        match self.clock {
            Some(why) => body.quoted("clock", why),
            None => body.quoted("clock", "ok"),
        }
        .plain("accepting", self.accepting)
        .plain("links", self.links)
        .plain("stopping", self.stopping)
        .finish()
        .into()
    }
}

/// One link as operators see it; nothing of it is a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkHealth {
    pub upstream: String,
    pub health: &'static str,
    /// An operator has stopped new work on it.
    pub paused: bool,
    /// Attempts that await their outcome, and the most that may.
    pub in_flight: usize,
    pub window: usize,
    /// Its own limit, if it has one.
    pub rate_per_second: Option<u32>,
}

fn links_body(links: &[LinkHealth]) -> Bytes {
    let one = |link: &LinkHealth| {
        let object = Object::with_capacity(160)
            .quoted("upstream", &link.upstream)
            .quoted("health", link.health)
            .plain("paused", link.paused)
            .plain("in_flight", link.in_flight)
            .plain("window", link.window);
        match link.rate_per_second {
            Some(rate) => object.plain("rate_per_second", rate),
            None => object.plain("rate_per_second", "null"),
        }
        .finish()
    };
    let links: Vec<Vec<u8>> = links.iter().map(one).collect();
    let list = [b"[".as_slice(), &links.join(&b","[..]), b"]"].concat();
    Object::with_capacity(list.len() + 16).json("links", &list).finish().into()
}

/// Who knows how the house is.
pub trait Readiness: Send + Sync + 'static {
    /// Looks now.
    fn check(&self) -> impl Future<Output = Health> + Send;

    /// Every link, by name.
    fn links(&self) -> Vec<LinkHealth>;
}

/// The handler of the operators' listener.
#[derive(Debug)]
pub struct Ops<M, R> {
    metrics: M,
    readiness: R,
}

impl<M, R> Ops<M, R>
where
    M: Fn() -> String + Send + Sync + 'static,
    R: Readiness,
{
    /// `metrics` renders the text that Prometheus reads.
    #[must_use]
    pub const fn new(metrics: M, readiness: R) -> Self {
        Self { metrics, readiness }
    }

    async fn health(&self) -> Health {
        let health = tokio::time::timeout(CHECK_WITHIN, self.readiness.check()).await.unwrap_or_default();
        metrics::gauge!(names::READY).set(if health.is_ready() { 1.0 } else { 0.0 });
        health
    }

    async fn readiness(&self) -> Reply {
        let health = self.health().await;
        let status = if health.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        wire::json(status, health.body())
    }

    /// What a health path says, in its status alone where that is good.
    async fn options(&self, route: usize) -> Reply {
        let said = if route == READYZ {
            Some(self.readiness().await).filter(|reply| !reply.status().is_success())
        } else {
            None
        };
        said.unwrap_or_else(|| {
            let mut well = Reply::default();
            *well.status_mut() = StatusCode::NO_CONTENT;
            well.headers_mut().insert(ALLOW, HeaderValue::from_static(allow(route)));
            well
        })
    }
}

/// The methods that a path takes, as `Allow` lists them.
const fn allow(route: usize) -> &'static str {
    match route {
        LIVEZ | READYZ => "GET, HEAD, OPTIONS",
        _ => "GET, HEAD",
    }
}

impl<M, R> Handler for Ops<M, R>
where
    M: Fn() -> String + Send + Sync + 'static,
    R: Readiness,
{
    const ROUTES: &'static [&'static str] = &ROUTES;

    async fn handle(&self, call: &mut Call) -> Result<Reply, ApiError> {
        let (method, path) = (&call.head.method, call.head.uri.path());
        let route = match path {
            "/" | "*" if method == Method::OPTIONS => READYZ,
            _ => ROUTES[..=LINKS].iter().position(|known| *known == path).ok_or(ApiError::NotFound)?,
        };
        call.route = route;
        if !allow(route).split(", ").any(|allowed| allowed == method.as_str()) {
            return Err(ApiError::MethodNotAllowed { allow: allow(route) });
        }
        if method == Method::OPTIONS {
            return Ok(self.options(route).await);
        }
        Ok(match route {
            METRICS => {
                self.health().await;
                let mut reply = wire::json(StatusCode::OK, Bytes::from((self.metrics)()));
                reply.headers_mut().insert(CONTENT_TYPE, PROMETHEUS);
                reply
            }
            LIVEZ => wire::json(StatusCode::OK, Bytes::from_static(b"{\"live\":true}")),
            LINKS => wire::json(StatusCode::OK, links_body(&self.readiness.links())),
            _ => self.readiness().await,
        })
    }
}
