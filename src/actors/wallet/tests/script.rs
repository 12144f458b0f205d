//! A scripted bank: a database in memory with faults to order.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;

use crate::actors::wallet::part::Draft;
use crate::actors::wallet::resolver::Resolve;
use crate::actors::wallet::teller::Bank;
use crate::domain::ids::{AccountId, BatchId, DeliveryId};
use crate::domain::money::MicroUsd;
use crate::domain::time::Timestamp;
use crate::records::acceptance::{Accepted, Order, Verdict};
use crate::store::{CommitError, StoreError};

#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    Away,
    /// A row that is no wallet is held by another session.
    RowLocked,
    /// The connection is lost inside COMMIT, which happened or not.
    Lost {
        committed: bool,
    },
    /// The task panics after the commit or before.
    Panic {
        committed: bool,
    },
}

/// A database in memory: every order can be paid.
#[derive(Default)]
pub(super) struct Rows {
    /// Charged deliveries and whether they were given back.
    pub(super) charged: HashMap<DeliveryId, bool>,
    pub(super) committed: HashMap<BatchId, bool>,
    pub(super) batches: Vec<usize>,
    pub(super) faults: VecDeque<Fault>,
    pub(super) poison: Option<DeliveryId>,
    /// A batch of this order alone panics before it commits.
    pub(super) panic_at: Option<DeliveryId>,
    /// How often the next resolutions fail.
    pub(super) unresolvable: usize,
    /// Accounts whose wallets another session holds, and in how many more transactions.
    pub(super) locked: HashMap<AccountId, usize>,
}

impl Rows {
    /// Of whom among `orders` the wallet is held in this transaction.
    fn hold(&mut self, orders: &[Order]) -> HashSet<AccountId> {
        let accounts: HashSet<AccountId> = orders.iter().map(|order| order.account).collect();
        let mut held = HashSet::new();
        for account in accounts {
            if let Some(left) = self.locked.get_mut(&account).filter(|left| **left > 0) {
                *left -= 1;
                held.insert(account);
            }
        }
        held
    }
}

#[derive(Clone)]
pub(super) struct Script {
    pub(super) rows: Arc<Mutex<Rows>>,
    /// Transactions may run.
    pub(super) gate: Arc<Semaphore>,
}

impl Script {
    pub(super) fn with<T>(&self, look: impl FnOnce(&mut Rows) -> T) -> T {
        look(&mut self.rows.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Charged and not given back.
    pub(super) fn standing(&self) -> usize {
        self.with(|rows| rows.charged.values().filter(|given_back| !**given_back).count())
    }

    fn run(&self, batch: BatchId, Draft { orders, unwaited }: &Draft) -> Result<Accepted, CommitError<Accepted>> {
        self.with(|rows| {
            let fault = rows.faults.pop_front();
            rows.batches.push(orders.len());
            let held = rows.hold(orders);
            if held.iter().any(|account| !unwaited.contains(account)) {
                return Err(StoreError::Locked("scripted".into()).into());
            }
            let verdict = |order: &Order| match held.contains(&order.account) {
                true => Verdict::WalletLocked,
                false => Verdict::Charged { created_at: Timestamp::default(), balance: MicroUsd::ZERO },
            };
            let verdicts: Vec<Verdict> = orders.iter().map(verdict).collect();
            let accepted = Accepted { verdicts, now: Timestamp::from_micros(1_000_000) };
            if orders.iter().any(|order| Some(order.delivery) == rows.poison) {
                return Err(StoreError::Internal("scripted".into()).into());
            }
            assert!(orders.len() > 1 || rows.panic_at != Some(orders[0].delivery), "on purpose");
            let committed = match fault {
                None => true,
                Some(Fault::Away | Fault::RowLocked) => false,
                Some(Fault::Lost { committed } | Fault::Panic { committed }) => committed,
            };
            if committed {
                for order in orders.iter().filter(|order| !held.contains(&order.account)) {
                    assert!(rows.charged.insert(order.delivery, false).is_none(), "charged once");
                }
            }
            rows.committed.insert(batch, committed);
            match fault {
                None => Ok(accepted),
                Some(Fault::Away) => Err(StoreError::Unavailable("scripted".into()).into()),
                Some(Fault::RowLocked) => Err(StoreError::Locked("scripted".into()).into()),
                Some(Fault::Lost { .. }) => Err(CommitError::Unknown { outcome: accepted }),
                Some(Fault::Panic { .. }) => panic!("on purpose"),
            }
        })
    }
}

impl Bank for Script {
    fn accept(&mut self, batch: BatchId, draft: Draft) -> BoxFuture<'_, Result<Accepted, CommitError<Accepted>>> {
        Box::pin(async move {
            self.gate.acquire().await.expect("never closed").forget();
            self.run(batch, &draft)
        })
    }

    fn resolve(&self) -> Resolve {
        let script = self.clone();
        Arc::new(move |batch| {
            let answer = script.with(|rows| {
                if rows.unresolvable > 0 {
                    rows.unresolvable -= 1;
                    return Err(StoreError::Unavailable("scripted".into()));
                }
                Ok(*rows.committed.entry(batch).or_insert(false))
            });
            Box::pin(async move { answer })
        })
    }
}
