//! The body of one request, read within its limits: 4 KiB for customers, and one deadline over all of it.
//!
//! A body that says that it is longer is refused unread. What an answer leaves unread is read and dropped within the same
//! limits, so that its connection goes on: a client that is refused must not have to connect anew for every request. It
//! knows whether all of it was taken: if not, the listener closes the connection after the answer.

use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::body::{Body as _, Incoming};
use hyper::header::CONTENT_ENCODING;

use crate::http::error::ApiError;

/// The most bytes that a customer's body may have.
pub const BODY_MAX: usize = 4096;
/// A body that is too large, but declares no more than this, is dropped as well.
const TOO_LARGE_DROPPED_MAX: u64 = 64 * 1024;
/// It is waited for so long at most: nothing was promised to it.
const TOO_LARGE_WITHIN: Duration = Duration::from_secs(1);

/// Whether a body is packed (gzip, deflate or another coding), so that its bytes are not what they stand for. None is unpacked
/// here: a few bytes may stand for gigabytes.
pub(crate) fn is_encoded(headers: &HeaderMap) -> bool {
    let plain = |coding: &[u8]| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity");
    let mut values = headers.get_all(CONTENT_ENCODING).iter();
    values.any(|value| !value.as_bytes().split(|byte| *byte == b',').all(|coding| plain(coding.trim_ascii())))
}

/// A body that comes over the wire, or the rest of it.
#[derive(Debug)]
pub struct Body {
    incoming: Incoming,
    /// The end was read, which a chunked body does not show by itself.
    ended: bool,
    /// It came too late, grew too large or is broken: nothing more of it is read.
    failed: bool,
    deadline: Duration,
}

impl Body {
    pub(crate) fn new(incoming: Incoming, deadline: Duration) -> Self {
        Self { incoming, ended: false, failed: false, deadline }
    }

    /// # Errors
    /// `body_too_large` if the head declares more than [`BODY_MAX`].
    pub(crate) fn check_declared(&self) -> Result<(), ApiError> {
        if self.declares_more_than(BODY_MAX) { Err(ApiError::BodyTooLarge) } else { Ok(()) }
    }

    fn declares_more_than(&self, bytes: usize) -> bool {
        self.incoming.size_hint().exact().is_some_and(|declared| declared > bytes as u64)
    }

    /// Nothing of the body is left on the wire.
    pub(crate) fn is_spent(&self) -> bool {
        self.ended || self.incoming.is_end_stream()
    }

    /// Reads all of it.
    ///
    /// # Errors
    /// `body_too_large` if it grows past the limit, `invalid_request` if it stops or does not come in time.
    pub(crate) async fn read(&mut self) -> Result<Bytes, ApiError> {
        self.read_up_to(BODY_MAX).await
    }

    /// Reads all of a body that has at most `bytes_max`.
    ///
    /// # Errors
    /// As [`Body::read`]; one that declares more is refused unread.
    pub(crate) async fn read_up_to(&mut self, bytes_max: usize) -> Result<Bytes, ApiError> {
        if self.declares_more_than(bytes_max) {
            return Err(ApiError::BodyTooLarge);
        }
        let read = self.collect_in_time(bytes_max).await;
        self.failed = read.is_err();
        read
    }

    async fn collect_in_time(&mut self, bytes_max: usize) -> Result<Bytes, ApiError> {
        let deadline = self.deadline;
        let mut whole = pin!(self.collect(bytes_max));
        // It usually came with its head: no timer then.
        if let Some(read) = whole.as_mut().now_or_never() {
            return read;
        }
        let late = |_| ApiError::malformed("the body did not come in time");
        tokio::time::timeout(deadline, whole).await.map_err(late)?
    }

    /// Reads and drops what an answer has left of a body that may have `bytes_max`, so that the connection can go on. Gives
    /// up on one that does not come in time or grows past that. One that declares more is dropped up to 64 KiB, unless its
    /// sender waits to be told to go on (`waits`): then it need not be sent at all.
    pub(crate) async fn discard(&mut self, bytes_max: usize, waits: bool) {
        let mut left = bytes_max as u64;
        let mut within = self.deadline;
        if self.declares_more_than(bytes_max) {
            left = TOO_LARGE_DROPPED_MAX;
            within = within.min(TOO_LARGE_WITHIN);
            if waits || self.incoming.size_hint().exact().is_some_and(|declared| declared > left) {
                return;
            }
        }
        if self.failed {
            return;
        }
        let dropping = async {
            while let Ok(Some(piece)) = self.next().await {
                let Some(rest) = left.checked_sub(piece.len() as u64) else { break };
                left = rest;
            }
        };
        let mut dropping = pin!(dropping);
        if dropping.as_mut().now_or_never().is_none() {
            let _late_or_dropped = tokio::time::timeout(within, dropping).await;
        }
    }

    async fn collect(&mut self, bytes_max: usize) -> Result<Bytes, ApiError> {
        let first = self.next().await?;
        let Some(first) = first else { return Ok(Bytes::new()) };
        if self.is_spent() {
            return if first.len() > bytes_max { Err(ApiError::BodyTooLarge) } else { Ok(first) };
        }
        let mut whole = BytesMut::from(first);
        while whole.len() <= bytes_max {
            match self.next().await? {
                Some(data) => whole.extend_from_slice(&data),
                None => return Ok(whole.freeze()),
            }
        }
        Err(ApiError::BodyTooLarge)
    }

    /// The next piece; `None` at the end. Trailers are read and ignored.
    async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        while !self.is_spent() {
            match self.incoming.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Some(Err(_)) => return Err(ApiError::malformed("the body is incomplete or not well-formed")),
                None => self.ended = true,
            }
        }
        Ok(None)
    }
}
