//! Floor 1: time. The only place that reads the machine's clocks.
//!
//! Decisions use the *house's time*, which every node on one database shares. It follows the database's clock, never goes
//! back and never runs away: [`DatabaseClock`] estimates it between transactions from the times that transactions read and
//! from `CLOCK_BOOTTIME`, which counts a suspension and cannot be set. Where the database's clock is behind the estimate,
//! the estimate is the time; where it is more than [`STEP`] ahead, it was stepped, and what is old by it is not ended or
//! dropped for a while; where it is more than [`DOUBT_FROM`] ahead, it is not believed at all. [`wall_now`] is for logs,
//! the skew check and audit rows only.

mod machine;

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing::{error, info, warn};

pub use self::machine::{Machine, wall_now};
use crate::domain::time::{Timestamp, duration_micros};

/// Further ahead of the estimate, the database's clock itself was set.
pub const STEP: Duration = Duration::from_secs(5);
/// Further ahead of the estimate, the database's clock is not believed; nor is a mark that is further ahead of the clock.
pub const DOUBT_FROM: Duration = Duration::from_secs(60 * 60);
/// How far above its lower bound a server's clock counts: enough beyond [`DOUBT_FROM`] that who reads the bound sees the doubt.
pub const RANGE_US: i64 = 3_660_000_000;
/// How long after a step forward nothing is ended for its age, and nothing dropped: longer than a delivery is in flight, so
/// that what the step made overdue has ended by its own node's monotonic clock.
pub const HOLD: Duration = Duration::from_secs(5 * 60);
/// An estimate that is ahead of the database's clock runs slower by this share, until the clock has caught up.
const SLEW_DIVISOR: u32 = 100;
/// Before the first observation: earlier than any clock shows, and far from where sums overflow.
const UNKNOWN: i64 = i64::MIN / 4;

/// Why the database's clock is not believed. Nothing is accepted until it is right, or an operator says that it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Doubt {
    /// It went ahead by more than an hour while this node ran.
    Ahead,
    /// It was more than an hour behind what the database's own rows say when this node started.
    Behind,
}

impl Doubt {
    /// In an operator's words, with what to do.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Ahead => {
                "the database's clock went ahead by more than 1 h: set it right, or run `nexo-route clock accept`"
            }
            Self::Behind => {
                "the database's clock is more than 1 h behind its own rows: set it right, or run `nexo-route clock accept`"
            }
        }
    }
}

/// The house's time as this node knows it. Cheap to clone; all clones share what they observe. Reading it takes no lock.
#[derive(Clone, Debug)]
pub struct DatabaseClock(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    machine: Arc<dyn Machine>,
    /// The house's microseconds when the machine started.
    offset_us: AtomicI64,
    /// What was shown when the offset was last lowered: nothing earlier is shown afterwards.
    shown_us: AtomicI64,
    /// The machine's uptime until which nothing is ended or dropped for its age.
    held_until_us: AtomicI64,
    /// [`Doubt`] as a number, zero for none.
    doubt: AtomicU8,
    /// How often the database's clock was stepped, either way.
    steps: AtomicU64,
    /// How often operators have accepted the database's clock, as far as this node has heard; negative before it asked.
    heard: AtomicI64,
    judged: Mutex<Judged>,
}

/// What only those who judge an observation need.
#[derive(Debug)]
struct Judged {
    /// The mark that was too far ahead at the start, as an offset.
    mark_offset_us: i64,
    /// What the database's clock itself last showed, as an offset, and when that was.
    server: Option<(i64, Duration)>,
}

impl DatabaseClock {
    /// A clock on this machine that shows `now` now.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        let clock = Self::unset(machine::this());
        clock.observe(now);
        clock
    }

    /// A clock that shows a time before all others until it is told one.
    #[must_use]
    pub fn unset(machine: Arc<dyn Machine>) -> Self {
        Self(Arc::new(Shared {
            machine,
            offset_us: AtomicI64::new(UNKNOWN),
            shown_us: AtomicI64::new(i64::MIN),
            held_until_us: AtomicI64::new(i64::MIN),
            doubt: AtomicU8::new(0),
            steps: AtomicU64::new(0),
            heard: AtomicI64::new(-1),
            judged: Mutex::new(Judged { mark_offset_us: UNKNOWN, server: None }),
        }))
    }

    /// The same on this machine.
    #[must_use]
    pub fn here() -> Self {
        Self::unset(machine::this())
    }

    /// The house's time, as well as it can be told from here. It does not fall, except by an operator's word.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        // In this order: who sees a lowered offset sees what was shown before it was lowered.
        let offset_us = self.0.offset_us.load(Ordering::Acquire);
        let estimate_us = offset_us.saturating_add(self.uptime_us());
        Timestamp::from_micros(estimate_us.max(self.0.shown_us.load(Ordering::Acquire)))
    }

    /// The lower bound of what a statement on a server takes for the time; [`RANGE_US`] above it is the upper one. In doubt
    /// that is the estimate. `None`: this node knows no time yet.
    #[must_use]
    pub fn bound_us(&self) -> Option<i64> {
        let now_us = self.now().micros();
        (now_us > 0).then(|| if self.doubt().is_some() { now_us - RANGE_US } else { now_us })
    }

    /// The wall clock of the machine, which is the clock of a database that has no server.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        self.0.machine.wall()
    }

    /// Learns from a time that a transaction just read. It is older than now by the way back, so a later one is believed at
    /// once; a step forward is judged first.
    pub fn observe(&self, seen: Timestamp) {
        let candidate_us = seen.micros().saturating_sub(self.uptime_us());
        let ahead_us = candidate_us.saturating_sub(self.0.offset_us.load(Ordering::Relaxed));
        if ahead_us > duration_micros(STEP) || self.doubt().is_some() {
            self.judge(&mut self.judged(), candidate_us);
        } else if ahead_us > 0 {
            self.0.offset_us.fetch_max(candidate_us, Ordering::AcqRel);
        }
    }

    /// Learns from what the database's clock itself shows, whatever the house's time. For one caller, once in a while: an
    /// estimate that is ahead of it runs slower until the next call, so that it does not run away.
    pub fn observe_server(&self, server: Timestamp) {
        self.observe(server);
        let (uptime, mut judged) = (self.0.machine.uptime(), self.judged());
        let candidate_us = server.micros().saturating_sub(duration_micros(uptime));
        let excess_us = self.0.offset_us.load(Ordering::Relaxed).saturating_sub(candidate_us);
        if let Some((before_us, at)) = judged.server {
            if before_us.saturating_sub(candidate_us) > duration_micros(STEP) {
                self.0.steps.fetch_add(1, Ordering::Relaxed);
                warn!(by_us = before_us - candidate_us, "the database's clock went back; the house's time does not");
            }
            if excess_us > 0 && self.doubt().is_none() {
                let lower_us = excess_us.min(duration_micros(uptime.saturating_sub(at) / SLEW_DIVISOR));
                self.0.shown_us.fetch_max(self.now().micros(), Ordering::AcqRel);
                self.0.offset_us.fetch_sub(lower_us, Ordering::AcqRel);
            }
        }
        judged.server = Some((candidate_us, uptime));
    }

    /// Begins at the later of what the database's clock shows and the latest time that its rows hold.
    pub fn begin(&self, server: Timestamp, mark: Timestamp) {
        self.observe(server);
        if mark.since(server) > DOUBT_FROM {
            let mut judged = self.judged();
            judged.mark_offset_us = mark.micros().saturating_sub(self.uptime_us());
            self.set_doubt(Some(Doubt::Behind));
            error!(behind = ?mark.since(server), "{}", Doubt::Behind.reason());
        } else {
            self.reach(mark);
        }
    }

    /// Goes on from a time that another node of the house has reached, unless that is out of reason.
    pub fn reach(&self, mark: Timestamp) {
        if self.doubt().is_none() && mark.since(self.now()) <= DOUBT_FROM {
            let candidate_us = mark.micros().saturating_sub(self.uptime_us());
            self.0.offset_us.fetch_max(candidate_us, Ordering::AcqRel);
        }
    }

    /// Hears how often operators have accepted the database's clock. A larger count says that it is right, even if it is earlier.
    pub fn hear(&self, accepted: i64, server: Timestamp) {
        // A smaller count is that of a standby which has not seen the last one.
        let heard = self.0.heard.fetch_max(accepted, Ordering::AcqRel);
        if heard < 0 || accepted <= heard {
            return;
        }
        let mut judged = self.judged();
        judged.server = None;
        self.hold_for(HOLD);
        self.0.steps.fetch_add(1, Ordering::Relaxed);
        self.0.shown_us.store(i64::MIN, Ordering::Release);
        self.0.offset_us.store(server.micros().saturating_sub(self.uptime_us()), Ordering::Release);
        self.set_doubt(None);
        info!(at = %server.rfc3339(), "an operator accepted the database's clock");
    }

    /// Why the clock is not believed now, if it is not.
    #[must_use]
    pub fn doubt(&self) -> Option<Doubt> {
        match self.0.doubt.load(Ordering::Acquire) {
            1 => Some(Doubt::Ahead),
            2 => Some(Doubt::Behind),
            _ => None,
        }
    }

    /// For how long nothing may be ended or dropped for its age, if so.
    #[must_use]
    pub fn held(&self) -> Option<Duration> {
        if self.doubt().is_some() {
            return Some(HOLD);
        }
        let left_us = self.0.held_until_us.load(Ordering::Acquire).saturating_sub(self.uptime_us());
        u64::try_from(left_us).ok().filter(|left_us| *left_us > 0).map(Duration::from_micros)
    }

    /// Ends and drops nothing for its age for `left` more: the clock was stepped, as this node or another one saw.
    pub fn hold_for(&self, left: Duration) {
        let until_us = self.uptime_us().saturating_add(duration_micros(left.min(HOLD)));
        self.0.held_until_us.fetch_max(until_us, Ordering::AcqRel);
    }

    /// How often the database's clock was stepped while this node looked.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.0.steps.load(Ordering::Relaxed)
    }

    /// Decides about a time that is ahead of the estimate, or that comes while the clock is not believed.
    fn judge(&self, judged: &mut Judged, candidate_us: i64) {
        let offset_us = self.0.offset_us.load(Ordering::Relaxed);
        if offset_us == UNKNOWN {
            self.0.offset_us.store(candidate_us, Ordering::Release);
            return;
        }
        let (doubt, ahead_us) = (self.doubt(), candidate_us.saturating_sub(offset_us));
        if doubt == Some(Doubt::Behind) {
            if judged.mark_offset_us.saturating_sub(candidate_us) > duration_micros(DOUBT_FROM) {
                self.0.offset_us.fetch_max(candidate_us, Ordering::AcqRel);
                return;
            }
            self.0.offset_us.fetch_max(candidate_us.max(judged.mark_offset_us), Ordering::AcqRel);
        } else if ahead_us > duration_micros(DOUBT_FROM) {
            if doubt.is_none() {
                self.0.steps.fetch_add(1, Ordering::Relaxed);
                self.set_doubt(Some(Doubt::Ahead));
                error!(ahead_us, "{}", Doubt::Ahead.reason());
            }
            return;
        }
        if ahead_us > duration_micros(STEP) {
            // Held before it is believed: nobody is to see the later time without the hold.
            self.hold_for(HOLD);
            self.0.steps.fetch_add(1, Ordering::Relaxed);
            warn!(ahead_us, hold = ?HOLD, "the database's clock went ahead; nothing is ended or dropped for its age");
        }
        self.0.offset_us.fetch_max(candidate_us, Ordering::AcqRel);
        if doubt.is_some() {
            self.set_doubt(None);
            info!("the database's clock is believed again");
        }
    }

    fn set_doubt(&self, doubt: Option<Doubt>) {
        let number = match doubt {
            None => 0,
            Some(Doubt::Ahead) => 1,
            Some(Doubt::Behind) => 2,
        };
        self.0.doubt.store(number, Ordering::Release);
    }

    fn judged(&self) -> std::sync::MutexGuard<'_, Judged> {
        self.0.judged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn uptime_us(&self) -> i64 {
        duration_micros(self.0.machine.uptime())
    }
}

#[cfg(test)]
mod tests;
