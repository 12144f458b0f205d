//! The accept transaction by batch size, on both engines, with fsync on: window claims, charges and delivery rows.
//!
//! Elements per second are OTPs. Postgres is the private cluster that `.ci/bench` starts, or the one that
//! `NEXO_TEST_POSTGRES` names.

#![allow(unreachable_pub, reason = "a bench exports nothing; the shared file is written for a test binary")]

#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/house/database.rs"]
mod database;

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use nexo_route::domain::carrier::{Carrier, CarrierSource, Channel};
use nexo_route::domain::ids::{AccountId, BatchId, DeliveryId};
use nexo_route::domain::money::MicroUsd;
use nexo_route::domain::sealing::PhoneKey;
use nexo_route::domain::time::Timestamp;
use nexo_route::records::acceptance::{ID_SKEW_MAX, Order, Verdict, WINDOW, accept};
use nexo_route::store::{Scalar, Statement, Store, Type};

use database::{Database, Engine};

const ACCOUNTS: u8 = 16;
const BATCHES: [usize; 4] = [1, 16, 256, 1_024];

static FUND: Statement = Statement::new(
    "bench.fund",
    &[],
    &[Type::Id, Type::I64],
    "INSERT INTO wallets (account, free_credit, bonus_credit, balance) VALUES ($1, 0, 0, $2)",
);

/// A migrated database with rich accounts.
async fn furnished(engine: Engine) -> (Database, Store) {
    let database = Database::fresh(engine).await.expect("a database");
    let store = Store::open(&database.url, 1).await.expect("opens");
    store.migrate().await.expect("migrates");
    store.remember_windows(WINDOW, ID_SKEW_MAX).await.expect("fills");
    for n in 0..ACCOUNTS {
        let scalars = [Scalar::Id([n; 16]), Scalar::I64(i64::MAX / 2)];
        let fund = store.write(move |tx| Box::pin(async move { tx.execute(&FUND, &[], &scalars).await }));
        assert_eq!(fund.await, Ok(1));
    }
    (database, store)
}

fn orders(count: usize, now: Timestamp) -> Vec<Order> {
    let carrier = Carrier::new("viettel").expect("a sane name");
    let order = |n: usize| Order {
        delivery: DeliveryId::new(now, rand::random()),
        account: AccountId::from_bytes([u8::try_from(n % usize::from(ACCOUNTS)).expect("small"); 16]),
        auth_epoch: 1,
        phone_key: PhoneKey::from_number(rand::random()),
        phone_sealed: vec![7; 25],
        metadata_sealed: None,
        carrier: carrier.clone(),
        carrier_source: CarrierSource::Prefix,
        channel: Channel::Voice,
        price: MicroUsd::from_micros(22_000),
        settle_after: Duration::from_secs(65),
        idempotency: None,
    };
    (0..count).map(order).collect()
}

/// The time that `rounds` transactions of `batch` orders take, one after the other, on one writer.
async fn measure(store: &Store, batch: usize, rounds: u64) -> Duration {
    let mut writer = store.writer();
    let mut spent = Duration::ZERO;
    for _ in 0..rounds {
        let now = store.ping().await.expect("pings");
        let orders = orders(batch, now);
        let id = BatchId::new(now, rand::random());
        let start = Instant::now();
        let accepted = writer
            .commit(Some(id), move |tx| {
                let orders = orders.clone();
                Box::pin(async move { accept(tx, &orders).await })
            })
            .await
            .expect("commits");
        spent += start.elapsed();
        assert!(accepted.verdicts.iter().all(|verdict| matches!(verdict, Verdict::Charged { .. })));
    }
    spent
}

fn accept_transaction(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut group = criterion.benchmark_group("accept");
    group.sampling_mode(SamplingMode::Flat).sample_size(20).measurement_time(Duration::from_secs(5));
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (database, store) = runtime.block_on(furnished(engine));
        for batch in BATCHES {
            group.throughput(Throughput::Elements(batch as u64));
            group.bench_function(BenchmarkId::new(format!("{engine:?}"), batch), |bencher| {
                bencher.iter_custom(|rounds| runtime.block_on(measure(&store, batch, rounds)));
            });
        }
        drop(store);
        runtime.block_on(database.remove()).expect("goes");
    }
    group.finish();
}

criterion_group!(benches, accept_transaction);
criterion_main!(benches);
