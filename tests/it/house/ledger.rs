//! The ledger as its rows show it, checked by queries of the tests' own.
//!
//! Invariant 1: per account and bucket, movements less charges are the wallet. Invariant 3: each delivery ends once, its
//! charge stands or exactly one refund equals it. Nothing here trusts the daemon's `verify`.

use std::collections::BTreeMap;

use anyhow::Context as _;
use nexo_route::store::{Row, Statement, Store, StoreError};

/// Amounts per bucket: free, bonus, cash; micro-dollars.
type Amounts = [i64; 3];
type Id = [u8; 16];

static WALLETS: Statement =
    Statement::new("it.wallets", &[], &[], "SELECT account, free_credit, bonus_credit, balance FROM wallets");
static MOVEMENTS: Statement = Statement::new(
    "it.movements",
    &[],
    &[],
    "SELECT account, free_credit, bonus_credit, balance, delivery, kind FROM movements",
);
static DELIVERIES: Statement = Statement::new(
    "it.deliveries",
    &[],
    &[],
    "SELECT account, from_free, from_bonus, from_balance, id, status, settle_us, {now_us} FROM deliveries",
);

/// One delivery row, as far as money and time go.
#[derive(Clone, Copy, Debug)]
pub struct DeliveryRow {
    pub id: Id,
    pub charge: Amounts,
    pub status: i64,
    /// How many microseconds ago it should have ended; negative if that time has not come.
    pub overdue_us: i64,
}

/// Everything that the database says about money, read in one snapshot.
#[derive(Clone, Debug)]
pub struct Ledger {
    wallets: BTreeMap<Id, Amounts>,
    moved: BTreeMap<Id, Amounts>,
    refunds: BTreeMap<Id, Vec<Amounts>>,
    pub deliveries: Vec<DeliveryRow>,
}

const SENT: i64 = 0;
const FAILED: i64 = 2;

impl Ledger {
    pub async fn read(store: &Store) -> anyhow::Result<Self> {
        let read = store.read(|tx| {
            Box::pin(async move {
                let wallets = tx.query(&WALLETS, &[], &[]).await?;
                let movements = tx.query(&MOVEMENTS, &[], &[]).await?;
                let deliveries = tx.query(&DELIVERIES, &[], &[]).await?;
                Self::from_rows(&wallets, &movements, &deliveries)
            })
        });
        read.await.context("the ledger")
    }

    fn from_rows(wallets: &[Row], movements: &[Row], deliveries: &[Row]) -> Result<Self, StoreError> {
        let mut ledger = Self {
            wallets: BTreeMap::new(),
            moved: BTreeMap::new(),
            refunds: BTreeMap::new(),
            deliveries: Vec::with_capacity(deliveries.len()),
        };
        for row in wallets {
            ledger.wallets.insert(row.id(0)?, amounts(row)?);
        }
        for row in movements {
            let moved = amounts(row)?;
            add(ledger.moved.entry(row.id(0)?).or_default(), moved, 1);
            if row.text(5)? == "refund" {
                let delivery = row.opt_id(4)?.ok_or_else(|| StoreError::Internal("a refund of nothing".into()))?;
                ledger.refunds.entry(delivery).or_default().push(moved);
            }
        }
        for row in deliveries {
            let (account, charge) = (row.id(0)?, amounts(row)?);
            add(ledger.moved.entry(account).or_default(), charge, -1);
            let overdue_us = row.i64(7)?.saturating_sub(row.i64(6)?);
            ledger.deliveries.push(DeliveryRow { id: row.id(4)?, charge, status: row.i64(5)?, overdue_us });
        }
        Ok(ledger)
    }

    /// Deliveries that are still `sent` although their settle time is past by `grace_us`.
    pub fn overdue(&self, grace_us: i64) -> usize {
        self.deliveries.iter().filter(|delivery| delivery.status == SENT && delivery.overdue_us > grace_us).count()
    }

    /// Every delivery.
    pub fn ids(&self) -> std::collections::BTreeSet<Id> {
        self.deliveries.iter().map(|delivery| delivery.id).collect()
    }

    pub fn with_status(&self, status: i64) -> usize {
        self.deliveries.iter().filter(|delivery| delivery.status == status).count()
    }

    /// Every way in which the rows break invariants 1 and 3; empty if the ledger is whole.
    pub fn breaches(&self) -> Vec<String> {
        let mut breaches = Vec::new();
        for (account, moved) in &self.moved {
            let wallet = self.wallets.get(account).copied().unwrap_or_default();
            if wallet != *moved {
                breaches.push(format!("account {}: wallet {wallet:?}, movements less charges {moved:?}", hex(account)));
            }
        }
        for (account, wallet) in &self.wallets {
            if wallet.iter().any(|amount| *amount < 0) {
                breaches.push(format!("account {}: a bucket is below zero: {wallet:?}", hex(account)));
            }
            if !self.moved.contains_key(account) && *wallet != [0; 3] {
                breaches.push(format!("account {}: {wallet:?} came from nowhere", hex(account)));
            }
        }
        for delivery in &self.deliveries {
            let refunds = self.refunds.get(&delivery.id).map_or(&[][..], Vec::as_slice);
            let owed = if delivery.status == FAILED { &[delivery.charge][..] } else { &[] };
            if refunds != owed {
                let DeliveryRow { id, charge, status, .. } = delivery;
                breaches.push(format!("delivery {}: status {status}, charge {charge:?}, refunds {refunds:?}", hex(id)));
            }
        }
        breaches
    }
}

fn amounts(row: &Row) -> Result<Amounts, StoreError> {
    Ok([row.i64(1)?, row.i64(2)?, row.i64(3)?])
}

fn add(sum: &mut Amounts, amounts: Amounts, sign: i64) {
    for (sum, amount) in sum.iter_mut().zip(amounts) {
        *sum += sign * amount;
    }
}

fn hex(id: &Id) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}
