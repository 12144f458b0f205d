//! The two permits that every order holds before an actor hears of it: back-pressure, outside the mailboxes.
//!
//! The *in-flight* permit ends with the answer; its cap is memory, and no account may hold more than its share. The
//! *commit* permit ends at the verdict; more charges waiting for a commit than the cap give no more rate, only more
//! latency, so the others queue first come, first served, few and not for long. Whoever gets no permit is shed before
//! any money moves. Permits are guards: they end when they are dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use metrics::{Gauge, Histogram, gauge, histogram};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::config::{AdmissionConfig, millis};
use crate::domain::ids::AccountId;
use crate::telemetry::{count, names};

/// Shed: 503 `overloaded`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("too many orders at once")]
pub struct Overloaded;

/// Gives out permits. Cheap to clone; all clones count together.
#[derive(Clone, Debug)]
pub struct Admission(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    in_flight: AtomicUsize,
    in_flight_max: usize,
    by_account: DashMap<AccountId, usize>,
    per_account_max: usize,
    commits: Arc<Semaphore>,
    commits_max: usize,
    waiters: AtomicUsize,
    waiters_max: usize,
    commit_wait: Duration,
    meters: Meters,
}

#[derive(Debug)]
struct Meters {
    in_flight_free: Gauge,
    commits_free: Gauge,
    waiters: Gauge,
    waited: Histogram,
}

impl Admission {
    #[must_use]
    pub fn new(config: &AdmissionConfig) -> Self {
        let meters = Meters {
            in_flight_free: gauge!(names::PERMITS_FREE, "permit" => "in_flight"),
            commits_free: gauge!(names::PERMITS_FREE, "permit" => "commit"),
            waiters: gauge!(names::PERMIT_WAITERS),
            waited: histogram!(names::PERMIT_WAIT_SECONDS),
        };
        Self(Arc::new(Counts {
            in_flight: AtomicUsize::new(0),
            in_flight_max: config.in_flight_max,
            by_account: DashMap::new(),
            per_account_max: config.in_flight_per_account_max,
            commits: Arc::new(Semaphore::new(config.commits_max)),
            commits_max: config.commits_max,
            waiters: AtomicUsize::new(0),
            waiters_max: config.commit_waiters_max,
            commit_wait: millis(config.commit_wait_ms),
            meters,
        }))
    }

    /// Admits one more request of `account`, at once or not at all. To be held until the answer.
    ///
    /// # Errors
    /// [`Overloaded`] if the house or the account's share of it is full.
    pub fn in_flight(&self, account: AccountId) -> Result<InFlightPermit, Overloaded> {
        let counts = &self.0;
        let room = |taken: usize| (taken < counts.in_flight_max).then_some(taken + 1);
        counts.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).map_err(|_| Overloaded)?;
        let within_share = {
            let mut held = counts.by_account.entry(account).or_insert(0);
            let room = *held < counts.per_account_max;
            *held += usize::from(room);
            room
        };
        if !within_share {
            counts.in_flight.fetch_sub(1, Ordering::Relaxed);
            return Err(Overloaded);
        }
        Ok(InFlightPermit { counts: Arc::clone(counts), account })
    }

    /// Admits one more charge to the commits, after those that came before. To be held until the verdict.
    ///
    /// # Errors
    /// [`Overloaded`] if too many wait already or none became free in time.
    pub async fn commit(&self) -> Result<CommitPermit, Overloaded> {
        let counts = &self.0;
        // A freed permit goes to the first waiter, so one that can be had at once overtakes nobody.
        if let Ok(permit) = Arc::clone(&counts.commits).try_acquire_owned() {
            return Ok(CommitPermit(permit));
        }
        let waiting = Waiting::begin(counts)?;
        let since = Instant::now();
        let permit = tokio::time::timeout(counts.commit_wait, Arc::clone(&counts.commits).acquire_owned()).await;
        drop(waiting);
        counts.meters.waited.record(since.elapsed());
        match permit {
            Ok(Ok(permit)) => Ok(CommitPermit(permit)),
            Ok(Err(_)) | Err(_) => Err(Overloaded),
        }
    }

    /// Requests that hold an in-flight permit now.
    #[must_use]
    pub fn in_flight_now(&self) -> usize {
        self.0.in_flight.load(Ordering::Relaxed)
    }

    /// Charges that hold a commit permit now.
    #[must_use]
    pub fn commits_now(&self) -> usize {
        self.0.commits_max.saturating_sub(self.0.commits.available_permits())
    }

    /// Shows the permits to the metrics; called before each scrape, so that an order pays nothing for it.
    pub fn report(&self) {
        let counts = &self.0;
        counts.meters.in_flight_free.set(count(counts.in_flight_max.saturating_sub(self.in_flight_now())));
        counts.meters.commits_free.set(count(counts.commits.available_permits()));
        counts.meters.waiters.set(count(counts.waiters.load(Ordering::Relaxed)));
    }
}

/// One request between admission and answer.
#[derive(Debug)]
#[must_use = "the permit ends when it is dropped"]
pub struct InFlightPermit {
    counts: Arc<Counts>,
    account: AccountId,
}

impl Drop for InFlightPermit {
    fn drop(&mut self) {
        self.counts.in_flight.fetch_sub(1, Ordering::Relaxed);
        if let Entry::Occupied(mut held) = self.counts.by_account.entry(self.account) {
            *held.get_mut() -= 1;
            if *held.get() == 0 {
                held.remove();
            }
        }
    }
}

/// One charge between admission and verdict.
#[derive(Debug)]
#[must_use = "the permit ends when it is dropped"]
pub struct CommitPermit(#[allow(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

struct Waiting<'a>(&'a Counts);

impl<'a> Waiting<'a> {
    fn begin(counts: &'a Counts) -> Result<Self, Overloaded> {
        let room = |waiting: usize| (waiting < counts.waiters_max).then_some(waiting + 1);
        counts.waiters.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).map_err(|_| Overloaded)?;
        Ok(Self(counts))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiters.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::FutureExt;
    use proptest::prelude::*;

    use super::*;

    fn admission(commits_max: usize, commit_waiters_max: usize) -> Admission {
        Admission::new(&AdmissionConfig {
            commits_max,
            commit_waiters_max,
            commit_wait_ms: 250,
            in_flight_max: 6,
            in_flight_per_account_max: 3,
        })
    }

    fn account(number: u8) -> AccountId {
        AccountId::from_bytes([number; 16])
    }

    #[tokio::test(start_paused = true)]
    async fn waiters_are_served_in_order_and_shed_in_time() {
        let admission = admission(1, 2);
        let held = admission.commit().await.expect("free");
        let mut first = Box::pin(admission.commit());
        let mut second = Box::pin(admission.commit());
        assert!((&mut first).now_or_never().is_none());
        assert!((&mut second).now_or_never().is_none());
        assert_eq!(admission.commit().await.err(), Some(Overloaded), "a third waiter is shed at once");
        drop(held);
        assert!(admission.commit().now_or_never().expect("at once").is_err(), "nobody overtakes");
        let held = first.await.expect("it was first");
        let since = Instant::now();
        assert_eq!(second.await.err(), Some(Overloaded));
        assert_eq!(since.elapsed(), Duration::from_millis(250));
        drop(held);
        assert!(admission.commit().now_or_never().expect("at once").is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_that_leaves_gives_its_place_up() {
        let admission = admission(1, 1);
        let held = admission.commit().await.expect("free");
        let mut waiter = Box::pin(admission.commit());
        assert!((&mut waiter).now_or_never().is_none());
        drop(waiter);
        let mut other = Box::pin(admission.commit());
        assert!((&mut other).now_or_never().is_none(), "it waits, it is not shed");
        drop(held);
        assert!(other.await.is_ok());
    }

    proptest! {
        #[test]
        fn what_is_taken_is_given_back(steps in prop::collection::vec((any::<bool>(), 0..4_u8), 0..80)) {
            let admission = admission(1, 1);
            let mut held: Vec<InFlightPermit> = Vec::new();
            for (take, number) in steps {
                let mine = held.iter().filter(|permit| permit.account == account(number)).count();
                if take {
                    let admitted = admission.in_flight(account(number));
                    prop_assert_eq!(admitted.is_ok(), held.len() < 6 && mine < 3);
                    held.extend(admitted.ok());
                } else if !held.is_empty() {
                    drop(held.swap_remove(usize::from(number) % held.len()));
                }
                prop_assert_eq!(admission.in_flight_now(), held.len());
            }
            held.clear();
            prop_assert_eq!(admission.in_flight_now(), 0);
            prop_assert!(admission.0.by_account.iter().all(|entry| *entry.value() == 0));
        }
    }
}
