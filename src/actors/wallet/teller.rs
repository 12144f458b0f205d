//! The committer of one wallet shard: one accept transaction at a time.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use metrics::{Histogram, counter, histogram};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{error, warn};

use super::handover::{Handed, Refund, Waiter};
use super::resolver::{Decided, Resolve, Resolver, hand_over};
use super::{Charge, Parts};
use crate::actors::accept_health::AcceptHealth;
use crate::actors::group_commit::{Committer, Done, Item, conflict_key};
use crate::clock::DatabaseClock;
use crate::domain::ids::BatchId;
use crate::records::acceptance::{Accepted, Order, Verdict, accept};
use crate::store::{CommitError, Store, StoreError, Writer};
use crate::telemetry::names;

/// After a commit that failed, so that a database that is away is not hammered.
const REST: Duration = Duration::from_millis(20);

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
    fn accept(
        &mut self,
        batch: BatchId,
        orders: Arc<Vec<Order>>,
    ) -> BoxFuture<'_, Result<Accepted, CommitError<Accepted>>>;

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
    fn accept(
        &mut self,
        batch: BatchId,
        orders: Arc<Vec<Order>>,
    ) -> BoxFuture<'_, Result<Accepted, CommitError<Accepted>>> {
        let work = self.writer.commit(Some(batch), move |tx| {
            let orders = Arc::clone(&orders);
            Box::pin(async move { accept(tx, &orders).await })
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
            rows: histogram!(names::COMMIT_ROWS, "kind" => "accept"),
            seconds: histogram!(names::COMMIT_SECONDS, "kind" => "accept"),
        }
    }

    async fn commit_part(&mut self, part: Part) -> Outcome {
        let batch = BatchId::new(self.clock.now(), rand::random());
        let since = Instant::now();
        let doubt = Doubt { batch, waiters: Some(part.waiters), resolver: self.resolver.clone() };
        let outcome = self.bank.accept(batch, Arc::clone(&part.orders)).await;
        let waiters = doubt.dispelled();
        self.seconds.record(since.elapsed());
        match outcome {
            Ok(accepted) => {
                self.clock.observe(accepted.now);
                self.health.decided(&accepted.verdicts);
                Outcome::Decided(waiters, Decided { accepted, since })
            }
            Err(CommitError::Unknown { outcome }) => {
                counter!(names::COMMITS_FAILED, "kind" => "accept", "outcome" => "unknown").increment(1);
                self.health.refused(&part.orders);
                self.resolver.leave(batch, waiters, Some(Decided { accepted: outcome, since }));
                Outcome::Left
            }
            Err(CommitError::NotCommitted(why)) => {
                counter!(names::COMMITS_FAILED, "kind" => "accept", "outcome" => "not_committed").increment(1);
                // Of several, one that cannot be written is still to be found.
                if part.orders.len() == 1 || !matches!(why, StoreError::Internal(_)) {
                    self.health.refused(&part.orders);
                }
                let part = Part { orders: part.orders, waiters };
                match why {
                    StoreError::Internal(why) => {
                        let first = part.waiters.first().map(|waiter| tracing::field::display(waiter.delivery));
                        error!(%why, %batch, orders = part.waiters.len(), first, "orders cannot be written");
                        part.halve()
                    }
                    StoreError::Unavailable(_) | StoreError::Unfit(_) | StoreError::Conflict(_) => {
                        warn!(%why, orders = part.waiters.len(), "orders were not committed");
                        Outcome::Refused(part.waiters)
                    }
                }
            }
        }
    }
}

impl Committer for Teller {
    type Item = Charging;

    async fn commit(&mut self, items: Vec<Charging>) -> Done {
        self.rows.record(f64::from(u32::try_from(items.len()).unwrap_or(u32::MAX)));
        let mut parts = vec![Part::new(items)];
        let mut told = Told::new(&self.resolver.refund);
        let mut rest = Duration::ZERO;
        while let Some(part) = parts.pop() {
            if part.waiters.is_empty() {
                continue;
            }
            match self.commit_part(part).await {
                Outcome::Decided(waiters, verdicts) => told.decided.push((waiters, verdicts)),
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

/// What is known of a batch and not told yet. It is told by being dropped, too: a committer that panics over one half of a
/// batch takes nobody's charge of the other half with it.
struct Told {
    decided: Vec<(Vec<Waiter>, Decided)>,
    refused: Vec<(Waiter, Charge)>,
    refund: Refund,
}

impl Told {
    fn new(refund: &Refund) -> Self {
        Self { decided: Vec::with_capacity(1), refused: Vec::new(), refund: Arc::clone(refund) }
    }

    fn tell(&mut self) {
        for (waiters, decided) in self.decided.drain(..) {
            count_verdicts(&decided.accepted.verdicts);
            hand_over(waiters, decided, &self.refund);
        }
        for (waiter, charge) in self.refused.drain(..) {
            waiter.tell(charge, &self.refund);
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.tell();
    }
}

fn count_verdicts(verdicts: &[Verdict]) {
    const LABELS: [&str; 6] = ["charged", "cooling_down", "insufficient", "key_known", "stale_key", "clock_skew"];
    let mut counts = [0_u64; LABELS.len()];
    for verdict in verdicts {
        let label = match verdict {
            Verdict::Charged { .. } => 0,
            Verdict::CoolingDown { .. } => 1,
            Verdict::Insufficient { .. } => 2,
            Verdict::KeyKnown => 3,
            Verdict::StaleKey => 4,
            Verdict::ClockSkew => 5,
        };
        counts[label] += 1;
    }
    for (label, count) in LABELS.into_iter().zip(counts).filter(|(_, count)| *count > 0) {
        counter!(names::VERDICTS, "verdict" => label).increment(count);
    }
}

enum Outcome {
    Decided(Vec<Waiter>, Decided),
    /// Certainly not charged.
    Refused(Vec<Waiter>),
    /// Certainly not charged: the database cannot take this one.
    Unwritable(Waiter),
    /// Some order in it cannot be written: which one is found by halves.
    Halved([Part; 2]),
    /// Unknown: a task of its own finds out.
    Left,
}

struct Part {
    orders: Arc<Vec<Order>>,
    waiters: Vec<Waiter>,
}

impl Part {
    /// Leaves out whose caller has gone already: nothing of theirs is charged.
    fn new(items: Vec<Charging>) -> Self {
        let mut orders = Vec::with_capacity(items.len());
        let mut waiters = Vec::with_capacity(items.len());
        for Charging { order, reply } in items {
            if !reply.is_closed() {
                waiters.push(Waiter { delivery: order.delivery, reply });
                orders.push(order);
            }
        }
        Self { orders: Arc::new(orders), waiters }
    }

    fn halve(mut self) -> Outcome {
        if self.waiters.len() < 2 {
            return self.waiters.pop().map_or(Outcome::Refused(Vec::new()), Outcome::Unwritable);
        }
        let mut orders = Arc::unwrap_or_clone(self.orders);
        let middle = orders.len() / 2;
        let second = Self { orders: Arc::new(orders.split_off(middle)), waiters: self.waiters.split_off(middle) };
        Outcome::Halved([second, Self { orders: Arc::new(orders), waiters: self.waiters }])
    }
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
