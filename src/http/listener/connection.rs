//! One connection from accept to close: hyper's state machine, the service that turns a request into a [`Call`], and the
//! watch that cuts a connection which does not go on.
//!
//! The watch has one timer, which looks at the [`Vitals`] now and then instead of being set anew for every request. It
//! never cuts while a handler runs.

use std::convert::Infallible;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;

use futures_util::FutureExt;
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, EXPECT, HeaderValue};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::socket::Socket;
use super::vitals::Vitals;
use super::{Call, Handler, Limits, Server};
use crate::http::body::Body;
use crate::http::error::ApiError;
use crate::http::meter::Cut;
use crate::http::request_id::{RequestId, X_REQUEST_ID};
use crate::http::{Reply, framing};

/// Runs until the peer closes, the watch cuts, or `stop` is cancelled and the request that has begun is answered.
pub(super) async fn drive<H: Handler>(server: &Server<H>, stream: TcpStream, peer: IpAddr, stop: &CancellationToken) {
    // Without it a small answer may wait for the peer's delayed acknowledgement; it fails on a dead socket only.
    let _ = stream.set_nodelay(true);
    let vitals = Arc::new(Vitals::new());
    let io = TokioIo::new(Socket::new(stream, Arc::clone(&vitals)));
    let service = service_fn(|request| answer(server, &vitals, peer, request));
    let mut connection = pin!(server.http.serve_connection(io, service));
    let mut alarm = pin!(sleep_until(next_look(&vitals, &server.limits)));
    let mut stopping = false;
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if ended.is_err_and(|error| error.is_parse()) {
                    server.meter.cut(Cut::Malformed);
                }
                return;
            }
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            () = alarm.as_mut() => {
                if vitals.deadline(&server.limits).is_some_and(|deadline| deadline <= Instant::now()) {
                    server.meter.cut(Cut::TimedOut);
                    return;
                }
                alarm.as_mut().reset(next_look(&vitals, &server.limits));
            }
        }
    }
}

/// The deadline, or sooner: a phase that begins meanwhile may have a nearer one, but none is shorter than the shortest.
fn next_look(vitals: &Vitals, limits: &Limits) -> Instant {
    let shortest = limits.first_byte.min(limits.header_read).min(limits.idle).min(limits.write);
    let latest = Instant::now() + shortest;
    vitals.deadline(limits).map_or(latest, |deadline| deadline.min(latest))
}

/// One request, from its head to its answer.
async fn answer<H: Handler>(
    server: &Server<H>,
    vitals: &Vitals,
    peer: IpAddr,
    request: Request<Incoming>,
) -> Result<Reply, Infallible> {
    vitals.serving();
    let (head, incoming) = request.into_parts();
    let id = RequestId::of(&head.headers);
    let body = Body::new(incoming, server.limits.body_read);
    let mut call = Call { peer, head, body, id, route: H::ROUTES.len().saturating_sub(1) };
    let lengths_unseen = vitals.lengths_shown(framing::lengths_shown(&call.head.headers));
    let framed = framing::check(call.head.version, &call.head.headers, lengths_unseen);
    let misframed = framed.is_err();
    let outcome = match framed {
        Ok(()) => handle(&server.handler, &mut call).await,
        Err(error) => Err(error),
    };
    if !misframed && !call.body.is_spent() {
        let waits = call.head.headers.contains_key(EXPECT);
        call.body.discard(server.handler.body_bytes_max(), waits).await;
    }
    let mut reply = outcome.unwrap_or_else(|error| error.reply(&call.id));
    reply.headers_mut().insert(X_REQUEST_ID, call.id.to_header());
    if misframed || !call.body.is_spent() {
        // Where this message ends on the wire is doubtful or far away: nothing after it is read.
        reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        vitals.linger_at_end();
    }
    let took = vitals.answered();
    server.meter.answered(call.route, reply.status(), took);
    Ok(reply)
}

/// A panic is our fault and no reason to close a connection without an answer; the panic hook has logged it.
async fn handle<H: Handler>(handler: &H, call: &mut Call) -> Result<Reply, ApiError> {
    let handled = AssertUnwindSafe(handler.handle(call)).catch_unwind().await;
    handled.unwrap_or_else(|_| {
        tracing::error!(request_id = call.id.as_str(), "a handler panicked");
        Err(ApiError::Internal)
    })
}
