//! A database that goes away: a clear 503, a red `/readyz`, no money lost, and back by itself.

use std::sync::Arc;

use crate::house::client::Answer;
use crate::house::customer::{Customer, PRICE, Purse, phone};
use crate::house::database::Engine;
use crate::house::node::Node;
use crate::house::proxy::{ChaosProxy, Wire};
use crate::house::{House, until};

/// A daemon whose wire to Postgres can be cut.
async fn behind_a_wire(overrides: &[(&str, &str)]) -> (House, Arc<Node>, ChaosProxy) {
    let house = House::empty(Engine::Postgres).await;
    let (proxy, url) = house.proxy().await;
    let through = [("store.url", url.as_str())];
    let overrides: Vec<_> = overrides.iter().copied().chain(through).collect();
    let node = house.add(&overrides).await;
    (house, node, proxy)
}

async fn readiness(node: &Node, expected: u16) -> Answer {
    until("readiness changes", async || node.ask_ops("/readyz").await.ok().filter(|answer| answer.status == expected))
        .await
}

/// Asserts that every call is refused clearly; returns when that is so.
async fn unavailable(customer: &Customer) {
    until("the loss is noticed", async || {
        let answer = customer.get("/api/v1/balance").await;
        (answer.status == 503).then_some(())
    })
    .await;
    for path in ["/api/v1/balance", "/api/v1/deliveries", "/api/v1/deliveries/0199a1b2-0000-7000-8000-000000000000"] {
        let answer = customer.get(path).await.expect(503);
        assert_eq!(answer.error(), "unavailable");
        assert!(answer.header("retry-after").is_some());
    }
    let answer = customer.send(&phone(500_000)).await.expect(503);
    assert_eq!(answer.error(), "unavailable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_wire_is_answered_and_mends_by_itself() {
    away_and_back(Wire::Cut).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_wire_is_answered_and_mends_by_itself() {
    away_and_back(Wire::Frozen).await;
}

async fn away_and_back(how: Wire) {
    let (house, node, proxy) = behind_a_wire(&[]).await;
    let customer = house.customer(Purse::full()).await;
    readiness(&node, 200).await;
    customer.send(&phone(1)).await.expect(202);

    proxy.set(how);
    unavailable(&customer).await;
    let red = readiness(&node, 503).await;
    assert_eq!(red.field("database"), false);
    node.ask_ops("/livez").await.expect("alive").expect(200);

    proxy.set(Wire::Whole);
    readiness(&node, 200).await;
    let sent = until("codes are sent again", async || {
        let answer = customer.send(&phone(2)).await;
        assert!([202, 503].contains(&answer.status), "{answer:?}");
        (answer.status == 202).then_some(answer)
    })
    .await;
    customer.ended(&sent.string("id")).await;
    house.finish().await;
}

/// The wire is cut again and again while orders come: whatever the moment, every 202 is charged, nothing else is, and
/// nothing leaves without a charge.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_cut_off_loses_no_money() {
    let (house, _node, proxy) = behind_a_wire(&[("send.ack_wait_ms", "1000")]).await;
    let customer = house.customer(Purse::full()).await;
    let mut sent = Vec::new();
    let mut shed = 0;
    for round in 0..12_u32 {
        let orders = (0..24).map(|n| customer.order(&phone(round * 24 + n)));
        let (answers, ()) = tokio::join!(customer.volley(orders), async {
            // Somewhere inside: what matters is that it is not always the same place.
            for _ in 0..round * 3 {
                tokio::task::yield_now().await;
            }
            proxy.set(Wire::Cut);
            proxy.set(Wire::Whole);
        });
        for answer in answers {
            match (answer.status, answer.status == 202) {
                (202, _) => sent.push(answer.string("id")),
                (503, _) => shed += 1,
                _ => panic!("{answer:?}"),
            }
        }
        until("the daemon is back", async || (customer.get("/api/v1/balance").await.status == 200).then_some(())).await;
    }
    assert!(!sent.is_empty(), "{shed} were refused and none was sent");
    for id in &sent {
        assert_eq!(customer.ended(id).await["status"], "delivered");
    }
    // What was charged and not answered goes back as soon as it is known.
    let owed = Purse::full().total() - i64::try_from(sent.len()).expect("few") * PRICE;
    until("every other charge is back", async || (customer.purse().await.total() == owed).then_some(())).await;
    house.finish().await;
}
