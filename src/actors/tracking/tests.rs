//! Tracking alone, with a scripted database and paused time.

mod book;
mod by_reference;
mod others;
mod postponed;
mod script;

use std::sync::Mutex;

use self::script::{Fault, Script};
use super::*;
use crate::actors::supervise::Tree;
use crate::carrier::upstream::{ReceiptState, Subject};
use crate::domain::delivery::{CarrierStatus, End, WindowAfter};
use crate::domain::ids::AccountId;
use crate::domain::reference::UpstreamId;
use crate::domain::sealing::SecretKey;
use crate::records::idempotency::FirstAnswer;

struct House {
    woken: Arc<Mutex<Vec<EndpointId>>>,
    tracking: Tracking<char>,
    fallbacks: mpsc::Receiver<Box<char>>,
    script: Script,
    tree: Tree,
    tasks: Tasks,
}

impl House {
    async fn new() -> Self {
        Self::on(Script::default()).await
    }

    /// A node on this database, which others may share.
    async fn on(script: Script) -> Self {
        let tasks = Tasks::new();
        let (sender, fallbacks) = mpsc::channel(1);
        let ledger = script.clone();
        let woken = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&woken);
        let parts = Parts {
            batch_max: 16,
            needs: Needs { leave: Duration::from_secs(5), attempt: Duration::from_secs(20) },
            book: Arc::new(script.clone()),
            keyring: Arc::new(keyring()),
            ledger: Arc::new(move || Box::new(ledger.clone())),
            tasks: tasks.clone(),
            fallbacks: sender,
            wake: Arc::new(move |told| heard.lock().expect("not poisoned").extend(told)),
        };
        let (tracking, branch) = Tracking::from_parts(1, parts);
        let tree = Tree::grow(Budget::default(), vec![branch]).await.expect("starts");
        Self { woken, tracking, fallbacks, script, tree, tasks }
    }

    fn watch(&self, number: u8, channel: Channel, fallback: Option<char>) -> DeliveryId {
        self.watch_moved(number, channel, fallback, false)
    }

    fn watch_moved(&self, number: u8, channel: Channel, fallback: Option<char>, moved: bool) -> DeliveryId {
        let delivery = id(number);
        self.tracking.watch(InFlight {
            delivery,
            carrier: Carrier::new("viettel").expect("sane"),
            channel,
            upstream: UpstreamId("probe".into()),
            moved,
            price: MicroUsd::from_micros(22_000),
            accepted_at: Instant::now(),
            settle_by: Instant::now() + Duration::from_secs(65),
            fallback: fallback.map(Box::new),
        });
        delivery
    }

    async fn put(&self, number: u8, channel: Channel, state: ReceiptState) -> Result<(), NotDurable> {
        let upstream = UpstreamId("probe".into());
        let status = CarrierStatus::clean("word");
        let subject = Subject::Attempt { delivery: id(number), channel };
        self.tracking.sink().put(Receipt { upstream, subject, state, status, network: None }).await
    }
}

fn keyring() -> Keyring {
    Keyring::new(1, vec![(1, SecretKey::new([1; 32]))], SecretKey::new([9; 32])).expect("a ring")
}

fn id(number: u8) -> DeliveryId {
    DeliveryId::from_bytes([number; 16])
}

fn refused(number: u8) -> Settlement {
    let end = End::Failed { code: FailureCode::NoRoute, carrier_status: None };
    Settlement { delivery: id(number), end, channel: None, unless_moved: false, window: WindowAfter::Release }
}

fn code(end: Option<End>) -> Option<FailureCode> {
    match end? {
        End::Failed { code, .. } => Some(code),
        End::Delivered { .. } => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_receipt_is_durable_before_it_is_acknowledged() {
    let house = House::new().await;
    let delivery = house.watch(1, Channel::Voice, Some('a'));
    assert_eq!(house.put(1, Channel::Voice, ReceiptState::InProgress).await, Ok(()));
    assert_eq!(house.script.ended(delivery), None);
    assert_eq!(house.put(1, Channel::Voice, ReceiptState::Delivered).await, Ok(()));
    assert!(matches!(house.script.ended(delivery), Some(End::Delivered { .. })));
    let late = house.put(1, Channel::Voice, ReceiptState::Failed(FailureClass::Expired)).await;
    assert_eq!(late, Ok(()), "a late receipt changes nothing and is done with");
    assert!(matches!(house.script.ended(delivery), Some(End::Delivered { .. })));
    assert_eq!(house.tracking.settle(refused(1)).await, Ok(Settled::Unchanged));
    assert_eq!(house.tracking.settle(refused(2)).await, Ok(Settled::Ended));
    assert_eq!(house.put(3, Channel::Sms, ReceiptState::Failed(FailureClass::Rejected)).await, Ok(()));
    assert_eq!(code(house.script.ended(id(3))), Some(FailureCode::Rejected), "unknown here, ended all the same");
}

#[tokio::test(start_paused = true)]
async fn a_failed_receipt_goes_back_to_dispatch_while_a_channel_is_left() {
    let mut house = House::new().await;
    let failed = ReceiptState::Failed(FailureClass::Unreachable);
    let delivery = house.watch(1, Channel::Voice, Some('a'));
    assert_eq!(house.put(1, Channel::Voice, failed).await, Ok(()));
    assert_eq!(house.fallbacks.recv().await.as_deref(), Some(&'a'));
    assert_eq!(house.put(1, Channel::Voice, failed).await, Ok(()), "a duplicate");
    assert_eq!(house.script.ended(delivery), None);
    house.watch(1, Channel::Sms, None);
    assert_eq!(house.put(1, Channel::Sms, failed).await, Ok(()));
    assert_eq!(code(house.script.ended(delivery)), Some(FailureCode::Unreachable));
    // Dispatch is full: the second of two ends.
    for number in [2, 3] {
        house.watch(number, Channel::Voice, Some('b'));
        assert_eq!(house.put(number, Channel::Voice, failed).await, Ok(()));
    }
    assert_eq!(house.script.ended(id(2)), None);
    assert_eq!(code(house.script.ended(id(3))), Some(FailureCode::Unreachable));
}

#[tokio::test(start_paused = true)]
async fn without_a_receipt_a_delivery_ends_at_its_settle_time() {
    let house = House::new().await;
    let delivery = house.watch(1, Channel::Voice, Some('a'));
    tokio::time::sleep(Duration::from_secs(64)).await;
    assert_eq!(house.script.ended(delivery), None);
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(code(house.script.ended(delivery)), Some(FailureCode::Timeout));
    assert!(house.tasks.idle(Duration::from_secs(1)).await);
}

#[tokio::test(start_paused = true)]
async fn ends_wait_for_a_database_that_is_away() {
    let house = House::new().await;
    house.script.with(|rows| rows.faults.extend((0..8).map(|_| Fault::Away)));
    let put = house.put(1, Channel::Voice, ReceiptState::Delivered).await;
    assert_eq!(put, Err(NotDurable), "the link keeps the receipt");
    assert_eq!(house.put(1, Channel::Voice, ReceiptState::Delivered).await, Ok(()), "and reports it again");
    assert!(house.script.ended(id(1)).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_receipt_that_finds_the_queue_full_is_judged_when_it_comes_again() {
    let mut house = House::new().await;
    let failed = ReceiptState::Failed(FailureClass::Unreachable);
    // Dispatch has no room for a second fallback: a receipt that were judged now would lose its own.
    let delivery = house.watch(1, Channel::Voice, Some('a'));
    house.watch(2, Channel::Voice, Some('b'));
    assert_eq!(house.put(2, Channel::Voice, failed).await, Ok(()));
    house.script.with(|rows| rows.faults.extend((0..8).map(|_| Fault::Away)));
    for number in 0..=shard::RECEIPTS_WAITING_MAX + 16 {
        let bytes = u128::try_from(number + 1_000).expect("small").to_be_bytes();
        house.tracking.settle_later(Settlement { delivery: DeliveryId::from_bytes(bytes), ..refused(0) });
    }
    assert_eq!(house.put(1, Channel::Voice, failed).await, Err(NotDurable), "the link keeps it");
    assert_eq!(house.put(1, Channel::Voice, ReceiptState::Delivered).await, Err(NotDurable));
    assert_eq!(house.fallbacks.recv().await.as_deref(), Some(&'b'));
    house.script.with(|rows| rows.faults.clear());
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(house.script.ended(delivery), None);
    assert_eq!(house.put(1, Channel::Voice, failed).await, Ok(()));
    assert_eq!(
        house.fallbacks.try_recv().ok().as_deref(),
        Some(&'a'),
        "the delivery stayed watched, with its fallback"
    );
}

#[tokio::test(start_paused = true)]
async fn an_unknown_commit_is_repeated_and_reported_once() {
    let house = House::new().await;
    house.script.with(|rows| rows.faults.push_back(Fault::LostAfterCommit));
    assert_eq!(house.tracking.settle(refused(1)).await, Ok(Settled::Ended));
    house.script.with(|rows| rows.faults.push_back(Fault::LostBeforeCommit));
    assert_eq!(house.tracking.settle(refused(2)).await, Ok(Settled::Ended));
    assert_eq!(code(house.script.ended(id(2))), Some(FailureCode::NoRoute));
    assert_eq!(house.script.with(|rows| rows.transactions), 4);
    // The commit did not happen, and another node's receipt ended the delivery before it was repeated.
    house.script.with(|rows| rows.faults.push_back(Fault::LostBeforeCommit));
    let (settled, ()) = tokio::join!(house.tracking.settle(refused(3)), async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let end = End::Delivered { carrier_status: CarrierStatus::clean("word") };
        house.script.with(|rows| rows.ended.insert(id(3), end));
    });
    assert_eq!(settled, Ok(Settled::Unchanged), "that end is not ours to report");
}

#[tokio::test(start_paused = true)]
async fn whoever_is_to_be_told_is_woken_after_the_commit() {
    let house = House::new().await;
    let woken = || std::mem::take(&mut *house.woken.lock().expect("not poisoned")).len();
    house.script.with(|rows| rows.faults.extend([Fault::Away, Fault::LostAfterCommit]));
    assert_eq!(house.tracking.settle(refused(1)).await, Ok(Settled::Ended));
    assert_eq!(woken(), 1, "the commit of unknown outcome told somebody, its repetition nobody");
    assert_eq!(house.tracking.settle(refused(1)).await, Ok(Settled::Unchanged));
    assert_eq!(woken(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_row_that_cannot_be_written_holds_up_nobody_else() {
    let house = House::new().await;
    house.script.with(|rows| rows.poison = Some(id(5)));
    let ends = (0..12).map(|number| house.tracking.settle(refused(number)));
    let ends = futures_util::future::join_all(ends).await;
    for (number, end) in ends.into_iter().enumerate() {
        assert_eq!(end, if number == 5 { Err(SettleFailed) } else { Ok(Settled::Ended) }, "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn answers_travel_with_the_ends() {
    let house = House::new().await;
    let record = |key: &str| AnswerRecord {
        account: AccountId::from_bytes([1; 16]),
        delivery: id(1),
        key: key.into(),
        answer: FirstAnswer::Sent,
    };
    house.tracking.answered(record("a"));
    house.tracking.answered(record("a"));
    house.tracking.answered(record("b"));
    assert_eq!(house.tracking.settle(refused(1)).await, Ok(Settled::Ended));
    house.tree.stop(Duration::from_secs(5)).await;
    assert_eq!(house.script.with(|rows| rows.answers.len()), 3);
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_the_ends_that_gather() {
    let house = House::new().await;
    house.script.with(|rows| rows.faults.push_back(Fault::Away));
    for number in 0..40 {
        house.tracking.settle_later(refused(number));
    }
    house.tree.stop(Duration::from_secs(5)).await;
    assert_eq!(house.script.with(|rows| rows.ended.len()), 40);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_commit_or_a_shard_wedges_nobody() {
    let house = House::new().await;
    house.script.with(|rows| rows.faults.push_back(Fault::Panic));
    assert_eq!(house.tracking.settle(refused(1)).await, Err(SettleFailed));
    assert_eq!(house.tracking.settle(refused(2)).await, Ok(Settled::Ended));
    let delivery = house.watch(3, Channel::Voice, None);
    assert!(house.tracking.shard(delivery).cast(Message::Panic).is_ok());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(house.put(3, Channel::Voice, ReceiptState::Delivered).await, Ok(()), "a receipt needs no memory");
    assert!(house.script.ended(delivery).is_some());
    house.tree.stop(Duration::from_secs(1)).await;
    assert_eq!(house.tracking.settle(refused(4)).await, Err(SettleFailed));
}
