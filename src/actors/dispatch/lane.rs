//! What everybody who holds a handle sees of one queue: how full it is and whether it can take work at all.
//!
//! It owns the places. A [`Slot`] is taken before a charge is committed and given back when its job leaves, so that no more
//! wait than the links that take work can take within `dispatch_within`, and one account never holds more than half of that.
//! It lives as long as the process; the queue behind it may be restarted.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use tokio::time::Instant;

use super::speed::Speed;
use crate::domain::ids::AccountId;

/// Of what the links could take within `dispatch_within`, the share that is promised: the rest absorbs timers that fire
/// late and commits that come in lumps.
const PROMISED_PERCENT: u64 = 90;

const OPEN: u64 = 0;
const SHUT: u64 = u64::MAX;

/// No queue of the carrier can take the order in time, or none of its links can take work now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no route for now")]
pub struct NoRouteNow {
    /// When what is queued will have left, or a link will be tried again.
    pub retry_after: Duration,
}

/// The places of one queue, by account, and the sign on its door.
pub(super) struct Lane {
    capacity: AtomicU32,
    /// How fast jobs leave, from which the capacity follows.
    speed: AtomicU64,
    queue_max: u32,
    /// What still waits after this is failed: nobody needs to come back later.
    within: Duration,
    taken: AtomicU32,
    /// The places of every account that has any.
    by_account: DashMap<AccountId, u32>,
    /// [`OPEN`], [`SHUT`], or the microsecond after `epoch` until which no link takes work.
    closed: AtomicU64,
    epoch: Instant,
    /// What a caller is told when nobody knows how long.
    retry_default: Duration,
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lane({}/{} taken)", self.taken(), self.capacity())
    }
}

impl Lane {
    /// A lane that jobs leave at `speed`, and that never holds more than `queue_max` of them.
    pub(super) fn new(speed: Speed, within: Duration, queue_max: usize, retry_default: Duration) -> Self {
        let lane = Self {
            capacity: AtomicU32::new(1),
            speed: AtomicU64::new(0),
            queue_max: u32::try_from(queue_max).unwrap_or(u32::MAX).max(1),
            within,
            taken: AtomicU32::new(0),
            by_account: DashMap::new(),
            closed: AtomicU64::new(OPEN),
            epoch: Instant::now(),
            retry_default,
        };
        lane.promise(speed);
        lane
    }

    /// From now on jobs leave at `speed`: it takes what can leave in time, and at least one, or nobody would ever learn that
    /// a link is faster than it was. Without any speed it goes on as it was: its door is shut.
    pub(super) fn promise(&self, speed: Speed) {
        if speed.is_zero() {
            return;
        }
        let places = speed.hundredths(self.within).saturating_mul(PROMISED_PERCENT) / 10_000;
        let places = u32::try_from(places).unwrap_or(u32::MAX).clamp(1, self.queue_max);
        self.capacity.store(places, Ordering::Relaxed);
        self.speed.store(speed.to_number(), Ordering::Relaxed);
    }

    /// How fast jobs leave.
    pub(super) fn speed(&self) -> Speed {
        Speed::from_number(self.speed.load(Ordering::Relaxed))
    }

    fn capacity(&self) -> u32 {
        self.capacity.load(Ordering::Relaxed)
    }

    /// Takes a place for a job of `account`.
    pub(super) fn reserve(self: &Arc<Self>, account: AccountId) -> Result<Slot, NoRouteNow> {
        self.check_open()?;
        let capacity = self.capacity();
        let mut own = self.by_account.entry(account).or_insert(0);
        if *own >= capacity.div_ceil(2) {
            return Err(self.full(*own));
        }
        let below = |taken: u32| (taken < capacity).then(|| taken.saturating_add(1));
        if let Err(taken) = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, below) {
            let unused = *own == 0;
            drop(own);
            if unused {
                self.by_account.remove_if(&account, |_, own| *own == 0);
            }
            return Err(self.full(taken));
        }
        *own += 1;
        Ok(Slot { lane: Some(Arc::clone(self)), account })
    }

    /// Takes a place for a job that was charged long ago, full or not: new orders make room for it.
    pub(super) fn occupy(self: &Arc<Self>, account: AccountId) -> Slot {
        *self.by_account.entry(account).or_insert(0) += 1;
        self.taken.fetch_add(1, Ordering::Relaxed);
        Slot { lane: Some(Arc::clone(self)), account }
    }

    fn give_back(&self, account: AccountId) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
        if let Entry::Occupied(mut own) = self.by_account.entry(account) {
            *own.get_mut() -= 1;
            if *own.get() == 0 {
                own.remove();
            }
        }
    }

    pub(super) fn taken(&self) -> u32 {
        self.taken.load(Ordering::Relaxed)
    }

    pub(super) fn open(&self) {
        self.closed.store(OPEN, Ordering::Relaxed);
    }

    /// Whether a link takes work, as far as is known.
    pub(super) fn is_open(&self) -> bool {
        self.check_open().is_ok()
    }

    /// Refuses new jobs until `until`; without one, until it is opened again.
    pub(super) fn close(&self, until: Option<Instant>) {
        let until = until.map_or(SHUT, |at| {
            let us = at.saturating_duration_since(self.epoch).as_micros();
            u64::try_from(us).unwrap_or(SHUT - 1).clamp(OPEN + 1, SHUT - 1)
        });
        self.closed.store(until, Ordering::Relaxed);
    }

    fn check_open(&self) -> Result<(), NoRouteNow> {
        match self.closed.load(Ordering::Relaxed) {
            OPEN => Ok(()),
            SHUT => Err(NoRouteNow { retry_after: self.retry_default }),
            until_us => {
                let until = self.epoch + Duration::from_micros(until_us);
                let retry_after = until.saturating_duration_since(Instant::now());
                if retry_after.is_zero() { Ok(()) } else { Err(NoRouteNow { retry_after }) }
            }
        }
    }

    /// How long `queued` jobs need to leave.
    fn full(&self, queued: u32) -> NoRouteNow {
        NoRouteNow { retry_after: self.speed().needs(queued.into()).min(self.within) }
    }
}

/// A place in a queue. Dropping it gives the place back.
#[must_use = "a slot that is dropped is free again"]
pub struct Slot {
    /// `None` before it was taken, and once it was given back.
    lane: Option<Arc<Lane>>,
    account: AccountId,
}

impl Slot {
    /// No place yet, for a job that is given one where it goes.
    pub(super) const fn nowhere(account: AccountId) -> Self {
        Self { lane: None, account }
    }

    /// Whether it is a place of `lane`.
    pub(super) fn is_of(&self, lane: &Arc<Lane>) -> bool {
        self.lane.as_ref().is_some_and(|own| Arc::ptr_eq(own, lane))
    }

    /// Gives the place back: the job is on the wire, where the link's window bounds what may be.
    pub(super) fn free(&mut self) {
        if let Some(lane) = self.lane.take() {
            lane.give_back(self.account);
        }
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot")
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.free();
    }
}

#[cfg(test)]
mod tests;
