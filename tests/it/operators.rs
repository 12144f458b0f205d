//! What an operator does to accounts, keys and credits: once, within the limits, and with a row in the audit.

use nexo_route::domain::allowlist::Allowlist;
use nexo_route::domain::api_key::PlainKey;
use nexo_route::domain::ids::{AccountId, KeyId};
use nexo_route::domain::money::{Bucket, Buckets, MicroUsd};
use nexo_route::records::accounts::{self, AccountName, Closed, WELCOME_CREDIT};
use nexo_route::records::audit::{self, Actor};
use nexo_route::records::keys::{self, Created, NewKey, Revoked};
use nexo_route::records::ledger::{self, Credit, Credited, Reference};
use nexo_route::store::{Statement, Store};

use crate::both_engines;
use crate::house::ledger::Ledger;
use crate::verification::breaches;

both_engines! {
    async fn an_account_is_born_with_a_wallet_and_its_welcome(store: Store) { birth(store).await }
    async fn a_credit_happens_once_per_reference(store: Store) { credit_once(store).await }
    async fn rival_credits_with_one_reference_happen_once(store: Store) { rival_credits(store).await }
    async fn every_change_to_a_key_moves_the_epoch(store: Store) { epochs(store).await }
    async fn ten_keys_and_no_more(store: Store) { ten_keys(store).await }
    async fn a_closed_account_is_closed_for_good(store: Store) { closing(store).await }
}

fn actor() -> Actor {
    Actor("tester".into())
}

pub async fn account(store: &Store, name: &'static str, welcome: MicroUsd) -> AccountId {
    let name = AccountName::new(name).expect("a name");
    let made = store.write(move |tx| {
        let name = name.clone();
        Box::pin(async move { accounts::create(tx, &actor(), &name, welcome).await })
    });
    made.await.expect("made")
}

pub async fn credit(store: &Store, account: AccountId, bucket: Bucket, micros: i64, reference: &str) -> Credited {
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
    let (epoch, live) = store.read(|tx| Box::pin(keys::changes(tx, i64::MIN))).await.expect("reads");
    let live = live.expect("another version");
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

pub async fn assert_sound(store: &Store) {
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

/// What the accept transaction compares an order with.
async fn epoch(store: &Store) -> i64 {
    static EPOCH: Statement = Statement::new("test.epoch", &[], &[], "SELECT epoch FROM auth_epoch");
    let rows = store.read(|tx| Box::pin(async move { tx.query(&EPOCH, &[], &[]).await })).await.expect("reads");
    rows[0].i64(0).expect("a number")
}

async fn epochs(store: Store) {
    let id = account(&store, "a", MicroUsd::ZERO).await;
    let (before, none) = live(&store).await;
    assert!(none.is_empty());
    let Created::Done(first) = key(&store, id, 1, &["10.0.0.0/8", "::1"]).await else { panic!("made") };
    let (after, known) = live(&store).await;
    assert!(after > before && known == [first]);
    assert_eq!(epoch(&store).await, before, "a new key makes no order stale");

    let full = store.read(|tx| Box::pin(keys::changes(tx, i64::MIN))).await.expect("reads").1.expect("another version");
    assert_eq!((full[0].account, full[0].hash), (id, PlainKey::from_entropy(&[1; 32]).hash()));
    assert_eq!(full[0].allowlist.entries().collect::<Vec<_>>(), ["10.0.0.0/8", "::1"]);
    let listed = store.read(move |tx| Box::pin(keys::list(tx, id))).await.expect("reads");
    assert_eq!((listed[0].id, listed[0].hint.as_str()), (first, PlainKey::from_entropy(&[1; 32]).hint().as_str()));

    assert_eq!(revoke(&store, first).await, Revoked::Done);
    let (revoked, known) = live(&store).await;
    assert_eq!(epoch(&store).await, revoked);
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
