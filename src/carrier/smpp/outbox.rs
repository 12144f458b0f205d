//! What is to be written, PDU by PDU: whoever cuts the connection, it is known which of them the socket has taken.
//!
//! A message of which no octet was taken certainly did not reach the SMSC, and is not begun after its time to leave.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;
use zeroize::Zeroize;

/// The most PDUs that are given to the socket at once.
const SLICES: usize = 64;

/// A message among the PDUs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Submit {
    pub(super) sequence: u32,
    pub(super) leave_by: Instant,
}

struct Pending {
    /// What is left to be written.
    bytes: BytesMut,
    pushed: Instant,
    is_begun: bool,
    submit: Option<Submit>,
}

/// Messages hold codes.
impl Drop for Pending {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

#[derive(Default)]
pub(super) struct Outbox {
    pending: VecDeque<Pending>,
    is_unflushed: bool,
    /// Messages of which no octet was taken.
    waiting: usize,
}

impl Outbox {
    pub(super) fn push(&mut self, bytes: BytesMut, submit: Option<Submit>) {
        self.waiting += usize::from(submit.is_some());
        self.pending.push_back(Pending { bytes, pushed: Instant::now(), is_begun: false, submit });
    }

    /// Whether every octet was taken.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// PDUs that are not written yet.
    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn has_work(&self) -> bool {
        !self.pending.is_empty() || self.is_unflushed
    }

    /// Since when the oldest waits. A peer that takes an octet now and then stalls all the same.
    pub(super) fn stalled_since(&self) -> Option<Instant> {
        self.pending.front().map(|oldest| oldest.pushed)
    }

    /// Takes out messages that were not begun in time; their sequence numbers.
    pub(super) fn drop_late(&mut self, now: Instant) -> Vec<u32> {
        if self.waiting == 0 {
            return Vec::new();
        }
        let is_late =
            |pending: &Pending| !pending.is_begun && pending.submit.is_some_and(|submit| submit.leave_by <= now);
        let late = self.pending.iter().filter(|pending| is_late(pending)).filter_map(|pending| pending.submit);
        let late: Vec<u32> = late.map(|submit| submit.sequence).collect();
        if !late.is_empty() {
            self.pending.retain(|pending| !is_late(pending));
            self.waiting -= late.len();
        }
        late
    }

    /// When the next message that was not begun would be late.
    pub(super) fn next_late(&self) -> Option<Instant> {
        if self.waiting == 0 {
            return None;
        }
        let waiting = self.pending.iter().filter(|pending| !pending.is_begun);
        waiting.filter_map(|pending| pending.submit).map(|submit| submit.leave_by).min()
    }

    /// Gives the socket what it takes, or flushes it. May be dropped at any time: what it took is known from
    /// [`Outbox::advance`] alone.
    pub(super) async fn write(&self, socket: &mut (impl AsyncWrite + Unpin)) -> io::Result<usize> {
        if self.pending.is_empty() {
            socket.flush().await?;
            return Ok(0);
        }
        let slices: Vec<IoSlice<'_>> = self.pending.iter().take(SLICES).map(|p| IoSlice::new(&p.bytes)).collect();
        match socket.write_vectored(&slices).await? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            written => Ok(written),
        }
    }

    /// Notes that [`Outbox::write`] resolved with `written`; the messages that it began.
    pub(super) fn advance(&mut self, mut written: usize) -> Vec<u32> {
        let mut begun = Vec::new();
        self.is_unflushed = written > 0;
        while written > 0
            && let Some(front) = self.pending.front_mut()
        {
            if !front.is_begun {
                front.is_begun = true;
                if let Some(submit) = front.submit {
                    self.waiting -= 1;
                    begun.push(submit.sequence);
                }
            }
            let taken = written.min(front.bytes.len());
            front.bytes[..taken].zeroize();
            front.bytes.advance(taken);
            written -= taken;
            if front.bytes.is_empty() {
                self.pending.pop_front();
            }
        }
        begun
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn submit(sequence: u32, seconds: u64) -> Option<Submit> {
        Some(Submit { sequence, leave_by: Instant::now() + Duration::from_secs(seconds) })
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_socket_began_is_known_to_the_octet() {
        let mut outbox = Outbox::default();
        for (sequence, text) in [(1, "first"), (2, "second"), (3, "third")] {
            outbox.push(BytesMut::from(text.as_bytes()), submit(sequence, 10));
        }
        let (mut ours, _theirs) = tokio::io::duplex(7);
        let written = outbox.write(&mut ours).await.expect("room");
        assert!(written > 0 && written <= 7);
        assert_eq!(outbox.advance(7), [1, 2]);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(outbox.drop_late(Instant::now()), [3], "the second is begun and must be finished");
        assert!(!outbox.is_empty());
        assert_eq!(outbox.advance(4), [0_u32; 0]);
        assert!(outbox.is_empty() && outbox.has_work(), "a flush is left");
        outbox.write(&mut ours).await.expect("flushes");
        assert_eq!(outbox.advance(0), [0_u32; 0]);
        assert!(!outbox.has_work());
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_an_octet_now_and_then_stalls_all_the_same() {
        let (mut outbox, begin) = (Outbox::default(), Instant::now());
        outbox.push(BytesMut::from(&b"first"[..]), None);
        for _ in 0..4 {
            tokio::time::advance(Duration::from_secs(9)).await;
            outbox.push(BytesMut::from(&b"more"[..]), None);
            outbox.advance(1);
            assert_eq!(outbox.stalled_since(), Some(begin));
        }
        outbox.advance(1);
        assert_eq!(outbox.stalled_since(), Some(begin + Duration::from_secs(9)));
    }
}
