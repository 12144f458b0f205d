//! A daemon that is killed under load: the next one settles what is owed, refunds it, and sends nothing twice.

use tokio::task::JoinSet;

use crate::both_engines;
use crate::house::client::Answer;
use crate::house::customer::{Customer, PRICE, Purse, phone};
use crate::house::database::Engine;
use crate::house::{House, until};

both_engines! {
    async fn a_killed_daemon_leaves_nothing_that_the_next_one_does_not_settle(engine: Engine) { killed(engine).await }
    async fn a_repeat_after_a_crash_is_not_charged_again(engine: Engine) { repeat(engine).await }
}

const SENT: i64 = 0;

/// A settle time of two and a half seconds, and carriers slow enough that everything is under way at once.
pub const SHORT: [(&str, &str); 8] = [
    ("send.ack_wait_ms", "1000"),
    ("dispatch.dispatch_within_ms", "1000"),
    ("dispatch.receipt_wait_ms", "1500"),
    ("dispatch.attempt_needs_ms", "1000"),
    ("dispatch.attempt_timeout_ms", "1000"),
    ("simulator.ack_ms", "30"),
    ("simulator.ack_jitter_ms", "60"),
    ("simulator.receipt_jitter_ms", "200"),
];

/// Sends to every phone at once; of those whose connection broke there is no answer. `kill` runs once `after` answers
/// have come.
async fn storm(customer: &Customer, phones: std::ops::Range<u32>, after: usize, kill: impl FnOnce()) -> Vec<Answer> {
    let mut calls = JoinSet::new();
    for n in phones {
        let (order, api) = (customer.order(&phone(n)), customer.api);
        calls.spawn(async move { order.send(api).await.ok() });
    }
    let mut answers = Vec::new();
    let mut kill = Some(kill);
    while let Some(answer) = calls.join_next().await {
        answers.extend(answer.expect("no panic"));
        if answers.len() >= after
            && let Some(kill) = kill.take()
        {
            kill();
        }
    }
    assert!(kill.is_none(), "only {} answers came", answers.len());
    answers
}

async fn killed(engine: Engine) {
    let house = House::with(engine, &SHORT).await;
    let mut customer = house.customer(Purse { free: 110_000, bonus: 500_000, cash: 10_000_000 }).await;
    let all = customer.purse().await.total();
    let mut sent = Vec::new();
    for (round, after) in (0..).zip([1, 12, 30, 60]) {
        let node = house.node();
        customer = customer.at(node.api);
        customer.known_at(node.api).await;
        let answers = storm(&customer, round * 100..round * 100 + 80, after, || node.kill()).await;
        sent.extend(answers.iter().filter(|answer| answer.status == 202).map(|answer| answer.string("id")));
        house.add(&SHORT).await;
    }
    customer = customer.at(house.node().api);
    customer.known_at(customer.api).await;
    until("everything is settled", async || (house.ledger().await.with_status(SENT) == 0).then_some(())).await;
    for id in &sent {
        assert!(["delivered", "failed"].contains(&customer.delivery(id).await["status"].as_str().expect("a state")));
    }
    let delivered = i64::try_from(house.ledger().await.with_status(1)).expect("few");
    assert_eq!(customer.purse().await.total(), all - delivered * PRICE);
    customer.send(&phone(1_000)).await.expect(202);
    house.finish().await;
}

async fn repeat(engine: Engine) {
    let house = House::with(engine, &SHORT).await;
    let customer = house.customer(Purse::full()).await;
    let node = house.node();
    node.carrier("viettel").set_hanging(true);
    let order = customer.order(&phone(1)).header("Idempotency-Key", "order-1");
    let (asked, ()) = tokio::join!(order.send(customer.api), async {
        until("it has left", async || (!house.witnessed().all().is_empty()).then_some(())).await;
        node.kill();
    });
    assert!(asked.is_err(), "nobody was left to answer");
    let node = house.add(&SHORT).await;
    let customer = customer.at(node.api);
    customer.known_at(node.api).await;
    // It may have been sent: the repeat does not send it again, and says how it ended once that is known.
    let answer = until("the repeat is answered", async || {
        let answer = customer.ask(&order).await;
        match answer.error().as_str() {
            "idempotency_in_progress" | "unavailable" => None,
            _ => Some(answer),
        }
    })
    .await
    .expect(502);
    assert_eq!(answer.header("idempotent-replayed"), Some("true"));
    assert_eq!(customer.delivery(&answer.string("id")).await["error_code"], "timeout");
    assert_eq!(customer.purse().await, Purse::full());
    assert_eq!(house.witnessed().all().len(), 1);
    house.finish().await;
}
