//! What an operator does to accounts, keys and credits: once, within the limits, and with a row in the audit.

use nexo_route::domain::allowlist::Allowlist;
use nexo_route::domain::api_key::PlainKey;
use nexo_route::domain::ids::{AccountId, DeliveryId, KeyId};
use nexo_route::domain::money::{Bucket, Buckets, MicroUsd};
use nexo_route::domain::time::Timestamp;
use nexo_route::records::accounts::{self, AccountName, Closed, WELCOME_CREDIT};
use nexo_route::records::audit::{self, Actor};
use nexo_route::records::keys::{self, Created, NewKey, Revoked};
use nexo_route::records::ledger::{self, Credit, Credited, Reference};
use nexo_route::records::verification;
use nexo_route::store::{Scalar, Statement, Store, Type};

use crate::both_engines;
use crate::house::ledger::Ledger;

both_engines! {
    async fn an_account_is_born_with_a_wallet_and_its_welcome(store: Store) { birth(store).await }
    async fn a_credit_happens_once_per_reference(store: Store) { credit_once(store).await }
    async fn rival_credits_with_one_reference_happen_once(store: Store) { rival_credits(store).await }
    async fn every_change_to_a_key_moves_the_epoch(store: Store) { epochs(store).await }
    async fn ten_keys_and_no_more(store: Store) { ten_keys(store).await }
    async fn a_closed_account_is_closed_for_good(store: Store) { closing(store).await }
    async fn verify_finds_what_was_tampered_with(store: Store) { tampering(store).await }
    async fn verify_finds_claims_that_are_too_close(store: Store) { close_claims(store).await }
}

fn actor() -> Actor {
    Actor("tester".into())
}

async fn account(store: &Store, name: &'static str, welcome: MicroUsd) -> AccountId {
    let name = AccountName::new(name).expect("a name");
    let made = store.write(move |tx| {
        let name = name.clone();
        Box::pin(async move { accounts::create(tx, &actor(), &name, welcome).await })
    });
    made.await.expect("made")
}

async fn credit(store: &Store, account: AccountId, bucket: Bucket, micros: i64, reference: &str) -> Credited {
    let reference = Reference::new(reference).expect("a reference");
    let credit = Credit { account, bucket, amount: MicroUsd::from_micros(micros), reference };
    let credited = store.write(move |tx| {
        let credit = credit.clone();
        Box::pin(async move { ledger::credit(tx, &actor(), &credit).await })
    });
    credited.await.expect("decided")
}

async fn key(store: &Store, account: AccountId, seed: u8, allowlist: &[&str]) -> Created {
    let plain = PlainKey::from_entropy(&[seed; 32]);
    let allowlist = Allowlist::parse(allowlist.iter().copied()).expect("valid");
    let new = NewKey { account, hash: plain.hash(), hint: plain.hint(), allowlist };
    let created = store.write(move |tx| {
        let new = new.clone();
        Box::pin(async move { keys::create(tx, &actor(), &new).await })
    });
    created.await.expect("decided")
}

async fn made_key(store: &Store, account: AccountId, seed: u8) -> KeyId {
    match key(store, account, seed, &[]).await {
        Created::Done(key) => key,
        other => panic!("{other:?}"),
    }
}

async fn revoke(store: &Store, key: KeyId) -> Revoked {
    store.write(move |tx| Box::pin(async move { keys::revoke(tx, &actor(), key).await })).await.expect("decided")
}

async fn close(store: &Store, id: AccountId) -> Closed {
    store.write(move |tx| Box::pin(async move { accounts::close(tx, &actor(), id).await })).await.expect("decided")
}

async fn live(store: &Store) -> (i64, Vec<KeyId>) {
    let (epoch, live) = store.read(|tx| Box::pin(keys::live_keys(tx))).await.expect("reads");
    (epoch, live.iter().map(|live| live.key).collect())
}

async fn actions(store: &Store, account: AccountId) -> Vec<String> {
    let rows = store.read(move |tx| Box::pin(async move { audit::list(tx, &account.to_string(), 100).await }));
    let rows = rows.await.expect("reads");
    assert!(rows.iter().all(|row| row.actor == "tester" && !row.detail.contains("sk_live_00000")));
    let mut actions: Vec<String> = rows.into_iter().map(|row| row.action).collect();
    actions.sort_unstable();
    actions
}

async fn breaches(store: &Store) -> Vec<(u8, i64)> {
    let report = store.read_long(|tx| Box::pin(verification::verify(tx))).await.expect("reads");
    let breached: Vec<_> = report.checks.iter().filter(|check| check.breaches > 0).collect();
    assert!(breached.iter().all(|check| !check.examples.is_empty()), "{breached:?}");
    assert_eq!(report.is_clean(), breached.is_empty());
    breached.iter().map(|check| (check.invariant, check.breaches)).collect()
}

async fn assert_sound(store: &Store) {
    assert_eq!(breaches(store).await, []);
    assert_eq!(Ledger::read(store).await.expect("reads").breaches(), [""; 0]);
}

async fn birth(store: Store) {
    let poor = account(&store, "poor", MicroUsd::ZERO).await;
    let new = account(&store, "new", WELCOME_CREDIT).await;
    let (shown, listed) = store
        .read(move |tx| {
            Box::pin(async move { Ok((accounts::show(tx, new).await?, accounts::list(tx, None, 10).await?)) })
        })
        .await
        .expect("reads");
    let shown = shown.expect("there");
    assert_eq!((shown.name.as_str(), shown.closed_at, shown.live_keys), ("new", None, 0));
    assert_eq!(shown.wallet, Buckets::only(Bucket::Free, MicroUsd::from_micros(110_000)));
    let mut ids: Vec<AccountId> = listed.iter().map(|account| account.id).collect();
    assert!(ids.is_sorted());
    ids.sort_unstable();
    let mut expected = [poor, new];
    expected.sort_unstable();
    assert_eq!(ids, expected);
    let rest = store.read(move |tx| Box::pin(accounts::list(tx, Some(expected[0]), 10))).await.expect("reads");
    assert_eq!(rest.iter().map(|account| account.id).collect::<Vec<_>>(), [expected[1]]);

    assert_eq!(actions(&store, poor).await, ["account.create"]);
    assert_eq!(actions(&store, new).await, ["account.create", "account.credit"]);
    assert_sound(&store).await;
}

async fn credit_once(store: Store) {
    let id = account(&store, "a", MicroUsd::ZERO).await;
    let ten = Buckets::only(Bucket::Cash, MicroUsd::from_micros(10_000_000));
    assert_eq!(credit(&store, id, Bucket::Cash, 10_000_000, "r1").await, Credited::Done { wallet: ten });
    assert_eq!(credit(&store, id, Bucket::Cash, 10_000_000, "r1").await, Credited::Already { wallet: ten });
    let used = Credited::ReferenceUsed { before: ten };
    assert_eq!(credit(&store, id, Bucket::Cash, 10_000_001, "r1").await, used);
    assert_eq!(credit(&store, id, Bucket::Bonus, 10_000_000, "r1").await, used);
    assert_eq!(credit(&store, id, Bucket::Free, 0, "r2").await, Credited::NotPositive);
    assert_eq!(credit(&store, id, Bucket::Free, i64::MAX, "r3").await, Credited::TooLarge);
    let both = ten.checked_add(Buckets::only(Bucket::Bonus, MicroUsd::from_micros(1))).expect("small");
    assert_eq!(credit(&store, id, Bucket::Bonus, 1, "r4").await, Credited::Done { wallet: both });
    let nobody = AccountId::from_bytes([9; 16]);
    assert_eq!(credit(&store, nobody, Bucket::Cash, 1, "r1").await, Credited::NoAccount);
    let other = account(&store, "b", MicroUsd::ZERO).await;
    assert!(matches!(credit(&store, other, Bucket::Cash, 1, "r1").await, Credited::Done { .. }));
    assert_eq!(actions(&store, id).await, ["account.create", "account.credit", "account.credit"]);
    assert_sound(&store).await;
}

async fn rival_credits(store: Store) {
    let id = account(&store, "a", MicroUsd::ZERO).await;
    let rivals = (0..8).map(|_| credit(&store, id, Bucket::Cash, 5, "once"));
    let outcomes = futures_util::future::join_all(rivals).await;
    let done = outcomes.iter().filter(|outcome| matches!(outcome, Credited::Done { .. })).count();
    let already = outcomes.iter().filter(|outcome| matches!(outcome, Credited::Already { .. })).count();
    assert_eq!((done, already), (1, 7), "{outcomes:?}");
    assert_sound(&store).await;
}

async fn epochs(store: Store) {
    let id = account(&store, "a", MicroUsd::ZERO).await;
    let (before, none) = live(&store).await;
    assert!(none.is_empty());
    let Created::Done(first) = key(&store, id, 1, &["10.0.0.0/8", "::1"]).await else { panic!("made") };
    let (after, known) = live(&store).await;
    assert!(after > before && known == [first]);

    let full = store.read(|tx| Box::pin(keys::live_keys(tx))).await.expect("reads").1;
    assert_eq!((full[0].account, full[0].hash), (id, PlainKey::from_entropy(&[1; 32]).hash()));
    assert_eq!(full[0].allowlist.entries().collect::<Vec<_>>(), ["10.0.0.0/8", "::1"]);
    let listed = store.read(move |tx| Box::pin(keys::list(tx, id))).await.expect("reads");
    assert_eq!((listed[0].id, listed[0].hint.as_str()), (first, PlainKey::from_entropy(&[1; 32]).hint().as_str()));

    assert_eq!(revoke(&store, first).await, Revoked::Done);
    let (revoked, known) = live(&store).await;
    assert!(revoked > after && known.is_empty());
    assert_eq!(revoke(&store, first).await, Revoked::Already);
    assert_eq!(revoke(&store, KeyId::from_bytes([9; 16])).await, Revoked::NoKey);
    assert_eq!(live(&store).await.0, revoked, "what changes nothing moves nothing");
    assert_eq!(key(&store, AccountId::from_bytes([9; 16]), 2, &[]).await, Created::NoAccount);
    assert_eq!(actions(&store, id).await, ["account.create", "key.create", "key.revoke"]);
}

async fn ten_keys(store: Store) {
    let id = account(&store, "a", MicroUsd::ZERO).await;
    let rivals = (0..12).map(|seed| key(&store, id, seed, &[]));
    let outcomes = futures_util::future::join_all(rivals).await;
    let refused = outcomes.iter().filter(|outcome| **outcome == Created::TooMany).count();
    assert_eq!((refused, live(&store).await.1.len()), (2, 10), "{outcomes:?}");
    let first = live(&store).await.1[0];
    assert_eq!(revoke(&store, first).await, Revoked::Done);
    made_key(&store, id, 100).await;
}

async fn closing(store: Store) {
    let (id, other) = (account(&store, "a", WELCOME_CREDIT).await, account(&store, "b", MicroUsd::ZERO).await);
    made_key(&store, id, 1).await;
    made_key(&store, id, 2).await;
    let kept = made_key(&store, other, 3).await;
    let (before, _) = live(&store).await;
    assert_eq!(close(&store, id).await, Closed::Done { keys_revoked: 2 });
    let (after, known) = live(&store).await;
    assert!(after > before && known == [kept]);
    assert_eq!(close(&store, id).await, Closed::Already);
    assert_eq!(close(&store, AccountId::from_bytes([9; 16])).await, Closed::NoAccount);
    assert_eq!(key(&store, id, 4, &[]).await, Created::AccountClosed);
    assert_eq!(credit(&store, id, Bucket::Cash, 1, "late").await, Credited::AccountClosed);
    let shown = store.read(move |tx| Box::pin(accounts::show(tx, id))).await.expect("reads").expect("kept");
    assert!(shown.closed_at.is_some() && shown.live_keys == 0);
    assert_eq!(shown.wallet.free, WELCOME_CREDIT, "closing moves no money");
    assert_sound(&store).await;
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
}
