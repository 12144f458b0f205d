//! What one connection is doing and since when; by when it must have gone on.
//!
//! Shared by the three that make up a connection (its socket, its service and its watch), which run in one task: the
//! atomics are for `Send` only and are never contended. It decides nothing but the deadline.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

use crate::http::listener::Limits;

/// What a connection is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// Accepted; nothing was read yet.
    FirstByte = 0,
    /// Between two requests.
    Idle = 1,
    /// Part of a head was read.
    Head = 2,
    /// A handler has the request: it bounds itself and is never cut.
    Serving = 3,
    /// The last answer is written; what the peer still sends is read and dropped.
    Linger = 4,
}

/// No write is blocked.
const UNBLOCKED: u64 = u64::MAX;

/// The state of one connection.
#[derive(Debug)]
pub(super) struct Vitals {
    accepted: Instant,
    phase: AtomicU8,
    /// Microseconds after `accepted` at which the phase began.
    since_us: AtomicU64,
    /// The same for the oldest write that the peer does not take; [`UNBLOCKED`] if there is none.
    blocked_us: AtomicU64,
    /// `Content-Length` lines that came over the wire and were not yet accounted for by a parsed request.
    lengths_unseen: AtomicU32,
    linger: AtomicBool,
}

impl Vitals {
    pub(super) fn new() -> Self {
        Self {
            accepted: Instant::now(),
            phase: AtomicU8::new(Phase::FirstByte as u8),
            since_us: AtomicU64::new(0),
            blocked_us: AtomicU64::new(UNBLOCKED),
            lengths_unseen: AtomicU32::new(0),
            linger: AtomicBool::new(false),
        }
    }

    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::FirstByte,
            1 => Phase::Idle,
            2 => Phase::Head,
            3 => Phase::Serving,
            _ => Phase::Linger,
        }
    }

    /// Bytes came. The first of a head start its clock; those of a body do not.
    pub(super) fn read(&self) {
        if matches!(self.phase(), Phase::FirstByte | Phase::Idle) {
            self.enter(Phase::Head);
        }
    }

    /// A head is whole and goes to the handler. The clock goes on: see [`Vitals::answered`].
    pub(super) fn serving(&self) {
        self.phase.store(Phase::Serving as u8, Relaxed);
    }

    /// The handler is done; returns the time since the head began.
    pub(super) fn answered(&self) -> Duration {
        let began_us = self.since_us.load(Relaxed);
        self.enter(Phase::Idle);
        Duration::from_micros(self.since_us.load(Relaxed).saturating_sub(began_us))
    }

    /// The connection ends after this answer though the peer may still be sending.
    pub(super) fn linger_at_end(&self) {
        self.linger.store(true, Relaxed);
    }

    /// Whether to linger; if so the phase is entered.
    pub(super) fn begin_linger(&self) -> bool {
        let linger = self.linger.load(Relaxed);
        if linger && self.phase() != Phase::Linger {
            self.enter(Phase::Linger);
        }
        linger
    }

    pub(super) fn write_blocked(&self) {
        if self.blocked_us.load(Relaxed) == UNBLOCKED {
            self.blocked_us.store(self.elapsed_us(), Relaxed);
        }
    }

    pub(super) fn write_went_on(&self) {
        self.blocked_us.store(UNBLOCKED, Relaxed);
    }

    pub(super) fn lengths_came(&self, count: u32) {
        if count > 0 {
            self.lengths_unseen.store(self.lengths_unseen.load(Relaxed).saturating_add(count), Relaxed);
        }
    }

    /// Accounts for the `Content-Length` lines that a parsed head shows; returns how many it does not show.
    pub(super) fn lengths_shown(&self, count: u32) -> u32 {
        let unseen = self.lengths_unseen.load(Relaxed).saturating_sub(count);
        self.lengths_unseen.store(unseen, Relaxed);
        unseen
    }

    /// When the connection is cut if nothing changes; `None` while a handler runs.
    pub(super) fn deadline(&self, limits: &Limits) -> Option<Instant> {
        let allowed = match self.phase() {
            Phase::FirstByte => limits.first_byte,
            Phase::Idle => limits.idle,
            Phase::Head => limits.header_read,
            Phase::Linger => limits.write,
            Phase::Serving => return None,
        };
        let of_phase = self.at(self.since_us.load(Relaxed), allowed);
        match self.blocked_us.load(Relaxed) {
            UNBLOCKED => Some(of_phase),
            blocked_us => Some(of_phase.min(self.at(blocked_us, limits.write))),
        }
    }

    fn at(&self, from_us: u64, allowed: Duration) -> Instant {
        self.accepted + Duration::from_micros(from_us) + allowed
    }

    fn enter(&self, phase: Phase) {
        self.since_us.store(self.elapsed_us(), Relaxed);
        self.phase.store(phase as u8, Relaxed);
    }

    fn elapsed_us(&self) -> u64 {
        u64::try_from(self.accepted.elapsed().as_micros()).unwrap_or(UNBLOCKED - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(vitals: &Vitals, limits: &Limits) -> Option<u64> {
        vitals.deadline(limits).map(|at| at.duration_since(vitals.accepted).as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn every_phase_has_its_own_clock_and_a_handler_has_none() {
        let limits = Limits {
            first_byte: Duration::from_secs(1),
            header_read: Duration::from_secs(2),
            idle: Duration::from_secs(4),
            write: Duration::from_secs(3),
            ..Limits::default()
        };
        let pass = || tokio::time::advance(Duration::from_secs(10));
        let vitals = Vitals::new();
        assert_eq!(seconds(&vitals, &limits), Some(1));
        pass().await;
        vitals.read();
        pass().await;
        vitals.read();
        assert_eq!(seconds(&vitals, &limits), Some(12), "more bytes do not buy a head more time");
        vitals.serving();
        vitals.read();
        assert_eq!(seconds(&vitals, &limits), None);
        assert_eq!(vitals.answered(), Duration::from_secs(10));
        assert_eq!(seconds(&vitals, &limits), Some(24));
        vitals.write_blocked();
        pass().await;
        vitals.write_blocked();
        assert_eq!(seconds(&vitals, &limits), Some(23), "the oldest blocked write counts");
        vitals.write_went_on();
        assert!(!vitals.begin_linger());
        vitals.linger_at_end();
        assert!(vitals.begin_linger());
        assert_eq!(seconds(&vitals, &limits), Some(33));
    }

    #[test]
    fn lengths_that_no_head_shows_stay_unseen() {
        let vitals = Vitals::new();
        vitals.lengths_came(2);
        assert_eq!(vitals.lengths_shown(1), 1);
        assert_eq!(vitals.lengths_shown(0), 1);
    }
}
