//! The two transactions that move money, held against a model: what is accepted, refused, refunded and carried forward is
//! what a page of plain Rust says, on both engines, in batches of any mixture.

mod age;
mod reopened;
mod rows;

use std::collections::HashMap;
use std::time::Duration;

use nexo_route::domain::carrier::Channel;
use nexo_route::domain::delivery::{End, WindowAfter};
use nexo_route::domain::ids::{AccountId, DeliveryId};
use nexo_route::domain::money::{Buckets, MicroUsd};
use nexo_route::domain::posting;
use nexo_route::domain::time::Timestamp;
use nexo_route::records::acceptance::{IdempotencyClaim, Order, Verdict};
use nexo_route::records::idempotency::{self, AnswerRecord, FirstAnswer, Place};
use nexo_route::records::pruning::Step;
use nexo_route::records::settlement::{self, Move, Settled, Settlement, settle_and_move};
use nexo_route::store::Store;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::both_engines;
use rows::{LEDGER, WALLET, accept_all, account, delivered, failed, fund, micros, order, settle_all, three};

both_engines! {
    async fn batches_of_any_mixture_end_as_the_model_says(store: Store) { model(store).await }
    async fn an_idempotency_key_is_charged_once_and_answered_again(store: Store) { keys(store).await }
    async fn overdue_rows_are_found_once_and_the_watermark_never_passes_a_sent_one(store: Store) { age::overdue_rows(store).await }
    async fn windows_and_keys_are_pruned_a_slice_at_a_time(store: Store) { age::slices(store).await }
    async fn folding_old_deliveries_keeps_the_sums(store: Store) { age::folding(store).await }
    async fn a_carriers_remainder_holds_a_phone_and_never_frees_one_that_was_called(store: Store) { holds(store).await }
    async fn a_delivery_that_moved_is_not_ended_by_its_first_channel(store: Store) { moved(store).await }
    async fn a_window_that_another_clock_wrote_holds_nobody(store: Store) { age::windows_of_another_clock(store).await }
    async fn an_unknown_commit_is_resolved_either_way(store: Store) { unknown(store).await }
    async fn windows_are_what_they_were_when_the_database_is_opened_again(engine: Engine) { reopened::windows(engine).await }
    async fn a_claim_is_written_once(engine: Engine) { reopened::what_is_written(engine).await }
}

/// What the database should hold.
struct Model {
    wallets: HashMap<AccountId, Buckets>,
    windows: HashMap<i64, DeliveryId>,
    sent: Vec<(Order, Buckets)>,
    ended: Vec<DeliveryId>,
}

impl Model {
    fn expect_accept(&mut self, order: &Order) -> Verdict {
        let phone = order.phone_key.number();
        if let Some(owner) = self.windows.get(&phone) {
            return Verdict::CoolingDown { remaining: Duration::ZERO, owner: *owner };
        }
        let wallet = self.wallets.get_mut(&order.account).expect("funded");
        match posting::charge(wallet, order.price) {
            Ok(split) => {
                let balance = wallet.total().expect("small");
                self.windows.insert(phone, order.delivery);
                self.sent.push((order.clone(), split));
                Verdict::Charged { created_at: Timestamp::default(), balance }
            }
            Err(insufficient) => Verdict::Insufficient { balance: insufficient.available },
        }
    }

    fn end(&mut self, at: usize, settlement: &Settlement) {
        let (order, split) = self.sent.swap_remove(at);
        self.ended.push(order.delivery);
        if matches!(settlement.end, End::Failed { .. }) {
            let wallet = self.wallets.get_mut(&order.account).expect("funded");
            *wallet = wallet.checked_add(split).expect("small");
        }
        if settlement.window == WindowAfter::Release {
            self.windows.remove(&order.phone_key.number());
        }
    }
}

async fn moved(store: Store) {
    fund(&store, account(1), micros(0, 0, 1_000_000)).await;
    let orders = [order(&store, account(1), 1).await, order(&store, account(1), 2).await];
    accept_all(&store, orders.to_vec()).await;
    let [moved, stays] = orders.map(|order| order.delivery);
    let of = |delivery, channel| Settlement {
        channel: Some(channel),
        unless_moved: true,
        ..failed(delivery, WindowAfter::Keep)
    };
    // Moved in the transaction that would have ended both, and once more in one that ends nothing.
    for both in [vec![of(moved, Channel::Voice), of(stays, Channel::Voice)], Vec::new()] {
        let settled = store.write(move |tx| {
            let (both, moves) = (both.clone(), [Move { delivery: moved, channel: Channel::Sms }]);
            Box::pin(async move { settle_and_move(tx, &both, &moves).await })
        });
        let settled = settled.await.expect("settles").settled;
        assert!(settled.is_empty() || settled == [Settled::Unchanged, Settled::Ended]);
    }
    assert_eq!(settle_all(&store, vec![of(moved, Channel::Voice)]).await, [Settled::Unchanged]);
    assert_eq!(settle_all(&store, vec![of(moved, Channel::Sms)]).await, [Settled::Ended]);
    assert_eq!(settle_all(&store, vec![of(moved, Channel::Sms)]).await, [Settled::Unchanged]);
    assert_eq!(three(&store, &WALLET, account(1)).await, micros(0, 0, 1_000_000), "each was refunded once");
}

fn comparable(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::CoolingDown { remaining, owner } => {
            assert!(!remaining.is_zero() && remaining <= Duration::from_secs(30), "{remaining:?}");
            Verdict::CoolingDown { remaining: Duration::ZERO, owner }
        }
        Verdict::Charged { balance, .. } => Verdict::Charged { created_at: Timestamp::default(), balance },
        other => other,
    }
}

async fn model(store: Store) {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let mut model = Model { wallets: HashMap::new(), windows: HashMap::new(), sent: Vec::new(), ended: Vec::new() };
    for n in 0..5 {
        let wallet = micros(30_000 * i64::from(n), 11_000, 100_000 * i64::from(n));
        fund(&store, account(n), wallet).await;
        model.wallets.insert(account(n), wallet);
    }
    let funded = model.wallets.clone();
    for _ in 0..30 {
        let mut batch: Vec<Order> = Vec::new();
        for _ in 0..random.random_range(1..24) {
            let candidate = order(&store, account(random.random_range(0..5)), random.random_range(1..40)).await;
            if batch.iter().all(|order| order.phone_key != candidate.phone_key) {
                batch.push(candidate);
            }
        }
        let expected: Vec<Verdict> = batch.iter().map(|order| model.expect_accept(order)).collect();
        let verdicts: Vec<Verdict> = accept_all(&store, batch).await.into_iter().map(comparable).collect();
        assert_eq!(verdicts, expected);

        let mut settlements = Vec::new();
        let mut expected = Vec::new();
        for _ in 0..random.random_range(0..8) {
            if model.sent.is_empty() {
                break;
            }
            let at = random.random_range(0..model.sent.len());
            let id = model.sent[at].0.delivery;
            let settlement = match random.random_range(0..3) {
                0 => delivered(id),
                1 => failed(id, WindowAfter::Keep),
                _ => failed(id, WindowAfter::Release),
            };
            model.end(at, &settlement);
            settlements.push(settlement);
            expected.push(Settled::Ended);
        }
        if let Some(twice) = model.ended.first() {
            settlements.push(failed(*twice, WindowAfter::Release));
            expected.push(Settled::Unchanged);
        }
        assert_eq!(settle_all(&store, settlements).await, expected);
    }
    for (account, wallet) in &model.wallets {
        assert_eq!(three(&store, &WALLET, *account).await, *wallet);
        let moved = three(&store, &LEDGER, *account).await;
        assert_eq!(Some(*wallet), funded[account].checked_add(moved), "movements and charges make the wallet");
    }
}

async fn keys(store: Store) {
    fund(&store, account(1), micros(0, 0, 100_000)).await;
    let claim = IdempotencyClaim { key: "order-42".into(), body_mac: [7; 32] };
    let keyed = |order: Order| Order { idempotency: Some(claim.clone()), ..order };
    let find = || {
        let store = store.clone();
        async move {
            store
                .read(|tx| Box::pin(async move { idempotency::find(tx, account(1), "order-42").await }))
                .await
                .expect("reads")
        }
    };

    // A refusal that moved no money leaves no key behind.
    let poor = keyed(Order { price: MicroUsd::from_micros(200_000), ..order(&store, account(1), 1).await });
    assert!(matches!(accept_all(&store, vec![poor]).await[..], [Verdict::Insufficient { .. }]));
    assert_eq!(find().await, None);

    let first = keyed(order(&store, account(1), 1).await);
    let id = first.delivery;
    assert!(matches!(accept_all(&store, vec![first]).await[..], [Verdict::Charged { .. }]));
    let second = keyed(order(&store, account(1), 2).await);
    let fresh = order(&store, account(1), 3).await;
    let verdicts = accept_all(&store, vec![second, fresh]).await;
    assert!(matches!(verdicts[..], [Verdict::KeyKnown, Verdict::Charged { .. }]), "{verdicts:?}");
    assert_eq!(three(&store, &WALLET, account(1)).await, micros(0, 0, 56_000), "two charges, not three");
    // The repeat's phone was not claimed on the way.
    assert!(matches!(
        accept_all(&store, vec![order(&store, account(1), 2).await]).await[..],
        [Verdict::Charged { .. }]
    ));

    let known = find().await.expect("known");
    assert_eq!((known.delivery, known.answer), (id, None));
    assert_eq!(known.balance_after, MicroUsd::from_micros(78_000));
    for (delivery, expected) in [(DeliveryId::from_bytes([9; 16]), None), (id, Some(FirstAnswer::Sent))] {
        let record = AnswerRecord { account: account(1), delivery, key: "order-42".into(), answer: FirstAnswer::Sent };
        store
            .write(move |tx| {
                let records = [record.clone()];
                Box::pin(async move { idempotency::record_answers(tx, &records).await })
            })
            .await
            .expect("records");
        assert_eq!(find().await.expect("known").answer, expected, "only of the order that holds the key");
    }
    let pruned = store
        .write(|tx| {
            let later = Timestamp::from_micros(i64::MAX);
            Box::pin(async move { idempotency::prune(tx, &Place::FIRST, 10, later).await })
        })
        .await;
    assert_eq!(pruned, Ok(Step { dropped: 1, next: None }));
    assert_eq!(find().await, None);
}

async fn unknown(store: Store) {
    use nexo_route::domain::ids::BatchId;
    let now = store.ping().await.expect("pings");
    let (made, never) = (BatchId::new(now, rand::random()), BatchId::new(now, rand::random()));
    let committed = store.writer().commit(Some(made), |_| Box::pin(async { Ok(()) })).await;
    assert!(committed.is_ok());
    // Whoever's answer was lost asks again, and is told the same.
    for _ in 0..2 {
        assert_eq!(store.resolve(made).await, Ok(true));
        assert_eq!(store.resolve(never).await, Ok(false));
    }
    // Once it was resolved as absent it can never commit.
    let late = store.writer().commit(Some(never), |_| Box::pin(async { Ok(()) })).await;
    assert!(late.is_err());
}

async fn holds(store: Store) {
    fund(&store, account(1), micros(0, 0, 1_000_000)).await;
    let day = Duration::from_secs(24 * 60 * 60);
    let (short, long) = (Duration::from_secs(5), Duration::from_secs(90));
    let expected = [
        (WindowAfter::Hold(short), short),
        (WindowAfter::Extend(short), Duration::from_secs(30)),
        (WindowAfter::Extend(long), long),
        (WindowAfter::Hold(Duration::MAX), day),
    ];
    for ((window, held), phone) in expected.into_iter().zip(1..) {
        let first = order(&store, account(1), phone).await;
        let ended = failed(first.delivery, window);
        assert!(matches!(accept_all(&store, vec![first]).await[..], [Verdict::Charged { .. }]));
        assert_eq!(settle_all(&store, vec![ended.clone()]).await, [Settled::Ended]);
        let asked = [delivered(ended.delivery), ended];
        let ours = store.read(move |tx| Box::pin(async move { settlement::hold(tx, &asked).await })).await;
        assert_eq!(ours, Ok(vec![false, true]), "the row tells whose end it has");
        let verdicts = accept_all(&store, vec![order(&store, account(1), phone).await]).await;
        let [Verdict::CoolingDown { remaining, .. }] = verdicts[..] else { panic!("{verdicts:?}") };
        assert!(remaining <= held && remaining + short > held, "{window:?}: {remaining:?}");
    }
}
