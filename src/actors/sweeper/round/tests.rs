//! Rounds against an embedded database; the patience is taken away instead of waited for.

mod stepped;

use std::sync::Arc;

use tokio::runtime::Handle;

use self::stepped::Stepped;
use super::*;
use crate::actors::sweeper::housekeeping::fold;
use crate::clock::{DatabaseClock, Machine};
use crate::config::SecretFiles;
use crate::domain::carrier::{Carrier, CarrierSource, Channel};
use crate::domain::ids::AccountId;
use crate::domain::money::MicroUsd;
use crate::domain::sealing::PhoneKey;
use crate::records::acceptance::{Order, Verdict, accept};
use crate::records::accounts::{self, AccountName};
use crate::records::audit::Actor;
use crate::records::keys;

const CONFIG: SweeperConfig = SweeperConfig { every_ms: 1_000, batch_max: 3, keep_deliveries_days: 0 };

/// A database in a directory that goes with it.
struct Scratch {
    store: Store,
    rounds: Rounds,
    machine: Arc<Stepped>,
    directory: std::path::PathBuf,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _left_for_the_system = std::fs::remove_dir_all(&self.directory);
    }
}

impl Scratch {
    async fn new() -> Self {
        let name = format!("nexo-sweeper-{:032x}", rand::random::<u128>());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir(&directory).expect("a directory");
        let machine = Arc::new(Stepped::default());
        let clock = DatabaseClock::unset(Arc::clone(&machine) as Arc<dyn Machine>);
        let url = format!("sqlite:{}/db", directory.display());
        let store = Store::open_on(&Handle::current(), &url, 1, SecretFiles::default(), clock).expect("opens");
        store.migrate().await.expect("migrates");
        let mut rounds = Rounds::new(&CONFIG, Duration::ZERO, &store, Duration::ZERO);
        (rounds.margin, rounds.watermark_margin) = (Duration::ZERO, Duration::ZERO);
        Self { store, rounds, machine, directory }
    }

    /// An account with five dollars.
    async fn account(&self) -> AccountId {
        let account = self.store.write(|tx| {
            Box::pin(async move {
                let name = AccountName::new("test").expect("a name");
                accounts::create(tx, &Actor("test".into()), &name, MicroUsd::from_micros(5_000_000)).await
            })
        });
        account.await.expect("an account")
    }

    async fn accept(
        &self,
        account: AccountId,
        phones: std::ops::Range<i64>,
        settle_after: Duration,
    ) -> Vec<DeliveryId> {
        let (version, _) = self.store.read(|tx| Box::pin(keys::changes(tx, i64::MIN))).await.expect("a version");
        let now = self.store.ping().await.expect("answers");
        let order = |phone| Order {
            delivery: DeliveryId::new(now, rand::random()),
            account,
            auth_epoch: version,
            phone_key: PhoneKey::from_number(phone),
            phone_sealed: vec![1],
            metadata_sealed: None,
            carrier: Carrier::new("viettel").expect("sane"),
            carrier_source: CarrierSource::Prefix,
            channel: Channel::Sms,
            price: MicroUsd::from_micros(22_000),
            settle_after,
            idempotency: None,
        };
        let orders: Arc<Vec<Order>> = Arc::new(phones.map(order).collect());
        let ids = orders.iter().map(|order| order.delivery).collect();
        let accepted = self
            .store
            .write(move |tx| {
                let orders = Arc::clone(&orders);
                Box::pin(async move { accept(tx, &orders).await })
            })
            .await
            .expect("accepts");
        assert!(accepted.verdicts.iter().all(|verdict| matches!(verdict, Verdict::Charged { .. })), "{accepted:?}");
        ids
    }

    async fn spendable(&self, account: AccountId) -> Option<MicroUsd> {
        let wallet = self.store.read(move |tx| Box::pin(accounts::wallet(tx, account))).await.expect("reads");
        wallet.expect("a wallet").total()
    }

    async fn watermark(&self) -> DeliveryId {
        self.store.read(|tx| Box::pin(pruning::watermark(tx))).await.expect("reads")
    }

    /// Waits until the database's clock shows a later millisecond, so that what was written is in the past.
    async fn a_moment_later(&self) {
        let now = self.store.ping().await.expect("answers").millis();
        while self.store.ping().await.expect("answers").millis() <= now + 1 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn what_is_overdue_ends_and_the_watermark_stops_at_what_is_not() {
    let mut scratch = Scratch::new().await;
    let account = scratch.account().await;
    scratch.accept(account, 0..7, Duration::ZERO).await;
    scratch.a_moment_later().await;
    let waiting = scratch.accept(account, 10..12, Duration::from_secs(600)).await;
    scratch.a_moment_later().await;
    assert_eq!(scratch.spendable(account).await, Some(MicroUsd::from_micros(5_000_000 - 9 * 22_000)));

    scratch.rounds.run().await.expect("a round");
    assert_eq!(scratch.spendable(account).await, Some(MicroUsd::from_micros(5_000_000 - 2 * 22_000)));
    let oldest_waiting = waiting.into_iter().min().expect("two");
    assert_eq!(scratch.watermark().await, before(oldest_waiting));
    assert_eq!(scratch.rounds.cursor, Some(before(oldest_waiting)), "they are looked at again");
}

#[tokio::test]
async fn what_is_old_is_dropped_and_the_sums_stay() {
    let mut scratch = Scratch::new().await;
    let account = scratch.account().await;
    scratch.accept(account, 0..7, Duration::ZERO).await;
    scratch.a_moment_later().await;
    scratch.rounds.run().await.expect("a round");
    let after = scratch.store.read(|tx| Box::pin(pruning::watermark(tx))).await.expect("reads");
    let left =
        scratch.store.read(move |tx| Box::pin(pruning::first_sent(tx, DeliveryId::floor(Timestamp::default()), after)));
    assert_eq!(left.await.expect("reads"), None);
    let now = scratch.store.ping().await.expect("answers");
    let again = scratch.store.write(move |tx| Box::pin(fold(tx, DeliveryId::floor(now), 99, now))).await;
    assert_eq!(again, Ok(0), "every ended delivery was folded by the round");
    assert_eq!(scratch.spendable(account).await, Some(MicroUsd::from_micros(5_000_000)));
}

#[tokio::test]
async fn a_round_without_a_database_changes_nothing_and_the_next_one_goes_on() {
    let mut scratch = Scratch::new().await;
    let account = scratch.account().await;
    scratch.accept(account, 0..2, Duration::ZERO).await;
    scratch.a_moment_later().await;
    let store = scratch.rounds.store.clone();
    scratch.rounds.store = Store::open("postgres://nobody@127.0.0.1:1/none", 1).await.expect("opens lazily");
    scratch.rounds.time = HouseTime::new(&scratch.rounds.store);
    assert!(scratch.rounds.run().await.is_err());
    assert_eq!(scratch.rounds.cursor, None);
    scratch.rounds.time = HouseTime::new(&store);
    scratch.rounds.store = store;
    scratch.rounds.run().await.expect("a round");
    assert_eq!(scratch.spendable(account).await, Some(MicroUsd::from_micros(5_000_000)));
}

#[tokio::test]
async fn a_long_gap_and_many_rows_are_walked_in_slices() {
    let mut scratch = Scratch::new().await;
    let account = scratch.account().await;
    let now = scratch.store.ping().await.expect("answers");
    // Two months ago somebody sent a thousand; then nobody looked until now.
    let old = now.minus(Duration::from_secs(60 * 24 * 60 * 60));
    let ids: Vec<DeliveryId> = (0..1_000).map(|_| DeliveryId::new(old, rand::random())).collect();
    let writes = scratch.store.write(move |tx| {
        let ids = ids.clone();
        Box::pin(async move { pruning::planted::ended(tx, account, &ids).await })
    });
    assert_eq!(writes.await, Ok(1_000));
    scratch.accept(account, 0..7, Duration::ZERO).await;
    scratch.a_moment_later().await;

    scratch.rounds.slice_rows = 100;
    let until = DeliveryId::floor(scratch.store.ping().await.expect("answers"));
    let mut after = scratch.watermark().await;
    let mut slices = 0;
    while after < until {
        (after, _) = scratch.rounds.sweep_slice(after, until, until.timestamp()).await.expect("a slice");
        slices += 1;
    }
    assert_eq!(slices, 10 + 3, "ten of the old, then the overdue in batches of three; the months between cost nothing");
    assert_eq!(scratch.spendable(account).await, Some(MicroUsd::from_micros(5_000_000)));

    assert_eq!(scratch.rounds.run().await, Ok(true));
    assert!(scratch.watermark().await >= until, "the watermark came all the way");
}

#[tokio::test]
async fn a_node_that_starts_ends_what_is_overdue_at_once_and_later_leaves_the_living_their_time() {
    let mut scratch = Scratch::new().await;
    scratch.rounds.margin = MARGIN;
    let account = scratch.account().await;
    scratch.accept(account, 0..2, Duration::ZERO).await;
    scratch.a_moment_later().await;
    scratch.rounds.run().await.expect("a round");
    assert_eq!(scratch.spendable(account).await, Some(MicroUsd::from_micros(5_000_000)));

    scratch.accept(account, 10..12, Duration::ZERO).await;
    scratch.a_moment_later().await;
    scratch.rounds.run().await.expect("a round");
    assert_eq!(scratch.spendable(account).await, Some(MicroUsd::from_micros(5_000_000 - 2 * 22_000)));
    scratch.rounds.margin = Duration::ZERO;
    scratch.rounds.run().await.expect("a round");
    assert_eq!(
        scratch.spendable(account).await,
        Some(MicroUsd::from_micros(5_000_000)),
        "the walk had not passed them"
    );
}

#[tokio::test]
async fn what_cannot_be_ended_is_passed_and_the_rest_goes_on() {
    let mut scratch = Scratch::new().await;
    let (broken, sound) = (scratch.account().await, scratch.account().await);
    scratch.accept(sound, 0..2, Duration::ZERO).await;
    let stuck = scratch.accept(broken, 2..4, Duration::ZERO).await;
    scratch.accept(sound, 4..8, Duration::ZERO).await;
    scratch.a_moment_later().await;
    let swell = scratch.store.write(move |tx| Box::pin(pruning::planted::swell(tx, broken)));
    assert_eq!(swell.await, Ok(1));

    assert_eq!(scratch.rounds.run().await, Ok(true));
    assert_eq!(scratch.spendable(sound).await, Some(MicroUsd::from_micros(5_000_000)), "all of them came back");
    let oldest_stuck = stuck.into_iter().min().expect("two");
    assert_eq!(scratch.watermark().await, before(oldest_stuck));
}
