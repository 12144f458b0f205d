//! A wallet that a foreign session holds, as `psql` with a forgotten `SELECT … FOR UPDATE` does: its own account waits, and
//! nobody else does.

use nexo_route::domain::ids::AccountId;
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls};

use crate::crash_recovery::SHORT;
use crate::house::customer::{PRICE, Purse, forced, phone, volley};
use crate::house::database::Engine;
use crate::house::{House, until};

const ROUNDS: u32 = 12;
const PER_ROUND: u32 = 20;

/// A session that is none of a daemon's.
struct Foreign {
    client: Client,
    connection: JoinSet<()>,
}

impl Foreign {
    async fn holding(house: &House, account: AccountId) -> Self {
        let (client, wire) = tokio_postgres::connect(house.url(), NoTls).await.expect("connects");
        let mut connection = JoinSet::new();
        connection.spawn(async move { wire.await.expect("ends well") });
        client.batch_execute("BEGIN").await.expect("begins");
        let lock = "SELECT 1 FROM wallets WHERE account = $1::text::uuid FOR UPDATE";
        let rows = client.query(lock, &[&uuid(account)]).await.expect("locks");
        assert_eq!(rows.len(), 1);
        Self { client, connection }
    }

    async fn lets_go(self) {
        self.client.batch_execute("ROLLBACK").await.expect("rolls back");
        drop(self.client);
        self.connection.join_all().await;
    }
}

fn uuid(account: AccountId) -> String {
    account.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_of_a_held_wallet_are_refused_and_all_others_go_on() {
    let house = House::start(Engine::Postgres).await;
    let (held, other) = (house.customer(Purse::full()).await, house.customer(Purse::full()).await);
    let foreign = Foreign::holding(&house, held.account).await;
    for round in 0..ROUNDS {
        let of = |n: u32| phone(round * 1_000 + n);
        let mut orders: Vec<_> = (0..PER_ROUND).map(|n| (other.api, other.order(&of(n)))).collect();
        orders.extend((0..3).map(|n| (held.api, held.order(&of(500 + n)))));
        let answers = volley(orders).await;
        let (of_other, of_held) = answers.split_at(PER_ROUND as usize);
        assert!(of_other.iter().all(|answer| answer.status == 202), "{of_other:?}");
        for answer in of_held {
            assert_eq!((answer.status, answer.error().as_str()), (503, "unavailable"), "{answer:?}");
        }
    }
    // One batch met the lock; after it none waited for it.
    let failed = house.node().metric("nexo_commits_failed_total").await;
    assert!(failed <= 2.0, "{failed} commits failed");
    foreign.lets_go().await;
    let refused = phone(500);
    until("the account sends again", async || (held.send(&refused).await.status == 202).then_some(())).await;
    assert_eq!(held.purse().await.total(), Purse::full().total() - PRICE, "what was refused cost nothing");
    let sent = i64::from(ROUNDS * PER_ROUND);
    assert_eq!(other.purse().await.total(), Purse::full().total() - sent * PRICE);
    house.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_node_left_is_refunded_but_for_the_held_wallet() {
    let house = House::with(Engine::Postgres, &SHORT).await;
    let (held, other) = (house.customer(Purse::full()).await, house.customer(Purse::full()).await);
    // The held one's is the oldest.
    let lost = held.send(&forced(0, 9)).await.expect(202).string("id");
    for series in 1..6 {
        other.send(&forced(series, 9)).await.expect(202);
    }
    house.node().kill();
    let foreign = Foreign::holding(&house, held.account).await;
    let node = house.add(&SHORT).await;
    let (held, other) = (held.at(node.api), other.at(node.api));
    held.known_at(node.api).await;
    other.known_at(node.api).await;
    until("the others are refunded", async || (other.purse().await == Purse::full()).then_some(())).await;
    assert_eq!(held.delivery(&lost).await["status"], "sent", "its refund waits for its wallet");
    foreign.lets_go().await;
    assert_eq!(held.ended(&lost).await["status"], "failed");
    assert_eq!(held.purse().await, Purse::full());
    house.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_into_a_held_wallet_holds_up_no_other() {
    let house = House::with(Engine::Postgres, &SHORT).await;
    let (held, other) = (house.customer(Purse::full()).await, house.customer(Purse::full()).await);
    // Its receipt is lost: it fails when its time is over.
    let lost = held.send(&forced(0, 9)).await.expect(202).string("id");
    let foreign = Foreign::holding(&house, held.account).await;
    until("the delivery is overdue", async || (house.ledger().await.overdue(0) == 1).then_some(())).await;
    for series in 0..6 {
        let unreachable = other.send(&forced(series, 2)).await.expect(202).string("id");
        // 502, or 202 if the ack wait was over first.
        let refused = other.send(&forced(series, 7)).await;
        assert!([202, 502].contains(&refused.status), "{refused:?}");
        let refused = refused.string("id");
        for id in [unreachable, refused] {
            let ended = other.ended(&id).await;
            assert_eq!(
                (ended["status"].as_str(), ended["refunded"].as_bool()),
                (Some("failed"), Some(true)),
                "{ended}"
            );
        }
        assert_eq!(other.send(&phone(series)).await.status, 202);
        assert_eq!(held.delivery(&lost).await["status"], "sent", "its refund waits for its wallet");
    }
    assert_eq!(other.purse().await.total(), Purse::full().total() - 6 * PRICE);
    foreign.lets_go().await;
    assert_eq!(held.ended(&lost).await["status"], "failed");
    assert_eq!(held.purse().await, Purse::full());
    until("the account sends again", async || (held.send(&phone(100)).await.status == 202).then_some(())).await;
    house.finish().await;
}
