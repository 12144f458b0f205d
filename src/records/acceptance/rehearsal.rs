//! *Accept*, rehearsed: its own statements over rows that are nobody's, in a transaction that is taken back.
//!
//! It shows what would refuse every order: a privilege that is missing, a disk that is full, a server that only reads or is
//! too slow. It locks no row that exists. It does not see what happens at a COMMIT alone (a deferred constraint, a
//! synchronous standby that is away), nor what is wrong with the rows of some account.

use std::collections::{HashMap, HashSet};

use futures_util::future::try_join;

use super::writes::writes;
use super::{IdempotencyClaim, Order, Verdict, WINDOW, Wallets, claim_windows, lock_wallets, read_windows};
use crate::domain::carrier::{Carrier, CarrierSource, Channel};
use crate::domain::ids::{AccountId, BatchId, DeliveryId};
use crate::domain::money::{Buckets, MicroUsd};
use crate::domain::sealing::PhoneKey;
use crate::domain::time::Timestamp;

use crate::records::idempotency;
use crate::store::{Store, StoreError, Tx};

/// An order that is nobody's: all its ids are of this rehearsal alone.
#[derive(Debug)]
pub struct Rehearsal {
    batch: BatchId,
    order: Order,
    at: Timestamp,
}

impl Rehearsal {
    #[must_use]
    pub fn new(at: Timestamp) -> Self {
        let delivery = DeliveryId::new(at, rand::random());
        let order = Order {
            delivery,
            account: AccountId::new(at, rand::random()),
            auth_epoch: i64::MAX,
            phone_key: PhoneKey::from_number(rand::random()),
            phone_sealed: vec![0; 48],
            metadata_sealed: Some(vec![0; 48]),
            carrier: Carrier::new("rehearsal").expect("a name"),
            carrier_source: CarrierSource::Prefix,
            channel: Channel::Sms,
            price: MicroUsd::ZERO,
            settle_after: WINDOW,
            idempotency: Some(IdempotencyClaim { key: delivery.to_string(), body_mac: [0; 32] }),
        };
        Self { batch: BatchId::new(at, rand::random()), order, at }
    }

    /// Runs it; nothing is left of it.
    ///
    /// # Errors
    /// [`StoreError`]: what an order would be refused for.
    pub async fn run(self, store: &Store) -> Result<(), StoreError> {
        let Self { batch, order, at } = self;
        store
            .rehearse(batch, move |tx| {
                let order = order.clone();
                Box::pin(async move { rehearse(tx, &order, at).await })
            })
            .await
    }
}

/// Every statement of Accept: those of an order that is charged, then those that take back what a loser has claimed.
async fn rehearse(tx: &Tx, order: &Order, at: Timestamp) -> Result<(), StoreError> {
    idempotency::claim(tx, &[order]).await?;
    let (claimed, _no_wallet) =
        try_join(claim_windows(tx, &[order]), lock_wallets(tx, &[order], &HashSet::new())).await?;
    read_windows(tx, &[order], &HashMap::new()).await?;
    let orders = std::slice::from_ref(order);
    let by_account = HashMap::from([(order.account, Buckets::default())]);
    let wallets = Wallets { by_account, epoch: 0, now: at };
    let balance = MicroUsd::ZERO;
    let charged = writes(
        orders,
        &[Verdict::Charged { created_at: at, balance }],
        &[(order, at, Buckets::default())],
        &claimed,
        &wallets,
    );
    let lost = writes(orders, &[Verdict::Insufficient { balance }], &[], &claimed, &wallets);
    for write in charged.into_iter().chain(lost) {
        tx.execute(write.statement, &write.columns, &write.scalars).await?;
    }
    Ok(())
}
