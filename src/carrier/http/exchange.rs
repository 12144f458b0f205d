//! One request and its answer over one connection.
//!
//! What may have reached the provider is told from what certainly did not: that difference decides whether an attempt may go
//! another way. No redirect is followed, nothing is unpacked, and no more of an answer is read than [`BODY_BYTES_MAX`].

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::CONTENT_TYPE;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::answer::without_mark;
use super::retry_after::retry_after;

/// An answer whose head is longer counts as lost: whether the provider took the request is then not known.
const HEAD_BYTES_MAX: usize = 64 * 1024;
const HEADERS_MAX: usize = 512;
/// The longest answer that is read whole.
const BODY_BYTES_MAX: usize = 64 * 1024;

pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Socket for S {}

/// What a provider said.
#[derive(Debug)]
pub(in crate::carrier) struct Answer {
    pub(in crate::carrier) status: u16,
    pub(super) retry_after: Option<Duration>,
    /// It is a page: whatever answered, it was not the provider's API. (Plain words that a script labels HTML are none.)
    pub(super) is_html: bool,
    /// Empty if it is too long to be read.
    pub(in crate::carrier) body: Bytes,
}

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::carrier) enum Undone {
    /// There is no connection.
    Unreachable(String),
    /// There is one, and not a byte of the request was written.
    NotSent(String),
    /// The request, or a part of it, may have been read.
    Lost(&'static str),
}

/// HTTP/1.1 on one socket, one request at a time. Whoever waits for an answer drives it; whoever drops it closes the socket.
pub(super) struct Wire {
    sender: SendRequest<Full<Bytes>>,
    connection: BoxFuture<'static, hyper::Result<()>>,
}

impl Wire {
    pub(super) async fn over(socket: Box<dyn Socket>) -> Result<Self, String> {
        let handshake = Builder::new()
            .title_case_headers(true)
            // What a provider took must not be lost for the way in which its answer is written.
            .allow_spaces_after_header_name_in_responses(true)
            .allow_obsolete_multiline_headers_in_responses(true)
            .max_headers(HEADERS_MAX)
            .max_header_size(HEAD_BYTES_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake(TokioIo::new(socket));
        let (sender, connection) = handshake.await.map_err(|error| error.to_string())?;
        Ok(Self { sender, connection: connection.boxed() })
    }

    /// The answer, and whether the wire can carry another request.
    pub(super) async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<(Answer, bool), Undone> {
        let Self { sender, connection } = self;
        let mut talk = pin!(async {
            sender.ready().await.map_err(|error| Undone::NotSent(error.to_string()))?;
            let sent = sender.try_send_request(request).await;
            let response = sent.map_err(|mut error| match error.take_message() {
                Some(_) => Undone::NotSent(error.error().to_string()),
                None => Undone::Lost(lost(error.error())),
            })?;
            let (answer, is_whole) = read(response).await.map_err(|error| Undone::Lost(lost(&error)))?;
            Ok((answer, is_whole && !sender.is_closed()))
        });
        // The connection first: what the other end did while the wire was idle is seen before the request goes.
        tokio::select! {
            biased;
            _ended = &mut *connection => {}
            answered = &mut talk => return answered,
        }
        talk.await.map(|(answer, _)| (answer, false))
    }

    /// Whether the other end has closed an idle wire, as far as is known.
    pub(super) fn has_ended(&mut self) -> bool {
        self.sender.is_closed() || (&mut self.connection).now_or_never().is_some()
    }
}

/// Why there is no whole answer, in words that can hold nothing of what was sent.
fn lost(error: &hyper::Error) -> &'static str {
    if error.is_parse() || error.is_user() { "the answer is no HTTP" } else { "the connection ended before the answer" }
}

/// Reads an answer; whether that was all of it.
async fn read(response: Response<Incoming>) -> hyper::Result<(Answer, bool)> {
    let (head, mut body) = response.into_parts();
    let media_type = head.headers.get(CONTENT_TYPE).map(|value| value.as_bytes().to_ascii_lowercase());
    let mut answer = Answer {
        status: head.status.as_u16(),
        retry_after: retry_after(&head.headers),
        is_html: media_type.is_some_and(|media_type| media_type.starts_with(b"text/html")),
        body: Bytes::new(),
    };
    let mut text = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame?;
        let Some(piece) = frame.data_ref() else { continue };
        if text.len() + piece.len() > BODY_BYTES_MAX {
            return Ok((answer, false));
        }
        text.extend_from_slice(piece);
    }
    answer.is_html &= matches!(without_mark(&text).trim_ascii_start(), [] | [b'<', ..]);
    answer.body = text.into();
    Ok((answer, true))
}
