//! How much is read of one answer, whatever it is made of.
//!
//! Heads and bodies have limits of their own; this one is for what counts as neither: informational answers without end, the
//! framing of chunks, records of TLS that carry nothing. Nobody makes the house read at full speed for a whole deadline.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Bytes of one exchange, a handshake's among them: several times what the other limits let through.
pub(crate) const RATION_BYTES: usize = 512 * 1024;

/// What is left to read; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Ration(Arc<AtomicUsize>);

impl Ration {
    pub(crate) fn full() -> Self {
        Self(Arc::new(AtomicUsize::new(RATION_BYTES)))
    }

    /// For the next exchange.
    pub(crate) fn refill(&self) {
        self.0.store(RATION_BYTES, Ordering::Relaxed);
    }

    fn left(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn spend(&self, bytes: usize) {
        self.0.store(self.left().saturating_sub(bytes), Ordering::Relaxed);
    }
}

/// A socket that fails once its ration is spent. Writing is free.
pub(crate) struct Rationed {
    stream: TcpStream,
    ration: Ration,
}

impl Rationed {
    pub(crate) const fn new(stream: TcpStream, ration: Ration) -> Self {
        Self { stream, ration }
    }
}

impl AsyncRead for Rationed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ration.left() == 0 {
            let why = "the endpoint says far more than is read of an answer";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.ration.spend(buf.filled().len().saturating_sub(before));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rationed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
