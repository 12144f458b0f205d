//! What everybody who holds a handle sees of one queue: how full it is and whether it can take work at all.
//!
//! It owns the places. A [`Slot`] is taken before a charge is committed and given back by being dropped, so a queue never
//! holds more than its links can take within `dispatch_within`, and one account never holds more than half of that. It
//! lives as long as the process; the queue behind it may be restarted.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use tokio::time::Instant;

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
    capacity: u32,
    per_account_max: u32,
    /// Jobs that leave in a second by the links' own rate, if they have one.
    rate: Option<u32>,
    /// What was last measured, where they have none.
    measured: AtomicU32,
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
        write!(f, "Lane({}/{} taken)", self.taken(), self.capacity)
    }
}

impl Lane {
    /// A lane to which its links together leave `rate` jobs in a second, if they have a rate.
    pub(super) fn new(rate: Option<u32>, within: Duration, queue_max: usize, retry_default: Duration) -> Self {
        let queue_max = u32::try_from(queue_max).unwrap_or(u32::MAX);
        let capacity = rate.map_or(queue_max, |rate| promised(rate, within).min(queue_max)).max(1);
        Self {
            capacity,
            per_account_max: capacity.div_ceil(2),
            rate,
            measured: AtomicU32::new(0),
            within,
            taken: AtomicU32::new(0),
            by_account: DashMap::new(),
            closed: AtomicU64::new(OPEN),
            epoch: Instant::now(),
            retry_default,
        }
    }

    /// Takes a place for a job of `account`.
    pub(super) fn reserve(self: &Arc<Self>, account: AccountId) -> Result<Slot, NoRouteNow> {
        self.check_open()?;
        let mut own = self.by_account.entry(account).or_insert(0);
        if *own >= self.per_account_max {
            return Err(self.full(*own));
        }
        let below = |taken: u32| (taken < self.capacity).then(|| taken.saturating_add(1));
        if let Err(taken) = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, below) {
            let unused = *own == 0;
            drop(own);
            if unused {
                self.by_account.remove_if(&account, |_, own| *own == 0);
            }
            return Err(self.full(taken));
        }
        *own += 1;
        Ok(Slot { lane: Arc::clone(self), account })
    }

    /// Takes a place for a job that was charged long ago, full or not: new orders make room for it.
    pub(super) fn occupy(self: &Arc<Self>, account: AccountId) -> Slot {
        *self.by_account.entry(account).or_insert(0) += 1;
        self.taken.fetch_add(1, Ordering::Relaxed);
        Slot { lane: Arc::clone(self), account }
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

    /// Jobs that leave in a second by the links' own rate, if they have one.
    pub(super) fn rate(&self) -> Option<u32> {
        self.rate
    }

    pub(super) fn open(&self) {
        self.closed.store(OPEN, Ordering::Relaxed);
    }

    /// Refuses new jobs until `until`; without one, until it is opened again.
    pub(super) fn close(&self, until: Option<Instant>) {
        let until = until.map_or(SHUT, |at| {
            let us = at.saturating_duration_since(self.epoch).as_micros();
            u64::try_from(us).unwrap_or(SHUT - 1).clamp(OPEN + 1, SHUT - 1)
        });
        self.closed.store(until, Ordering::Relaxed);
    }

    /// Tells how many jobs leave in a second, where no rate says so.
    pub(super) fn measured(&self, per_second: u32) {
        self.measured.store(per_second, Ordering::Relaxed);
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
        let leave = |per_second: u32| Duration::from_micros(u64::from(queued) * 1_000_000 / u64::from(per_second));
        let retry_after = match (self.rate, self.measured.load(Ordering::Relaxed)) {
            (Some(rate), _) => leave(rate.max(1)),
            (None, 0) => self.retry_default,
            (None, measured) => leave(measured).min(self.within),
        };
        NoRouteNow { retry_after }
    }
}

fn promised(rate: u32, within: Duration) -> u32 {
    let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
    let jobs = u64::from(rate).saturating_mul(within_ms) / 1_000;
    u32::try_from(jobs.saturating_mul(PROMISED_PERCENT) / 100).unwrap_or(u32::MAX)
}

/// A place in a queue. Dropping it gives the place back.
#[must_use = "a slot that is dropped is free again"]
pub struct Slot {
    lane: Arc<Lane>,
    account: AccountId,
}

impl Slot {
    /// Whether it is a place of `lane`.
    pub(super) fn is_of(&self, lane: &Arc<Lane>) -> bool {
        Arc::ptr_eq(&self.lane, lane)
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot")
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.lane.give_back(self.account);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn account(number: u8) -> AccountId {
        AccountId::from_bytes([number; 16])
    }

    fn lane(rate: Option<u32>, queue_max: usize) -> Arc<Lane> {
        Arc::new(Lane::new(rate, Duration::from_secs(5), queue_max, Duration::from_secs(2)))
    }

    #[test]
    fn a_rate_bounds_the_queue_and_tells_the_drain_time() {
        let lane = lane(Some(100), 50_000);
        let mut slots = Vec::new();
        while let Ok(slot) = lane.reserve(account(1)) {
            slots.push(slot);
        }
        assert_eq!(slots.len(), 225, "half of 90 % of 500");
        let full = lane.reserve(account(1)).expect_err("its half is taken");
        assert_eq!(full.retry_after, Duration::from_millis(2_250));
        while let Ok(slot) = lane.reserve(account(2)) {
            slots.push(slot);
        }
        assert_eq!(lane.taken(), 450);
        let full = lane.reserve(account(3)).expect_err("all is taken");
        assert_eq!(full.retry_after, Duration::from_millis(4_500));
        lane.measured(1);
        let full = lane.reserve(account(3)).expect_err("all is taken");
        assert_eq!(full.retry_after, Duration::from_millis(4_500), "a slow moment does not change the links' rate");
        drop(slots);
        assert_eq!(lane.taken(), 0);
    }

    #[test]
    fn without_a_rate_the_measure_tells_the_drain_time_up_to_what_may_wait() {
        let lane = lane(None, 4);
        let _slots = [1, 1, 2, 2].map(|number| lane.reserve(account(number)).expect("room"));
        for (measured, retry_after_ms) in [(0, 2_000), (8, 500), (2, 2_000), (0, 2_000)] {
            lane.measured(measured);
            let full = lane.reserve(account(3)).expect_err("all is taken");
            assert_eq!(full.retry_after, Duration::from_millis(retry_after_ms));
        }
        let long = Lane::new(None, Duration::from_secs(1), 4, Duration::from_secs(2));
        long.measured(1);
        assert_eq!(long.full(4).retry_after, Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_lane_says_until_when_and_opens_by_itself() {
        let lane = lane(None, 10);
        lane.close(Some(Instant::now() + Duration::from_secs(3)));
        tokio::time::advance(Duration::from_secs(1)).await;
        let closed = lane.reserve(account(1)).expect_err("closed");
        assert_eq!(closed.retry_after, Duration::from_secs(2));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(lane.reserve(account(1)).is_ok());
        lane.close(None);
        assert_eq!(lane.reserve(account(1)).err(), Some(NoRouteNow { retry_after: Duration::from_secs(2) }));
        lane.open();
        assert!(lane.reserve(account(1)).is_ok());
    }

    proptest! {
        /// Whatever is taken and given back in whatever order, the counters are the slots that are alive.
        #[test]
        fn slots_are_conserved(
            steps in proptest::collection::vec((0..4_u8, 0..3_u8, 0..64_usize), 1..200),
            capacity in 1..20_usize,
        ) {
            let lane = lane(None, capacity);
            let mut alive: Vec<(u8, Slot)> = Vec::new();
            for (account_number, action, index) in steps {
                match action {
                    0 => {
                        let own = alive.iter().filter(|(owner, _)| *owner == account_number).count();
                        match lane.reserve(account(account_number)) {
                            Ok(slot) => {
                                prop_assert!(alive.len() < capacity);
                                alive.push((account_number, slot));
                            }
                            Err(_) => prop_assert!(alive.len() == capacity || own == capacity.div_ceil(2)),
                        }
                    }
                    1 if !alive.is_empty() => drop(alive.swap_remove(index % alive.len())),
                    _ => {}
                }
                prop_assert_eq!(usize::try_from(lane.taken()).expect("small"), alive.len());
                prop_assert_eq!(lane.by_account.iter().map(|own| *own).sum::<u32>(), lane.taken());
                prop_assert!(lane.by_account.iter().all(|own| *own > 0));
            }
            alive.clear();
            prop_assert!(lane.by_account.is_empty());
        }
    }
}
