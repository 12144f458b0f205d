//! The socket of one connection, between the kernel and hyper.
//!
//! It tells the connection's [`Vitals`] what moves and what is stuck, counts `Content-Length` lines (hyper removes them
//! where `Transfer-Encoding` is given too), puts hyper's own refusals into the words of the contract, and lingers: a peer
//! that is still sending when we close would get a reset instead of its answer. It never holds back or changes a byte of
//! a request.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::http::framing::LengthLines;
use crate::http::listener::refusal;
use crate::http::listener::vitals::{Phase, Vitals};

/// The most that is read and dropped after the last answer.
const LINGER_MAX: usize = 256 * 1024;

pub(super) struct Socket {
    stream: TcpStream,
    vitals: Arc<Vitals>,
    lines: LengthLines,
    refusal: Option<Refusal>,
    shut: bool,
    dropped: usize,
}

/// Our words for a refusal of hyper's, and how much of them is written.
struct Refusal {
    text: Vec<u8>,
    written: usize,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, vitals: Arc<Vitals>) -> Self {
        Self { stream, vitals, lines: LengthLines::default(), refusal: None, shut: false, dropped: 0 }
    }

    fn poll_stream_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        match &written {
            Poll::Pending => self.vitals.write_blocked(),
            Poll::Ready(_) => self.vitals.write_went_on(),
        }
        written
    }

    /// Writes all of the replacement before hyper hears that its own bytes were taken.
    fn poll_refuse(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(refusal) = self.refusal.take_if(|refusal| refusal.written < refusal.text.len()) {
            let written = self.poll_stream_write(cx, &refusal.text[refusal.written..]);
            let refusal = self.refusal.insert(refusal);
            refusal.written += ready!(written)?;
        }
        self.refusal = None;
        Poll::Ready(Ok(()))
    }

    fn poll_drop_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut space = [0; 2048];
        while self.dropped < LINGER_MAX {
            let mut buffer = ReadBuf::new(&mut space);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => self.dropped += buffer.filled().len(),
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let known = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let came = &buffer.filled()[known..];
        if !came.is_empty() {
            self.vitals.read();
            let lengths = self.lines.count(came);
            self.vitals.lengths_came(lengths);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.vitals.phase() == Phase::Serving {
            // A handler runs to its end though the client is gone: an error here would make hyper drop it. The write of
            // its answer meets the same error.
            return match self.poll_stream_write(cx, bytes) {
                Poll::Ready(Err(_)) => Poll::Ready(Ok(bytes.len())),
                went => went,
            };
        }
        if self.refusal.is_none() {
            let Some(text) = refusal::in_our_words(bytes) else {
                return self.poll_stream_write(cx, bytes);
            };
            self.vitals.linger_at_end();
            self.refusal = Some(Refusal { text, written: 0 });
        }
        ready!(self.poll_refuse(cx))?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.shut {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.shut = true;
        }
        if self.vitals.begin_linger() { self.poll_drop_rest(cx) } else { Poll::Ready(Ok(())) }
    }
}
