//! Wallet alone, with a scripted database and paused time: who has the charge after every kind of fault.

mod locked;
mod script;

use std::time::Duration;

use futures_util::future::{FutureExt, join_all};
use proptest::prelude::*;
use tokio::sync::Semaphore;

use self::script::{Fault, Script};
use super::*;
use crate::actors::supervise::Tree;
use crate::domain::carrier::{Carrier, CarrierSource, Channel};
use crate::domain::delivery::{End, FailureCode, WindowAfter};
use crate::domain::ids::DeliveryId;
use crate::domain::money::MicroUsd;
use crate::domain::sealing::PhoneKey;
use crate::domain::time::Timestamp;
use crate::records::acceptance::IdempotencyClaim;

struct House {
    wallet: Wallet,
    script: Script,
    health: AcceptHealth,
    tasks: Tasks,
    tree: Tree,
}

impl House {
    async fn new(gate: usize) -> Self {
        let script = Script { rows: Arc::default(), gate: Arc::new(Semaphore::new(gate)) };
        let (bank, rows, tasks, health) = (script.clone(), script.clone(), Tasks::new(), AcceptHealth::default());
        let parts = Parts {
            batch_max: 8,
            bank: Arc::new(move || Box::new(bank.clone())),
            clock: DatabaseClock::new(Timestamp::default()),
            health: health.clone(),
            tasks: tasks.clone(),
            refund: Arc::new(move |settlement: Settlement| {
                assert_eq!(settlement.window, WindowAfter::Release);
                assert!(matches!(settlement.end, End::Failed { code: FailureCode::Unavailable, .. }));
                rows.with(|rows| {
                    if let Some(given_back) = rows.charged.get_mut(&settlement.delivery) {
                        *given_back = true;
                    }
                });
            }),
        };
        let (wallet, branch) = Wallet::from_parts(1, parts);
        let tree = Tree::grow(Budget::default(), vec![branch]).await.expect("starts");
        Self { wallet, script, health, tasks, tree }
    }

    /// An order that is given up after a second.
    async fn charge(&self, number: u8) -> Charge {
        self.wallet.charge(order(number), Instant::now() + Duration::from_secs(1)).await
    }
}

fn order(number: u8) -> Order {
    Order {
        delivery: DeliveryId::from_bytes([number; 16]),
        account: AccountId::from_bytes([1; 16]),
        auth_epoch: 1,
        phone_key: PhoneKey::from_number(i64::from(number)),
        phone_sealed: Vec::new(),
        metadata_sealed: None,
        carrier: Carrier::new("viettel").expect("sane"),
        carrier_source: CarrierSource::Prefix,
        channel: Channel::Sms,
        price: MicroUsd::from_micros(22_000),
        settle_after: Duration::from_secs(65),
        idempotency: None,
    }
}

fn is_charged(charge: &Charge) -> bool {
    matches!(charge, Charge::Decided { verdict: Verdict::Charged { .. }, .. })
}

#[tokio::test(start_paused = true)]
async fn orders_share_a_commit_but_never_a_phone_or_a_key() {
    let house = House::new(0).await;
    let keyed = |number, key: &str| Order {
        idempotency: Some(IdempotencyClaim { key: key.into(), body_mac: [0; 32] }),
        ..order(number)
    };
    let same_phone = Order { phone_key: PhoneKey::from_number(1), ..order(2) };
    let orders = [order(0), order(1), same_phone, keyed(3, "a"), keyed(4, "a"), keyed(5, "b")];
    let give_up = Instant::now() + Duration::from_secs(1);
    let charges = join_all(orders.map(|order| house.wallet.charge(order, give_up)));
    let (charges, ()) = tokio::join!(charges, async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        house.script.gate.add_permits(9);
    });
    assert!(charges.iter().all(is_charged));
    assert_eq!(house.script.with(|rows| rows.batches.clone()), [1, 3, 2]);
    assert_eq!(house.script.standing(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_did_not_happen_is_unavailable_for_its_whole_batch() {
    let house = House::new(9).await;
    house.script.with(|rows| rows.faults.push_back(Fault::Away));
    assert_eq!(house.charge(1).await, Charge::Unavailable);
    assert!(house.health.is_suspicious());
    assert!(is_charged(&house.charge(2).await));
    assert!(!house.health.is_suspicious(), "a charge ends it");
    assert_eq!(house.script.standing(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_order_that_cannot_be_written_is_alone_in_its_misfortune() {
    let house = House::new(99).await;
    house.script.with(|rows| rows.poison = Some(DeliveryId::from_bytes([3; 16])));
    let charges = join_all((0..8).map(|number| house.charge(number))).await;
    for (number, charge) in charges.iter().enumerate() {
        assert_eq!(is_charged(charge), number != 3, "{number}");
    }
    assert_eq!(charges[3], Charge::Internal, "waiting would not help");
    assert_eq!(house.script.standing(), 7);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_commit_that_is_resolved_in_time_is_reported_as_it_was() {
    let house = House::new(9).await;
    for committed in [true, false] {
        house.script.with(|rows| {
            rows.faults.push_back(Fault::Lost { committed });
            rows.unresolvable = 3;
        });
        let number = u8::from(committed);
        assert_eq!(is_charged(&house.charge(number).await), committed);
        assert_eq!(house.script.standing(), 1, "only the committed one");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_commit_that_is_resolved_late_is_given_back_while_the_shard_goes_on() {
    let house = House::new(9).await;
    house.script.with(|rows| {
        rows.faults.push_back(Fault::Lost { committed: true });
        rows.unresolvable = 20;
    });
    let (unknown, next) = tokio::join!(house.charge(1), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        house.charge(2).await
    });
    assert_eq!(unknown, Charge::Unavailable);
    assert!(is_charged(&next));
    assert_eq!(house.script.standing(), 2);
    assert!(house.tasks.idle(Duration::from_secs(60)).await);
    assert_eq!(house.script.standing(), 1, "the late one is given back");
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_panics_leaves_no_charge_and_no_caller_behind() {
    let house = House::new(9).await;
    for committed in [true, false] {
        house.script.with(|rows| rows.faults.push_back(Fault::Panic { committed }));
        assert_eq!(house.charge(u8::from(committed)).await, Charge::Unavailable);
        assert_eq!(house.script.standing(), 0);
    }
    assert!(is_charged(&house.charge(7).await));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_is_not_charged_or_is_given_back() {
    let house = House::new(0).await;
    let under_way = house.charge(1);
    let (under_way, ()) = tokio::join!(under_way, async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        // This one gathers while the first is under way, and leaves before its commit.
        let mut gathering = Box::pin(house.charge(2));
        assert!((&mut gathering).now_or_never().is_none());
        tokio::time::sleep(Duration::from_millis(1)).await;
        drop(gathering);
    });
    assert_eq!(under_way, Charge::Unavailable, "a second has passed");
    house.script.gate.add_permits(9);
    assert!(house.tasks.idle(Duration::from_secs(1)).await);
    assert_eq!(house.script.with(|rows| rows.charged.len()), 1, "who left before the commit was not in it");
    assert_eq!(house.script.standing(), 0);
    // A verdict that lies ready when its caller goes is given back, too.
    let mut ready = Box::pin(house.charge(3));
    assert!((&mut ready).now_or_never().is_none());
    assert!(tokio::time::timeout(Duration::from_millis(1), house.charge(4)).await.is_ok());
    drop(ready);
    assert_eq!(house.script.with(|rows| rows.charged.get(&DeliveryId::from_bytes([3; 16])).copied()), Some(true));
}

#[tokio::test(start_paused = true)]
async fn a_panic_over_one_half_of_a_batch_loses_nothing_of_the_other() {
    let house = House::new(99).await;
    house.script.with(|rows| {
        rows.poison = Some(DeliveryId::from_bytes([7; 16]));
        rows.panic_at = Some(DeliveryId::from_bytes([6; 16]));
    });
    let charges = join_all((0..8).map(|number| house.charge(number))).await;
    for (number, charge) in charges.iter().enumerate() {
        assert_eq!(is_charged(charge), number < 6, "{number}");
    }
    assert!(house.tasks.idle(Duration::from_secs(60)).await);
    assert_eq!(house.script.standing(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_charge_is_dated_before_its_commit_and_given_back_to_who_wakes_too_late() {
    let house = House::new(0).await;
    let before = Instant::now();
    let (slow, ()) = tokio::join!(house.charge(1), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        house.script.gate.add_permits(9);
    });
    assert!(matches!(slow, Charge::Decided { since, .. } if since == before));
    // The process is stopped between the commit and the caller's next turn.
    let mut stopped = Box::pin(house.charge(2));
    assert!((&mut stopped).now_or_never().is_none());
    assert!(is_charged(&house.charge(3).await));
    assert_eq!(house.script.standing(), 3);
    tokio::time::advance(Duration::from_secs(45)).await;
    assert_eq!(stopped.await, Charge::Unavailable);
    assert_eq!(house.script.standing(), 2, "given back");
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_panics_loses_only_what_was_not_charged() {
    let house = House::new(0).await;
    let (under_way, gathering, ()) = tokio::join!(house.charge(1), house.charge(2), async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(house.wallet.shard(AccountId::from_bytes([1; 16])).cast(Message::Panic).is_ok());
        tokio::time::sleep(Duration::from_millis(1)).await;
        house.script.gate.add_permits(9);
    });
    assert!(is_charged(&under_way));
    assert_eq!(gathering, Charge::Unavailable);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(is_charged(&house.charge(3).await));
    assert_eq!(house.script.standing(), 2);
    house.tree.stop(Duration::from_secs(1)).await;
    assert_eq!(house.charge(4).await, Charge::Unavailable);
}

fn fault() -> impl Strategy<Value = Option<Fault>> {
    prop_oneof![
        3 => Just(None),
        1 => Just(Some(Fault::Away)),
        2 => any::<bool>().prop_map(|committed| Some(Fault::Lost { committed })),
        1 => any::<bool>().prop_map(|committed| Some(Fault::Panic { committed })),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_happens_a_charge_stands_exactly_if_its_caller_has_it(
        faults in prop::collection::vec(fault(), 0..12),
        patience_ms in prop::collection::vec(0..60_u64, 1..40),
        unresolvable in 0..8_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let house = House::new(0).await;
            house.script.with(|rows| {
                rows.unresolvable = unresolvable;
                // A fault that is none is a transaction that commits.
                rows.faults = faults.iter().map_while(|fault| *fault).collect();
            });
            let orders = patience_ms.iter().enumerate().map(|(number, patience_ms)| {
                let give_up = Instant::now() + Duration::from_millis(*patience_ms);
                house.wallet.charge(order(u8::try_from(number).expect("few")), give_up)
            });
            let (charges, ()) = tokio::join!(join_all(orders), async {
                for _ in 0..60 {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    house.script.gate.add_permits(1);
                }
            });
            assert!(house.tasks.idle(Duration::from_secs(600)).await);
            for (number, charge) in charges.iter().enumerate() {
                let delivery = DeliveryId::from_bytes([u8::try_from(number).expect("few"); 16]);
                let stands = house.script.with(|rows| rows.charged.get(&delivery) == Some(&false));
                assert_eq!(stands, is_charged(charge), "order {number}");
            }
            house.tree.stop(Duration::from_secs(5)).await;
        });
    }
}
