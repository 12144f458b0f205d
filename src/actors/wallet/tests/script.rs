//! A scripted bank: a database in memory with faults to order.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;

use crate::actors::wallet::resolver::Resolve;
use crate::actors::wallet::teller::Bank;
use crate::domain::ids::{BatchId, DeliveryId};
use crate::domain::money::MicroUsd;
use crate::domain::time::Timestamp;
use crate::records::acceptance::{Accepted, Order, Verdict};
use crate::store::{CommitError, StoreError};

#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    Away,
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

    fn run(&self, batch: BatchId, orders: &[Order]) -> Result<Accepted, CommitError<Accepted>> {
        let verdict = Verdict::Charged { created_at: Timestamp::default(), balance: MicroUsd::ZERO };
        let accepted = Accepted { verdicts: vec![verdict; orders.len()], now: Timestamp::from_micros(1_000_000) };
        self.with(|rows| {
            let fault = rows.faults.pop_front();
            rows.batches.push(orders.len());
            if orders.iter().any(|order| Some(order.delivery) == rows.poison) {
                return Err(StoreError::Internal("scripted".into()).into());
            }
            assert!(orders.len() > 1 || rows.panic_at != Some(orders[0].delivery), "on purpose");
            let committed = match fault {
                None => true,
                Some(Fault::Away) => false,
                Some(Fault::Lost { committed } | Fault::Panic { committed }) => committed,
            };
            if committed {
                for order in orders {
                    assert!(rows.charged.insert(order.delivery, false).is_none(), "charged once");
                }
            }
            rows.committed.insert(batch, committed);
            match fault {
                None => Ok(accepted),
                Some(Fault::Away) => Err(StoreError::Unavailable("scripted".into()).into()),
                Some(Fault::Lost { .. }) => Err(CommitError::Unknown { outcome: accepted }),
                Some(Fault::Panic { .. }) => panic!("on purpose"),
            }
        })
    }
}

impl Bank for Script {
    fn accept(
        &mut self,
        batch: BatchId,
        orders: Arc<Vec<Order>>,
    ) -> BoxFuture<'_, Result<Accepted, CommitError<Accepted>>> {
        Box::pin(async move {
            self.gate.acquire().await.expect("never closed").forget();
            self.run(batch, &orders)
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
