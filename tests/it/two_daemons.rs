//! Two daemons on one Postgres: one truth about phones, wallets and keys, and either of them may go.

use std::sync::Arc;

use crate::cooldown::remainder;
use crate::crash_recovery::SHORT;
use crate::house::client::{Answer, Request};
use crate::house::customer::{PRICE, Purse, phone, volley};
use crate::house::database::Engine;
use crate::house::node::Node;
use crate::house::proxy::Wire;
use crate::house::{House, until};

/// Two that start at the same time on an empty database.
async fn two(overrides: &[(&str, &str)]) -> (House, [Arc<Node>; 2]) {
    let house = House::empty(Engine::Postgres).await;
    let (one, other) = tokio::join!(house.add(overrides), house.add(overrides));
    (house, [one, other])
}

fn sent(answers: &[Answer]) -> usize {
    answers.iter().filter(|answer| answer.status == 202).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_gets_one_code_whichever_daemon_is_asked() {
    let (house, nodes) = two(&[]).await;
    let customers = [house.customer(Purse::full()).await, house.customer(Purse::full()).await];
    let orders = (0..160_u32).map(|n| {
        let (node, customer) = (&nodes[usize::from(n % 2 == 1)], &customers[usize::from(n / 2 % 2 == 1)]);
        (node.api, customer.order(&phone(n / 8)))
    });
    let answers = volley(orders).await;
    for (n, of_one_phone) in answers.chunks(8).enumerate() {
        assert_eq!(sent(of_one_phone), 1, "phone {n}: {of_one_phone:?}");
        for refused in of_one_phone.iter().filter(|answer| answer.status != 202) {
            remainder(refused);
        }
    }
    let left = customers[0].purse().await.total() + customers[1].purse().await.total();
    assert_eq!(left, 2 * Purse::full().total() - 20 * PRICE);
    house.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_is_spent_once_whichever_daemon_is_asked() {
    let (house, nodes) = two(&[]).await;
    let customer = house.customer(Purse { free: 5 * PRICE - 1, bonus: 10 * PRICE, cash: 15 * PRICE + 1 }).await;
    let orders = (0..80_u32).map(|n| (nodes[usize::from(n % 2 == 1)].api, customer.order(&phone(n))));
    let answers = volley(orders).await;
    assert_eq!(sent(&answers), 30, "{answers:?}");
    for answer in answers.iter().filter(|answer| answer.status != 202) {
        assert_eq!((answer.status, answer.error().as_str()), (402, "insufficient_balance"), "{answer:?}");
    }
    assert_eq!(customer.purse().await.total(), 0);
    // Either daemon shows what the other one sent, and how it ended.
    for answer in answers.iter().filter(|answer| answer.status == 202) {
        for node in &nodes {
            assert_eq!(customer.at(node.api).ended(&answer.string("id")).await["status"], "delivered");
        }
    }
    house.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyed_order_is_charged_once_whichever_daemon_is_asked() {
    let (house, nodes) = two(&[("simulator.ack_ms", "100")]).await;
    let customer = house.customer(Purse::full()).await;
    let order = customer.order(&phone(1)).header("Idempotency-Key", "order-1");
    let answers = volley((0..32_usize).map(|n| (nodes[n % 2].api, order.clone()))).await;
    let mut texts: Vec<&str> = Vec::new();
    for answer in &answers {
        match answer.status {
            202 => texts.push(&answer.text),
            _ => assert_eq!((answer.status, answer.error().as_str()), (409, "idempotency_in_progress"), "{answer:?}"),
        }
    }
    let first = texts.iter().filter(|text| **text == texts[0]).count();
    assert!(first == texts.len() && first > 0, "{answers:?}");
    assert_eq!(customer.purse().await.total(), Purse::full().total() - PRICE);
    assert_eq!(house.witnessed().taken(&phone(1)), 1);
    house.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_daemon_settles_what_a_killed_one_leaves() {
    let (house, [one, other]) = two(&SHORT).await;
    let customer = house.customer(Purse::full()).await;
    one.carrier("viettel").set_hanging(true);
    let orders: Vec<(_, Request)> = (0..20).map(|n| (one.api, customer.order(&phone(n)))).collect();
    let (left_alone, answers, ()) = tokio::join!(
        futures_util::future::join_all(orders.iter().map(|(api, order)| order.send(*api))),
        volley((20..40).map(|n| (other.api, customer.order(&phone(n))))),
        async {
            until("its orders have left", async || (house.witnessed().all().len() >= 30).then_some(())).await;
            one.kill();
        }
    );
    assert_eq!(sent(&answers), 20, "{answers:?}");
    let answered = left_alone.iter().flatten().filter(|answer| answer.status == 202).count();
    let customer = customer.at(other.api);
    until("everything is settled", async || (house.ledger().await.with_status(0) == 0).then_some(())).await;
    let refunded = house.ledger().await.with_status(2);
    assert!((answered..=20).contains(&refunded), "{answered} answered, {refunded} refunded");
    assert_eq!(customer.purse().await.total(), Purse::full().total() - 20 * PRICE);
    house.finish().await;
}

/// One daemon's database stands still while the other one works on: whatever the first one wakes up to, no phone is
/// called twice and no cent is spent twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_paused_daemon_wakes_up_to_the_truth() {
    let house = House::empty(Engine::Postgres).await;
    let (proxy, url) = house.proxy().await;
    let through: Vec<_> = SHORT.iter().copied().chain([("store.url", url.as_str())]).collect();
    let (paused, awake) = (house.add(&through).await, house.add(&SHORT).await);
    let customer = house.customer(Purse::cash(40 * PRICE)).await;
    let asleep = volley((0..30).map(|n| (paused.api, customer.order(&phone(n)))));
    let (asleep, early) = tokio::join!(asleep, async {
        until("some have left", async || (house.witnessed().all().len() >= 5).then_some(())).await;
        proxy.set(Wire::Frozen);
        volley((0..30).map(|n| (awake.api, customer.order(&phone(n))))).await
    });
    for answer in asleep.iter().chain(&early) {
        assert!([202, 402, 429, 503].contains(&answer.status), "{answer:?}");
    }
    // Past every settle time of the one that sleeps.
    until("the other one has settled all that it can", async || {
        (house.ledger().await.overdue(500_000) == 0 && house.ledger().await.with_status(0) == 0).then_some(())
    })
    .await;
    proxy.set(Wire::Whole);
    until("it wakes up", async || (paused.ask_ops("/readyz").await.ok()?.status == 200).then_some(())).await;
    until("everything is settled", async || (house.ledger().await.with_status(0) == 0).then_some(())).await;
    let delivered = i64::try_from(house.ledger().await.with_status(1)).expect("few");
    for node in [&paused, &awake] {
        let customer = customer.at(node.api);
        until("its key list is fresh", async || (customer.get("/api/v1/balance").await.status == 200).then_some(()))
            .await;
        assert_eq!(customer.purse().await.total(), (40 - delivered) * PRICE);
    }
    house.finish().await;
}
