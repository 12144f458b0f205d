//! The pace of one link: no second of wire time ever sees more dispatches than the carrier allows.
//!
//! `governor` keeps the schedule (GCRA). On a busy machine a timer fires late, and what was due meanwhile is caught up at
//! once; a guard that knows what was taken in the last second keeps that from being too much.

use std::collections::VecDeque;
use std::fmt;
use std::num::NonZeroU32;
use std::ops::Add;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::{Clock, Reference};
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

/// What a stall of so long kept back is caught up. A stall of 100 ms, and another while the guard still pays for the first.
const CATCH_UP: Duration = Duration::from_millis(200);
/// The turn of one of several who share a pace.
const TURN: Duration = Duration::from_millis(20);
/// From this limit on the schedule leaves a hundredth of it free, for what the way to the carrier does to the distances.
const ROOM_FROM: u32 = 100;
/// A second, and a little for the same reason.
const GUARDED: Duration = Duration::from_millis(1_005);
/// Permits that were taken within so long are remembered as one instant, the last of them.
const GRAIN: Duration = Duration::from_millis(1);

type Schedule = RateLimiter<NotKeyed, InMemoryState, Monotonic, StateInformationMiddleware>;

/// A schedule of permits. It outlives restarts of the queue that it paces.
pub(crate) struct Pace {
    schedule: Schedule,
    per_second: u32,
    limit: u32,
    /// Whether what nobody asked for is lost but for a turn, or may all be taken at once.
    rests: bool,
    taken: Mutex<LastSecond>,
}

impl fmt::Debug for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pace({}/s)", self.per_second)
    }
}

impl Pace {
    /// At most `limit` permits in any second; zero is taken as one.
    pub(crate) fn new(limit: u32) -> Self {
        let limit = limit.max(1);
        let room = if limit < ROOM_FROM { 0 } else { limit / 100 };
        Self { rests: true, ..Self::behind_another(limit) }.at(limit - room)
    }

    /// The same for whoever takes from a pace before. It leaves no room of its own and lets a lump pass, so that it never
    /// falls behind the other.
    pub(crate) fn behind_another(limit: u32) -> Self {
        let limit = limit.max(1);
        Self { schedule: schedule(limit, turn(limit)), per_second: limit, limit, rests: false, taken: Mutex::default() }
    }

    /// Another limit from now on, as of [`Pace::behind_another`]. What was taken in the last second counts.
    pub(crate) fn change(&mut self, limit: u32) {
        let taken = std::mem::take(&mut *self.taken());
        *self = Self { taken: Mutex::new(taken), ..Self::behind_another(limit) };
    }

    fn at(self, per_second: u32) -> Self {
        Self { schedule: schedule(per_second, turn(self.limit)), per_second, ..self }
    }

    /// How many permits one of several who share the pace may take before it is another's turn.
    pub(crate) fn burst(&self) -> u32 {
        turn(self.limit)
    }

    /// The permits of one second.
    pub(crate) fn per_second(&self) -> u32 {
        self.per_second
    }

    /// Takes a permit.
    ///
    /// # Errors
    /// When the next one may be due.
    pub(crate) fn take(&self) -> Result<(), Instant> {
        let mut taken = self.taken();
        let now = Instant::now();
        let due = taken
            .room(self.limit, now)
            .and_then(|()| self.schedule.check().map_err(|later| later.earliest_possible().0));
        let left = due.inspect_err(|due| taken.due = Some(*due))?.remaining_burst_capacity();
        // Whoever comes late for what was due catches up; whoever did not ask does not.
        if self.rests && taken.due.is_none_or(|due| due + CATCH_UP < now) {
            forfeit(&self.schedule, left.saturating_sub(turn(self.limit) - 1));
        }
        taken.add(now);
        Ok(())
    }

    fn taken(&self) -> MutexGuard<'_, LastSecond> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// It begins with `at_once` permits.
fn schedule(per_second: u32, at_once: u32) -> Schedule {
    let per_second = per_second.max(1);
    // Rounded up: a permit that comes a nanosecond late breaks no limit.
    let spacing = Duration::from_nanos(1_000_000_000_u64.div_ceil(u64::from(per_second)));
    // The first of a burst is the one that is due.
    let late = CATCH_UP.as_nanos().div_ceil(spacing.as_nanos());
    let burst_max = u32::try_from(late + 1).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN);
    let quota = Quota::with_period(spacing).unwrap_or(Quota::per_second(NonZeroU32::MIN)).allow_burst(burst_max);
    let schedule = RateLimiter::direct_with_clock(quota, Monotonic).with_middleware();
    forfeit(&schedule, burst_max.get().saturating_sub(at_once));
    schedule
}

/// What may be taken in one turn.
fn turn(limit: u32) -> u32 {
    let turn_ms = u64::try_from(TURN.as_millis()).unwrap_or(0);
    u32::try_from(u64::from(limit) * turn_ms / 1_000).unwrap_or(1).max(1)
}

/// Permits that nobody takes.
fn forfeit(schedule: &Schedule, permits: u32) {
    if let Some(permits) = NonZeroU32::new(permits) {
        let _there = schedule.check_n(permits);
    }
}

/// What was taken in the last second: a few more than a thousand instants at most, whatever the limit.
#[derive(Default)]
struct LastSecond {
    grains: VecDeque<Grain>,
    taken: u32,
    /// What the last one who was refused was told.
    due: Option<Instant>,
}

struct Grain {
    first: Instant,
    last: Instant,
    taken: u32,
}

impl LastSecond {
    /// Whether one more keeps to `limit`.
    ///
    /// # Errors
    /// When there may be room.
    fn room(&mut self, limit: u32, now: Instant) -> Result<(), Instant> {
        while let Some(grain) = self.grains.pop_front_if(|grain| grain.last + GUARDED <= now) {
            self.taken -= grain.taken;
        }
        match self.grains.front() {
            Some(oldest) if self.taken >= limit => Err(oldest.last + GUARDED),
            _ => Ok(()),
        }
    }

    fn add(&mut self, now: Instant) {
        self.taken += 1;
        match self.grains.back_mut().filter(|grain| now < grain.first + GRAIN) {
            Some(grain) => (grain.last, grain.taken) = (now, grain.taken + 1),
            None => self.grains.push_back(Grain { first: now, last: now, taken: 1 }),
        }
    }
}

/// tokio's clock, so that paused tests pace in their own time.
#[derive(Clone, Copy, Debug)]
struct Monotonic;

impl Clock for Monotonic {
    type Instant = At;

    fn now(&self) -> At {
        At(Instant::now())
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct At(Instant);

impl Add<Nanos> for At {
    type Output = Self;

    fn add(self, nanos: Nanos) -> Self {
        Self(self.0 + Duration::from(nanos))
    }
}

impl Reference for At {
    fn duration_since(&self, earlier: Self) -> Nanos {
        self.0.saturating_duration_since(earlier.0).into()
    }

    fn saturating_sub(&self, duration: Nanos) -> Self {
        Self(self.0.checked_sub(duration.into()).unwrap_or(self.0))
    }
}

#[cfg(test)]
mod tests;
