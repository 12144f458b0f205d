//! A connection to an endpoint: from its addresses to HTTP that is ready for a request.
//!
//! No task is spawned: whoever waits for an answer drives the connection, and whoever drops it closes the socket. A deadline
//! on the waiting is so a deadline on everything.

use std::pin::pin;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::domain::endpoint_url::EndpointUrl;
use crate::domain::webhook::Fault;
use crate::webhook::courier::Courier;
use crate::webhook::exchange::{Phase, Progress};
use crate::webhook::failure::{Failure, is_end_without_goodbye};
use crate::webhook::ration::{Ration, Rationed};
use crate::wire::tcp::{self, Unconnected};
use crate::wire::tls;

/// The longest head of an answer, and the most that is read ahead. Whoever answers 2xx has the event: no head that fits in here
/// is too much, nor one that is written as nobody writes them any more.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Room for them is made for every answer: eight times as many cost as much as the rest of an exchange.
const HEADERS_MAX: usize = 2_048;
/// So much of an answer's body is read; an answer that has more ends its connection.
const BODY_BYTES_MAX: usize = 16 * 1024;

trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Socket for S {}

/// HTTP/1.1 on one socket, one request at a time.
pub(crate) struct Wire {
    sender: SendRequest<Full<Bytes>>,
    connection: BoxFuture<'static, hyper::Result<()>>,
    ration: Ration,
}

/// Why a request has no whole answer.
pub(crate) enum Undone {
    /// Not a byte of it was written: it may go another way.
    NotSent(Failure),
    Failed(Failure),
}

impl From<Undone> for Failure {
    fn from(undone: Undone) -> Self {
        match undone {
            Undone::NotSent(failure) | Undone::Failed(failure) => failure,
        }
    }
}

impl Wire {
    /// Looks where `url` leads now, and connects to what it may lead to.
    pub(crate) async fn dial(
        courier: &Courier,
        url: &EndpointUrl,
        deadline: Instant,
        progress: &mut Progress,
    ) -> Result<Self, Failure> {
        progress.enter(Phase::Dns);
        let addresses = courier.addresses(url).await?;
        progress.enter(Phase::Connect);
        let stream = tcp::connect(&addresses, url.port(), deadline).await?;
        let ration = Ration::full();
        let stream = Rationed::new(stream, ration.clone());
        if !url.is_https() {
            return Self::over(Box::new(stream), ration).await;
        }
        progress.enter(Phase::Tls);
        let name = tls::server_name(url.host()).map_err(|error| Failure::new(Fault::Tls, error))?;
        let connector = TlsConnector::from(courier.tls());
        let stream = connector.connect(name, stream).await;
        Self::over(Box::new(stream.map_err(|error| Failure::of_tls(&error))?), ration).await
    }

    async fn over(socket: Box<dyn Socket>, ration: Ration) -> Result<Self, Failure> {
        let handshake = Builder::new()
            .title_case_headers(true)
            .allow_spaces_after_header_name_in_responses(true)
            .allow_obsolete_multiline_headers_in_responses(true)
            .max_headers(HEADERS_MAX)
            .max_header_size(HEAD_BYTES_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake(TokioIo::new(socket));
        let (sender, connection) = handshake.await.map_err(|error| Failure::of_http(&error))?;
        Ok(Self { sender, connection: connection.boxed(), ration })
    }

    /// Sends a request and reads its answer into `progress`. Returns whether the wire can carry another one.
    pub(crate) async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        unix_seconds: i64,
        progress: &mut Progress,
    ) -> Result<bool, Undone> {
        progress.enter(Phase::Wait);
        let Self { sender, connection, ration } = self;
        ration.refill();
        let mut talk = pin!(async {
            let ready = sender.ready().await;
            ready.map_err(|error| Undone::NotSent(Failure::of_http(&error)))?;
            let sent = sender.try_send_request(request).await;
            let response = sent.map_err(|mut error| match error.take_message() {
                Some(_) => Undone::NotSent(Failure::of_http(error.error())),
                None => Undone::Failed(Failure::of_http(error.error())),
            })?;
            let is_whole = read(response, unix_seconds, progress).await.map_err(Undone::Failed)?;
            Ok(is_whole && !sender.is_closed())
        });
        // The connection first: what the other end said or did while the wire was idle is seen before the request goes.
        let ended = tokio::select! {
            biased;
            ended = &mut *connection => ended,
            answered = &mut talk => return answered,
        };
        match (talk.await, ended) {
            (Ok(_), _) => Ok(false),
            // The connection knows better why it would take no request.
            (Err(Undone::NotSent(_)), Err(error)) => Err(Undone::NotSent(Failure::of_http(&error))),
            (Err(undone), _) => Err(undone),
        }
    }

    /// Whether the other end has closed an idle wire, as far as is known.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.sender.is_closed() || (&mut self.connection).now_or_never().is_some()
    }
}

/// Reads what is read of an answer; whether that was all of it.
async fn read(response: Response<Incoming>, unix_seconds: i64, progress: &mut Progress) -> Result<bool, Failure> {
    let (head, mut body) = response.into_parts();
    let until_the_end = !head.headers.contains_key(CONTENT_LENGTH) && !head.headers.contains_key(TRANSFER_ENCODING);
    progress.answered(head.status.as_u16(), &head.headers, unix_seconds);
    let mut read = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = match frame {
            // A body that ends with its connection: many end it without TLS's goodbye. What it said first counts.
            Err(error) if until_the_end && is_end_without_goodbye(&error) => return Ok(false),
            frame => frame.map_err(|error| Failure::of_http(&error))?,
        };
        let Some(piece) = frame.data_ref() else { continue };
        progress.keep(piece);
        read = read.saturating_add(piece.len());
        if read > BODY_BYTES_MAX {
            return Ok(false);
        }
    }
    Ok(true)
}

impl From<Unconnected> for Failure {
    fn from(unconnected: Unconnected) -> Self {
        let fault = match unconnected {
            Unconnected::NoAddress => Fault::Dns,
            Unconnected::Refused(_) => Fault::Connect,
            Unconnected::Silent(_) => Fault::Timeout,
        };
        Self::new(fault, unconnected)
    }
}
