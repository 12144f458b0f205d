//! Wallets, orders and ends of these tests, written without the house.

use std::time::Duration;

use nexo_route::domain::carrier::{Carrier, CarrierSource, Channel};
use nexo_route::domain::delivery::{CarrierStatus, End, FailureCode, WindowAfter};
use nexo_route::domain::ids::{AccountId, DeliveryId};
use nexo_route::domain::money::{Buckets, MicroUsd};
use nexo_route::domain::sealing::PhoneKey;
use nexo_route::records::acceptance::{Accepted, Order, Verdict, accept};
use nexo_route::records::settlement::{Settled, Settlement, settle};
use nexo_route::store::{Scalar, Statement, Store, Type};

pub(super) const PRICE: MicroUsd = MicroUsd::from_micros(22_000);

pub(super) static FUND: Statement = Statement::new(
    "test.fund",
    &[],
    &[Type::Id, Type::I64, Type::I64, Type::I64],
    "INSERT INTO wallets (account, free_credit, bonus_credit, balance) VALUES ($1, $2, $3, $4)",
);
pub(super) static WALLET: Statement = Statement::new(
    "test.wallet",
    &[],
    &[Type::Id],
    "SELECT free_credit, bonus_credit, balance FROM wallets WHERE account = $1",
);
pub(super) static LEDGER: Statement = Statement::new(
    "test.ledger",
    &[],
    &[Type::Id],
    "SELECT CAST(COALESCE(SUM(f), 0) AS BIGINT), CAST(COALESCE(SUM(b), 0) AS BIGINT), \
     CAST(COALESCE(SUM(c), 0) AS BIGINT) FROM \
     (SELECT free_credit AS f, bonus_credit AS b, balance AS c FROM movements WHERE account = $1 UNION ALL \
      SELECT -from_free, -from_bonus, -from_balance FROM deliveries WHERE account = $1) AS moved",
);
pub(super) static ROWS: Statement = Statement::new("test.rows", &[], &[], "SELECT COUNT(*) FROM deliveries");

pub(super) fn account(n: u8) -> AccountId {
    AccountId::from_bytes([n; 16])
}

pub(super) fn micros(free: i64, bonus: i64, cash: i64) -> Buckets {
    let of = MicroUsd::from_micros;
    Buckets { free: of(free), bonus: of(bonus), cash: of(cash) }
}

pub(super) async fn fund(store: &Store, account: AccountId, wallet: Buckets) {
    let amounts = [wallet.free, wallet.bonus, wallet.cash].map(|amount| Scalar::I64(amount.micros()));
    let scalars = [Scalar::Id(*account.as_bytes()), amounts[0], amounts[1], amounts[2]];
    store.write(move |tx| Box::pin(async move { tx.execute(&FUND, &[], &scalars).await })).await.expect("funds");
}

pub(super) async fn three(store: &Store, statement: &'static Statement, account: AccountId) -> Buckets {
    let rows = store
        .read(move |tx| Box::pin(async move { tx.query(statement, &[], &[Scalar::Id(*account.as_bytes())]).await }))
        .await
        .expect("reads");
    let at = |n| rows[0].i64(n).expect("an amount");
    micros(at(0), at(1), at(2))
}

pub(super) async fn order(store: &Store, account: AccountId, phone: i64) -> Order {
    let now = store.ping().await.expect("pings");
    Order {
        delivery: DeliveryId::new(now, rand::random()),
        account,
        auth_epoch: 1,
        phone_key: PhoneKey::from_number(phone),
        phone_sealed: vec![1; 21],
        metadata_sealed: None,
        carrier: Carrier::new("viettel").expect("valid"),
        carrier_source: CarrierSource::Prefix,
        channel: Channel::Voice,
        price: PRICE,
        settle_after: Duration::from_secs(65),
        idempotency: None,
    }
}

pub(super) async fn accept_all(store: &Store, orders: Vec<Order>) -> Vec<Verdict> {
    let accepted: Accepted = store
        .write(move |tx| {
            let orders = orders.clone();
            Box::pin(async move { accept(tx, &orders).await })
        })
        .await
        .expect("accepts");
    accepted.verdicts
}

pub(super) async fn settle_all(store: &Store, settlements: Vec<Settlement>) -> Vec<Settled> {
    store
        .write(move |tx| {
            let settlements = settlements.clone();
            Box::pin(async move { settle(tx, &settlements).await })
        })
        .await
        .expect("settles")
        .settled
}

pub(super) fn failed(delivery: DeliveryId, window: WindowAfter) -> Settlement {
    Settlement {
        delivery,
        end: End::Failed { code: FailureCode::NoRoute, carrier_status: None },
        channel: None,
        unless_moved: false,
        window,
    }
}

pub(super) fn delivered(delivery: DeliveryId) -> Settlement {
    let end = End::Delivered { carrier_status: CarrierStatus::clean("success") };
    Settlement { delivery, end, channel: Some(Channel::Sms), unless_moved: false, window: WindowAfter::Keep }
}
