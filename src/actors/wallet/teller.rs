//! The committer of one wallet shard: one accept transaction at a time.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use metrics::{Histogram, counter, histogram};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{error, warn};

use super::handover::{Handed, Waiter};
use super::locked::{LockedWallets, Turn};
use super::part::{Draft, Halves, Part};
use super::resolver::{Decided, Resolve, Resolver};
use super::told::Told;
use super::{Charge, Parts};
use crate::actors::accept_health::AcceptHealth;
use crate::actors::group_commit::{Committer, Done, Item, conflict_key};
use crate::clock::DatabaseClock;
use crate::domain::ids::BatchId;
use crate::records::acceptance::{Accepted, Order, accept_unwaited};
use crate::store::{CommitError, Store, StoreError, Writer};
use crate::telemetry::names;

/// After a commit that failed, so that a database that is away is not hammered.
const REST: Duration = Duration::from_millis(20);
/// Before a wallet that was locked is tried again: longer than another daemon's transaction holds it.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// An order and who waits for its verdict.
pub(super) struct Charging {
    pub(super) order: Order,
    pub(super) reply: oneshot::Sender<Handed>,
}

impl Item for Charging {
    fn conflicts(&self) -> [Option<u64>; 2] {
        let phone = conflict_key(b'p', self.order.phone_key);
        let key = self.order.idempotency.as_ref().map(|claim| conflict_key(b'k', (self.order.account, &claim.key)));
        [Some(phone), key]
    }
}

/// The transaction; the store's in the house, a script in tests.
pub(super) trait Bank: Send {
    fn accept(&mut self, batch: BatchId, draft: Draft) -> BoxFuture<'_, Result<Accepted, CommitError<Accepted>>>;

    fn resolve(&self) -> Resolve;
}

pub(super) struct StoreBank {
    store: Store,
    writer: Writer,
}

impl StoreBank {
    pub(super) fn new(store: &Store) -> Self {
        Self { store: store.clone(), writer: store.writer() }
    }
}

impl Bank for StoreBank {
    fn accept(&mut self, batch: BatchId, draft: Draft) -> BoxFuture<'_, Result<Accepted, CommitError<Accepted>>> {
        let work = self.writer.commit(Some(batch), move |tx| {
            let Draft { orders, unwaited } = draft.clone();
            Box::pin(async move { accept_unwaited(tx, &orders, &unwaited).await })
        });
        Box::pin(work)
    }

    fn resolve(&self) -> Resolve {
        let store = self.store.clone();
        Arc::new(move |batch| {
            let store = store.clone();
            Box::pin(async move { store.resolve(batch).await })
        })
    }
}

pub(super) struct Teller {
    bank: Box<dyn Bank>,
    clock: DatabaseClock,
    health: AcceptHealth,
    resolver: Resolver,
    locked: LockedWallets,
    rows: Histogram,
    seconds: Histogram,
}

impl Teller {
    pub(super) fn new(parts: &Parts) -> Self {
        let bank = (parts.bank)();
        let resolver =
            Resolver { resolve: bank.resolve(), refund: Arc::clone(&parts.refund), tasks: parts.tasks.clone() };
        Self {
            bank,
            clock: parts.clock.clone(),
            health: parts.health.clone(),
            resolver,
            locked: LockedWallets::default(),
            rows: histogram!(names::COMMIT_ROWS, "kind" => "accept"),
            seconds: histogram!(names::COMMIT_SECONDS, "kind" => "accept"),
        }
    }

    async fn commit_part(&mut self, mut part: Part) -> Outcome {
        let batch = BatchId::new(self.clock.now(), rand::random());
        let since = Instant::now();
        let doubt = Doubt { batch, waiters: Some(std::mem::take(&mut part.waiters)), resolver: self.resolver.clone() };
        let outcome = self.bank.accept(batch, part.draft.clone()).await;
        part.waiters = doubt.dispelled();
        self.seconds.record(since.elapsed());
        match outcome {
            Ok(accepted) => {
                self.clock.observe(accepted.now);
                self.health.decided(&accepted.verdicts);
                self.decided(part, Decided { accepted, since })
            }
            Err(CommitError::Unknown { outcome }) => {
                counter!(names::COMMITS_FAILED, "kind" => "accept", "outcome" => "unknown").increment(1);
                self.health.refused(&part.draft.orders);
                self.resolver.leave(batch, part.waiters, Some(Decided { accepted: outcome, since }));
                Outcome::Left
            }
            Err(CommitError::NotCommitted(why)) => {
                counter!(names::COMMITS_FAILED, "kind" => "accept", "outcome" => "not_committed").increment(1);
                // Of several, one that cannot be written is still to be found; one that meets a lock is tried again.
                let is_refused = match why {
                    StoreError::Internal(_) => part.draft.orders.len() == 1,
                    StoreError::Locked(_) => part.is_careful(),
                    _ => true,
                };
                if is_refused {
                    self.health.refused(&part.draft.orders);
                }
                match why {
                    StoreError::Internal(why) => {
                        let first = part.waiters.first().map(|waiter| tracing::field::display(waiter.delivery));
                        error!(%why, %batch, orders = part.waiters.len(), first, "orders cannot be written");
                        match part.halve() {
                            Halves::Two(halves) => Outcome::Halved(halves),
                            Halves::One(Some(waiter)) => Outcome::Unwritable(waiter),
                            Halves::One(None) => Outcome::Refused(Vec::new()),
                        }
                    }
                    StoreError::Locked(why) => {
                        warn!(%why, orders = part.waiters.len(), "orders met a row that another session holds locked");
                        part.careful().map_or_else(Outcome::Refused, Outcome::Again)
                    }
                    StoreError::Unavailable(_) | StoreError::Unfit(_) | StoreError::Conflict(_) => {
                        warn!(%why, orders = part.waiters.len(), "orders were not committed");
                        Outcome::Refused(part.waiters)
                    }
                }
            }
        }
    }

    /// Learns which wallets are locked, and takes out whose order is tried once more.
    fn decided(&mut self, mut part: Part, mut decided: Decided) -> Outcome {
        let Draft { orders, unwaited } = part.draft.clone();
        if unwaited.is_empty() {
            return Outcome::Decided(part.waiters, decided, None);
        }
        let again = part.locked(&mut decided);
        if again.is_none() {
            self.locked.learn(&orders, &decided.accepted.verdicts, &unwaited, Instant::now());
        }
        Outcome::Decided(part.waiters, decided, again)
    }

    /// The batch without the orders whose wallets are known to be locked, which are refused.
    fn draft(&self, items: Vec<Charging>, told: &mut Told) -> Part {
        let mut unwaited = HashSet::new();
        if self.locked.is_empty() {
            return Part::new(items, unwaited);
        }
        let now = Instant::now();
        let mut open = Vec::with_capacity(items.len());
        for item in items {
            match self.locked.turn(item.order.account, now) {
                Turn::Waits => open.push(item),
                Turn::Tries => {
                    unwaited.insert(item.order.account);
                    open.push(item);
                }
                Turn::Refused => {
                    let waiter = Waiter { delivery: item.order.delivery, reply: item.reply };
                    told.refused.push((waiter, Charge::Unavailable));
                }
            }
        }
        Part::new(open, unwaited)
    }
}

impl Committer for Teller {
    type Item = Charging;

    async fn commit(&mut self, items: Vec<Charging>) -> Done {
        self.rows.record(f64::from(u32::try_from(items.len()).unwrap_or(u32::MAX)));
        let mut told = Told::new(&self.resolver.refund);
        let mut parts = vec![self.draft(items, &mut told)];
        let mut rest = Duration::ZERO;
        while let Some(part) = parts.pop() {
            if part.waiters.is_empty() {
                continue;
            }
            match self.commit_part(part).await {
                Outcome::Decided(waiters, verdicts, again) => {
                    told.decided.push((waiters, verdicts));
                    if let Some(part) = again {
                        told.tell();
                        tokio::time::sleep(LOCK_PAUSE).await;
                        parts.push(part);
                    }
                }
                Outcome::Again(part) => parts.push(part),
                Outcome::Refused(waiters) => {
                    told.refused.extend(waiters.into_iter().map(|waiter| (waiter, Charge::Unavailable)));
                    rest = REST;
                }
                Outcome::Unwritable(waiter) => {
                    told.refused.push((waiter, Charge::Internal));
                    rest = REST;
                }
                Outcome::Halved(halves) => parts.extend(halves),
                Outcome::Left => {}
            }
            if !parts.is_empty() {
                // The others of a batch that was split do not wait for the one that cannot be written.
                told.tell();
            }
        }
        Done { answers: Box::new(move || drop(told)), rest }
    }
}

enum Outcome {
    /// With those, if any, whose wallets were locked and are tried once more.
    Decided(Vec<Waiter>, Decided, Option<Part>),
    /// Certainly not charged: a row was locked. Once more, without a wait for a wallet.
    Again(Part),
    /// Certainly not charged.
    Refused(Vec<Waiter>),
    /// Certainly not charged: the database cannot take this one.
    Unwritable(Waiter),
    /// Some order in it cannot be written: which one is found by halves.
    Halved([Part; 2]),
    /// Unknown: a task of its own finds out.
    Left,
}

/// Held while a transaction is under way: if the task panics in it, what became of it is to be found out.
struct Doubt {
    batch: BatchId,
    waiters: Option<Vec<Waiter>>,
    resolver: Resolver,
}

impl Doubt {
    fn dispelled(mut self) -> Vec<Waiter> {
        self.waiters.take().unwrap_or_default()
    }
}

impl Drop for Doubt {
    fn drop(&mut self) {
        if let Some(waiters) = self.waiters.take() {
            self.resolver.leave(self.batch, waiters, None);
        }
    }
}
