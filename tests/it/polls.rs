//! Who asks for receipts: the rows, and how they pass from one that is gone to others.

use std::collections::BTreeSet;
use std::time::Duration;

use nexo_route::domain::carrier::Channel;
use nexo_route::domain::ids::{DeliveryId, PollerId};
use nexo_route::domain::reference::{Reference, UpstreamId};
use nexo_route::domain::sealing::PhoneKey;
use nexo_route::domain::time::Timestamp;
use nexo_route::records::carrier_attempts::{CarrierAttempt, Named};
use nexo_route::records::polls::{self, Poller, TakenOver};
use nexo_route::store::{Scalar, Statement, Store, Type};

use crate::both_engines;

both_engines! {
    async fn what_one_asked_for_passes_to_one_other_when_it_is_gone(store: Store) { passes(&store).await }
    async fn one_that_was_never_heard_of_is_gone_in_time_too(store: Store) { unheard(&store).await }
    async fn a_crowd_passes_piece_by_piece_and_each_to_one(store: Store) { crowd(&store).await }
    async fn polls_and_pollers_go_when_they_are_old(store: Store) { old(&store).await }
}

static SENT: Statement = Statement::new(
    "test.polls.delivery",
    &[],
    &[Type::Id, Type::I64, Type::I64, Type::Bytes],
    "INSERT INTO deliveries (id, account, phone_key, phone_sealed, carrier, channel, from_free, from_bonus, from_balance, \
     status, created_us, settle_us) SELECT $1, $1, 1, $4, 'viettel', 'voice', 0, 0, 0, $2, {now_us}, {now_us} + $3 WHERE true",
);
static LATER: Statement = Statement::new(
    "test.pollers.later",
    &[],
    &[],
    "UPDATE pollers SET until_us = until_us - 7000000 WHERE until_us < {now_us} + 10000000",
);
static POLLS: Statement = Statement::new("test.polls.count", &[], &[], "SELECT COUNT(*) FROM polls");
static POLLERS: Statement = Statement::new("test.pollers.count", &[], &[], "SELECT COUNT(*) FROM pollers");

const MINUTE: Duration = Duration::from_secs(60);
const SECOND_US: i64 = 1_000_000;

fn delivery(number: u16) -> DeliveryId {
    DeliveryId::from_bytes((u128::from(number) + 1).to_be_bytes())
}

fn poller(number: u8) -> PollerId {
    PollerId::from_bytes([number; 16])
}

fn named(number: u16, by: u8) -> Named {
    Named {
        upstream: UpstreamId("a".into()),
        references: vec![Reference::new(&format!("r{number}")).expect("sane")],
        attempt: CarrierAttempt { delivery: delivery(number), channel: Channel::Voice },
        phone_key: PhoneKey::from_number(1),
        poller: Some(poller(by)),
    }
}

/// Writes who asks for what, and a delivery for each: `sent`, ended or overdue.
async fn ask(store: &Store, by: u8, deliveries: Vec<(u16, i64, i64)>) {
    let wrote = store.write(move |tx| {
        let deliveries = deliveries.clone();
        Box::pin(async move {
            for (number, status, settles_us) in &deliveries {
                let id = Scalar::Id(*delivery(*number).as_bytes());
                let scalars = [id, Scalar::I64(*status), Scalar::I64(*settles_us), Scalar::Bytes(b"sealed")];
                tx.execute(&SENT, &[], &scalars).await?;
            }
            let names: Vec<Named> = deliveries.iter().map(|(number, ..)| named(*number, by)).collect();
            polls::insert(tx, &names).await?;
            polls::insert(tx, &names).await
        })
    });
    wrote.await.expect("writes");
}

async fn live(store: &Store, upstream: &str, by: u8, lives_for: Duration, takes: i64) -> TakenOver {
    let poller = Poller { poller: poller(by), upstream: UpstreamId(upstream.into()), lives_for, takes };
    let wrote = store.write(move |tx| {
        let poller = poller.clone();
        Box::pin(async move { polls::live(tx, &poller).await })
    });
    wrote.await.expect("writes")
}

fn numbers(taken_over: &TakenOver) -> BTreeSet<String> {
    taken_over.orphans.iter().map(|orphan| orphan.reference.as_str().to_owned()).collect()
}

async fn count(store: &Store, statement: &'static Statement) -> i64 {
    let rows = store.read(move |tx| Box::pin(async move { tx.query(statement, &[], &[]).await })).await.expect("reads");
    rows[0].i64(0).expect("a count")
}

async fn passes(store: &Store) {
    live(store, "a", 1, MINUTE, 0).await;
    ask(store, 1, vec![(1, 0, 60 * SECOND_US), (2, 1, 60 * SECOND_US), (3, 0, -SECOND_US)]).await;
    assert_eq!(live(store, "a", 2, MINUTE, 10).await, TakenOver::default(), "it lives");
    live(store, "a", 1, Duration::ZERO, 10).await;
    assert_eq!(live(store, "b", 3, MINUTE, 10).await, TakenOver::default(), "another upstream's");
    let taken = live(store, "a", 2, MINUTE, 10).await;
    assert_eq!(numbers(&taken), BTreeSet::from(["r1".to_owned()]), "of what has ended or is overdue nobody asks");
    let settles_in = taken.orphans[0].settles_in;
    assert!(settles_in > Duration::ZERO && settles_in <= MINUTE && !taken.more, "{taken:?}");
    assert_eq!(live(store, "a", 4, MINUTE, 10).await, TakenOver::default(), "they are the second one's now");
    live(store, "a", 1, MINUTE, 10).await;
    live(store, "a", 2, Duration::ZERO, 0).await;
    assert_eq!(numbers(&live(store, "a", 1, MINUTE, 10).await), BTreeSet::from(["r1".to_owned()]), "and back");
}

/// A daemon that is killed before its link has said anything.
async fn unheard(store: &Store) {
    ask(store, 1, vec![(1, 0, 60 * SECOND_US)]).await;
    assert_eq!(live(store, "a", 2, MINUTE, 10).await, TakenOver::default(), "it may be about to");
    let waits = store.write(|tx| Box::pin(async move { tx.execute(&LATER, &[], &[]).await }));
    assert_eq!(waits.await, Ok(1), "it is known");
    assert_eq!(numbers(&live(store, "a", 2, MINUTE, 10).await), BTreeSet::from(["r1".to_owned()]));
}

async fn crowd(store: &Store) {
    live(store, "a", 1, Duration::ZERO, 0).await;
    ask(store, 1, (0..300).map(|number| (number, 0, 60 * SECOND_US)).collect()).await;
    let (mut all, mut steps) = (BTreeSet::new(), 0);
    loop {
        let (one, other) = tokio::join!(live(store, "a", 2, MINUTE, 40), live(store, "a", 3, MINUTE, 40));
        for taken in [&one, &other] {
            assert!(taken.orphans.len() <= 40);
            for number in numbers(taken) {
                assert!(all.insert(number), "given twice");
            }
        }
        steps += 1;
        if !one.more && !other.more {
            break;
        }
    }
    assert_eq!(all.len(), 300);
    assert!(steps >= 4, "{steps}");
}

async fn old(store: &Store) {
    live(store, "a", 1, Duration::ZERO, 0).await;
    live(store, "a", 2, MINUTE, 0).await;
    ask(store, 1, (0..5).map(|number| (number, 0, 60 * SECOND_US)).collect()).await;
    let prune = async |before: u16, gone: Timestamp, limit: i64| {
        let write = store.write(move |tx| Box::pin(polls::prune(tx, delivery(before), gone, limit)));
        write.await.expect("prunes")
    };
    let long_ago = Timestamp::from_micros(0);
    assert_eq!(prune(4, long_ago, 3).await, 3);
    assert_eq!(prune(4, long_ago, 3).await, 1);
    assert_eq!((count(store, &POLLS).await, count(store, &POLLERS).await), (1, 2));
    let now = store.ping().await.expect("answers");
    assert_eq!(prune(0, now, 3).await, 0);
    assert_eq!((count(store, &POLLS).await, count(store, &POLLERS).await), (1, 1), "one lives");
}
