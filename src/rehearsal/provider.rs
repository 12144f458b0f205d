//! A provider of voice calls to rehearse with: it speaks HTTP and does what the simulator's script says.
//!
//! `POST /v1/calls` takes a call, `GET /v1/calls/ID` says what became of it, and receipts are brought to the URL that came with
//! the call, signed (`callbacks`), until they are answered 200. Its words are those of `config/upstreams/tkc.toml`. A call that is
//! ambiguous ends its connection without an answer. What is to be said in a call is never looked at.

mod callbacks;
mod calls;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::carrier::simulator::{Script, Simulator};
use crate::carrier::upstream::{Attempt, Outcome, Upstream};
use crate::domain::carrier::{Carrier, Channel};
use crate::domain::code::OtpCode;
use crate::domain::json::Object;
use crate::domain::phone::Phone;
use callbacks::Bringer;
use calls::{Asked, Calls, Entry};

/// Connections at once; what comes above is closed.
const CONNECTIONS_MAX: usize = 1_024;
const BODY_BYTES_MAX: usize = 16 * 1024;
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// A late receipt comes after this.
const SETTLE_AFTER: Duration = Duration::from_secs(65);
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// How the provider behaves.
#[derive(Clone)]
pub struct Settings {
    pub script: Script,
    /// One call per phone in this time; zero: no such limit.
    pub phone_gap: Duration,
    /// What callbacks are signed with.
    pub callback_key: String,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Settings({:?}, phone_gap: {:?})", self.script, self.phone_gap)
    }
}

/// A provider that has bound its port and answers nothing yet.
#[derive(Debug)]
pub struct Provider {
    listener: TcpListener,
    desk: Arc<Desk>,
}

/// What all connections share.
#[derive(Debug)]
struct Desk {
    simulator: Simulator,
    calls: Arc<Calls>,
}

impl Provider {
    /// # Errors
    /// The system's, for an address that is taken or not ours.
    pub async fn bind(address: SocketAddr, settings: Settings) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let calls = Arc::new(Calls::new(settings.phone_gap));
        let bringer = Bringer::new(Arc::clone(&calls), &settings.callback_key);
        let simulator = Simulator::start("rehearsal", settings.script, Arc::new(bringer), None);
        Ok(Self { listener, desk: Arc::new(Desk { simulator, calls }) })
    }

    /// # Errors
    /// The system's.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` resolves; what is under way then is cut.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some(_ended) = connections.join_next() => {}
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) if connections.len() < CONNECTIONS_MAX => {
                        connections.spawn(serve(Arc::clone(&self.desk), stream));
                    }
                    Ok(_above_the_cap) => {}
                    Err(error) => {
                        tracing::warn!(%error, "accepting connections failed");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                },
            }
        }
        self.desk.simulator.shutdown(STOP_WITHIN).await;
    }
}

/// The connection is to end without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the script says so")]
struct Cut;

async fn serve(desk: Arc<Desk>, stream: TcpStream) {
    let service = service_fn(|request| {
        let desk = Arc::clone(&desk);
        async move { desk.answer(request).await }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
    // A client that goes away ends its connection, and one that is cut hears nothing.
    let _ended = http.serve_connection(TokioIo::new(stream), service).await;
}

type Reply = Response<Full<Bytes>>;

fn json(status: StatusCode, body: Object) -> Reply {
    let mut reply = Reply::new(Full::from(body.finish()));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

fn error(status: StatusCode, error: &str) -> Reply {
    json(status, Object::with_capacity(64).text("error", error))
}

fn phone_limited(wait: Duration) -> Reply {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let body = Object::with_capacity(96).quoted("error", "phone_rate_limited").plain("retry_after_seconds", seconds);
    let mut reply = json(StatusCode::TOO_MANY_REQUESTS, body);
    reply.headers_mut().insert(RETRY_AFTER, seconds.into());
    reply
}

impl Desk {
    async fn answer(&self, request: Request<Incoming>) -> Result<Reply, Cut> {
        let path = request.uri().path().to_owned();
        match (request.method(), path.strip_prefix("/v1/calls")) {
            (&Method::POST, Some("")) => self.take(request).await,
            (&Method::GET, Some(id)) => Ok(self.tell(id.trim_start_matches('/'))),
            _ => Ok(error(StatusCode::NOT_FOUND, "not_found")),
        }
    }

    /// What became of a call, for those who ask.
    fn tell(&self, id: &str) -> Reply {
        match self.calls.status_of(id) {
            Some(status) => {
                json(StatusCode::OK, Object::with_capacity(96).text("call_id", id).quoted("status", status))
            }
            None => error(StatusCode::NOT_FOUND, "unknown_call"),
        }
    }

    async fn take(&self, request: Request<Incoming>) -> Result<Reply, Cut> {
        let key = request.headers().get("idempotency-key").and_then(|key| key.to_str().ok()).map(str::to_owned);
        let Ok(body) = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await else {
            return Ok(error(StatusCode::BAD_REQUEST, "bad_body"));
        };
        let Ok(body) = serde_json::from_slice::<Value>(&body.to_bytes()) else {
            return Ok(error(StatusCode::BAD_REQUEST, "no_json"));
        };
        let text = |name: &str| body.get(name).and_then(Value::as_str);
        let Some(phone) = text("to").and_then(|to| Phone::parse(to).ok()) else {
            return Ok(error(StatusCode::UNPROCESSABLE_ENTITY, "invalid_number"));
        };
        let channel = text("channel").and_then(Channel::from_name).unwrap_or(Channel::Voice);
        match self.calls.enter(Asked { phone, key, callback: text("callback"), client_ref: text("client_ref") }) {
            // Taken before under the same key: the same call, whatever became of the first answer.
            Entry::Known(id) => Ok(queued(&id)),
            Entry::Limited(wait) => Ok(phone_limited(wait)),
            Entry::New { id, delivery } => {
                let now = Instant::now();
                let attempt = Attempt {
                    delivery,
                    phone,
                    carrier: Carrier::new("rehearsal").expect("a name"),
                    channel,
                    code: OtpCode::parse("0000").expect("a code"),
                    leave_by: now + SETTLE_AFTER,
                    settle_by: now + SETTLE_AFTER,
                };
                self.decide(&id, attempt).await
            }
        }
    }

    async fn decide(&self, id: &str, attempt: Attempt) -> Result<Reply, Cut> {
        let delivery = attempt.delivery;
        let deciding = AssertUnwindSafe(async { self.simulator.dispatch(attempt).await }).catch_unwind();
        let reply = match deciding.await {
            Ok(Outcome::Accepted) => return Ok(queued(id)),
            Ok(Outcome::Ambiguous { .. }) | Err(_) => return Err(Cut),
            Ok(Outcome::Refused { .. }) => error(StatusCode::UNPROCESSABLE_ENTITY, "rejected"),
            Ok(Outcome::PerPhone { retry_after }) => phone_limited(retry_after),
            Ok(Outcome::NotSent { .. }) => error(StatusCode::SERVICE_UNAVAILABLE, "maintenance"),
        };
        // Nobody was called: the phone is free, and the key may come again.
        self.calls.leave(delivery);
        Ok(reply)
    }
}

fn queued(id: &str) -> Reply {
    json(StatusCode::ACCEPTED, Object::with_capacity(96).quoted("status", "queued").text("call_id", id))
}
