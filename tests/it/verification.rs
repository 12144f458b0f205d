//! What `verify` finds: money that does not add up, refunds that should not be, claims that came too close.

use std::time::Duration;

use nexo_route::domain::ids::{AccountId, DeliveryId};
use nexo_route::domain::money::{Bucket, MicroUsd};
use nexo_route::domain::time::Timestamp;
use nexo_route::records::{pruning, verification};
use nexo_route::store::{Scalar, Statement, Store, Type};

use crate::both_engines;
use crate::operators::{account, assert_sound, credit};

both_engines! {
    async fn verify_finds_what_was_tampered_with(store: Store) { tampering(store).await }
    async fn verify_finds_claims_that_are_too_close(store: Store) { close_claims(store).await }
    async fn verify_finds_what_the_sweeper_passed_and_lists_what_is_overdue(store: Store) { passed(store).await }
}

/// How long notice attempts are kept.
const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The invariants that `verify` sees breached, and how often.
pub async fn breaches(store: &Store) -> Vec<(u8, i64)> {
    let report = store.read_long(|tx| Box::pin(verification::verify(tx, MONTH))).await.expect("reads");
    let breached: Vec<_> = report.checks.iter().filter(|check| check.breaches > 0).collect();
    assert!(breached.iter().all(|check| !check.examples.is_empty()), "{breached:?}");
    assert_eq!(report.is_clean(), breached.is_empty());
    breached.iter().map(|check| (check.invariant, check.breaches)).collect()
}

static DELIVERY: Statement = Statement::new(
    "test.operators.delivery",
    &[],
    &[Type::Id, Type::Id, Type::I64, Type::I64, Type::I64, Type::Text, Type::I64, Type::Bytes],
    "INSERT INTO deliveries (id, account, phone_key, phone_sealed, carrier, channel, from_free, from_bonus, from_balance, \
     status, error_code, created_us, settle_us, completed_us) \
     VALUES ($1, $2, $3, $8, 'viettel', 'voice', 0, 0, $7, $4, $6, $5, $5, CASE WHEN $4 = 0 THEN NULL ELSE $5 END)",
);
static REFUND: Statement = Statement::new(
    "test.operators.refund",
    &[],
    &[Type::Id, Type::Id, Type::I64],
    "INSERT INTO movements (id, account, delivery, kind, free_credit, bonus_credit, balance, at_us) \
     VALUES ($1, $2, $1, 'refund', 0, 0, $3, {now_us})",
);
static ROB: Statement = Statement::new(
    "test.operators.rob",
    &[],
    &[Type::Id, Type::I64],
    "UPDATE wallets SET balance = balance + $2 WHERE account = $1",
);

const SENT: i64 = 0;
const DELIVERED: i64 = 1;
const FAILED: i64 = 2;

async fn write(store: &Store, statement: &'static Statement, scalars: Vec<Scalar<'static>>) {
    let wrote = store.write(move |tx| {
        let scalars = scalars.clone();
        Box::pin(async move { tx.execute(statement, &[], &scalars).await })
    });
    assert_eq!(wrote.await, Ok(1));
}

/// A row as the daemon would have left it, claimed at `at_ms` after a fixed instant. Charges nothing unless told.
async fn delivery(
    store: &Store,
    account: AccountId,
    phone: i64,
    at_ms: i64,
    end: (i64, Option<&'static str>),
    charge: i64,
) -> [u8; 16] {
    let at = Timestamp::from_micros(1_780_000_000_000_000 + at_ms * 1_000);
    let id = *DeliveryId::new(at, rand::random()).as_bytes();
    let scalars = vec![
        Scalar::Id(id),
        Scalar::Id(*account.as_bytes()),
        Scalar::I64(phone),
        Scalar::I64(end.0),
        Scalar::I64(at.micros()),
        Scalar::OptText(end.1),
        Scalar::I64(charge),
        Scalar::Bytes(&[0]),
    ];
    write(store, &DELIVERY, scalars).await;
    id
}

async fn tampering(store: Store) {
    let id = account(&store, "a", MicroUsd::ZERO).await;
    credit(&store, id, Bucket::Cash, 100, "r1").await;
    assert_sound(&store).await;
    let rob = |micros| vec![Scalar::Id(*id.as_bytes()), Scalar::I64(micros)];
    write(&store, &ROB, rob(-1)).await;
    assert_eq!(breaches(&store).await, [(1, 1)]);
    write(&store, &ROB, rob(1)).await;

    // A charge that nobody took from the wallet, then one that was.
    delivery(&store, id, 1, 0, (DELIVERED, None), 40).await;
    assert_eq!(breaches(&store).await, [(1, 1)]);
    write(&store, &ROB, rob(-40)).await;
    assert_sound(&store).await;

    // It failed, and nothing went back; then too little; and a refund of what was delivered.
    let failed = delivery(&store, id, 2, 0, (FAILED, Some("timeout")), 10).await;
    write(&store, &ROB, rob(-10)).await;
    assert_eq!(breaches(&store).await, [(3, 1)]);
    write(&store, &REFUND, vec![Scalar::Id(failed), Scalar::Id(*id.as_bytes()), Scalar::I64(9)]).await;
    assert_eq!(breaches(&store).await, [(1, 1), (3, 1)]);
    let stands = delivery(&store, id, 3, 0, (DELIVERED, None), 0).await;
    write(&store, &REFUND, vec![Scalar::Id(stands), Scalar::Id(*id.as_bytes()), Scalar::I64(0)]).await;
    assert_eq!(breaches(&store).await, [(1, 1), (3, 1), (3, 1)]);
    delivery(&store, id, 4, 0, (FAILED, None), 0).await;
    assert_eq!(breaches(&store).await, [(1, 1), (3, 2), (3, 1), (3, 1)]);
}

async fn close_claims(store: Store) {
    let id = account(&store, "a", MicroUsd::ZERO).await;
    for (phone, at_ms, end) in [
        (1, 0, (SENT, None)),
        (1, 30_000, (DELIVERED, None)),
        (2, 1_000, (SENT, None)),
        // One that gave its window back.
        (3, 0, (FAILED, Some("no_route"))),
        (3, 5, (DELIVERED, None)),
        (3, 30_005, (SENT, None)),
    ] {
        let row = delivery(&store, id, phone, at_ms, end, 0).await;
        if end.0 == FAILED {
            write(&store, &REFUND, vec![Scalar::Id(row), Scalar::Id(*id.as_bytes()), Scalar::I64(0)]).await;
        }
    }
    assert_eq!(breaches(&store).await, []);
    delivery(&store, id, 1, 59_999, (SENT, None), 0).await;
    delivery(&store, id, 2, 30_999, (SENT, None), 0).await;
    assert_eq!(breaches(&store).await, [(2, 2)]);
    // A handset that was out of reach was called all the same.
    let called = delivery(&store, id, 4, 0, (FAILED, Some("unreachable")), 0).await;
    write(&store, &REFUND, vec![Scalar::Id(called), Scalar::Id(*id.as_bytes()), Scalar::I64(0)]).await;
    delivery(&store, id, 4, 29_000, (SENT, None), 0).await;
    assert_eq!(breaches(&store).await, [(2, 3)]);
}

async fn passed(store: Store) {
    let id = account(&store, "a", MicroUsd::ZERO).await;
    let overdue = async || {
        let report = store.read_long(|tx| Box::pin(verification::verify(tx, MONTH))).await.expect("reads");
        report.overdue.iter().map(|overdue| *overdue.delivery.as_bytes()).collect::<Vec<_>>()
    };
    let ended = delivery(&store, id, 1, 1_000, (DELIVERED, None), 0).await;
    let watermark = DeliveryId::from_bytes(ended);
    let advanced = store.write(move |tx| Box::pin(pruning::advance_watermark(tx, watermark)));
    assert_eq!(advanced.await, Ok(true));
    // By its id it was made after what the sweeper has passed: it will come to it.
    let later = delivery(&store, id, 2, 2_000, (SENT, None), 0).await;
    assert_eq!((breaches(&store).await, overdue().await), (vec![], vec![later]));
    let earlier = delivery(&store, id, 3, 0, (SENT, None), 0).await;
    assert_eq!((breaches(&store).await, overdue().await), (vec![(3, 1)], vec![later]));
    assert!(earlier < ended);
}
