//! A database that goes away: a clear 503, a red `/readyz`, no money lost, and back by itself.

use std::sync::Arc;

use nexo_route::domain::ids::BatchId;
use nexo_route::store::Statement;

use crate::house::client::{Answer, Kept, Request};
use crate::house::customer::{Customer, PRICE, Purse, SEND, body, phone};
use crate::house::database::Engine;
use crate::house::node::Node;
use crate::house::proxy::{ChaosProxy, Loss, Wire};
use crate::house::whole::logs;
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
    let stale = until("the key list is too old", async || {
        let answer = node.ask_ops("/readyz").await.ok()?;
        (answer.field("keys") == false).then(|| answer.expect(503))
    })
    .await;
    // A check that hangs, on a frozen wire, knows no age.
    assert!(stale.field("keys_age_ms").as_u64().is_none_or(|age_ms| age_ms >= 1_000), "{stale:?}");
    node.ask_ops("/livez").await.expect("alive").expect(200);
    // An outage is no storm of connections: what is refused unread is refused on the connection that it came on.
    let mut kept = Kept::connect(node.api).await.expect("connects");
    let stranger = Request::new("POST", SEND).json(&body(&phone(2)));
    for (request, status) in [(customer.order(&phone(2)), 503), (stranger, 401), (customer.order(&phone(2)), 503)] {
        kept.ask(&request).await.expect("its connection goes on").expect(status);
    }

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

/// Few other transactions: the sweeper's, after its first round, would be lost instead of a charge.
const STILL: [(&str, &str); 2] = [("sweeper.every_ms", "3600000"), ("send.ack_wait_ms", "2500")];

/// An order whose commit met the loss, and what there was before it: an earlier one may have gone through, because the
/// loss met another transaction.
struct Lost {
    customer: Customer,
    to: String,
    answer: Answer,
    rows_before: usize,
    purse_before: Purse,
}

/// Sends until the first of the losses has met a charge and the others whoever asks what became of it.
async fn send_into(losses: &[Loss], house: &House, node: &Node, proxy: &ChaosProxy) -> Lost {
    let customer = house.customer(Purse::full()).await;
    let mut number = 0;
    let (to, answer, rows_before, purse_before) = until("a charge is lost", async || {
        number += 1;
        let to = phone(number);
        let (rows_before, purse_before) = (house.ledger().await.deliveries.len(), customer.purse().await);
        let resolved = async || node.metric("nexo_commits_resolved_total").await;
        let (resolved_before, in_vain_before) = (resolved().await, asked_in_vain(house).await);
        proxy.lose(losses);
        let answer = customer.send(&to).await;
        proxy.lose(&[]);
        proxy.set(Wire::Whole);
        until("the outcome is known", async || {
            // The loss may have met what is tried again, not asked for: a claim, an end.
            let of_a_charge = [r#"kind="accept""#, r#"outcome="unknown""#];
            let failed = node.metric_of("nexo_commits_failed_total", &of_a_charge).await;
            (resolved().await >= failed).then_some(())
        })
        .await;
        let in_vain = asked_in_vain(house).await - in_vain_before;
        let met = resolved().await > resolved_before && (losses.len() == 1 || in_vain == losses.len() - 1);
        met.then_some((to, answer, rows_before, purse_before))
    })
    .await;
    Lost { customer, to, answer, rows_before, purse_before }
}

/// How often the log says that a batch of this house could not be resolved.
async fn asked_in_vain(house: &House) -> usize {
    static BATCHES: Statement = Statement::new("test.batches", &[], &[], "SELECT id FROM batches");
    let read = house.store().await.read(|tx| Box::pin(async move { tx.query(&BATCHES, &[], &[]).await }));
    let rows = read.await.expect("reads");
    let batches: Vec<String> =
        rows.iter().map(|row| BatchId::from_bytes(row.id(0).expect("an id")).to_string()).collect();
    let of_ours = |line: &&str| batches.iter().any(|batch| line.contains(batch));
    logs().lines().filter(|line| line.contains("cannot be resolved yet")).filter(of_ours).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_found_and_goes_on() {
    let (house, node, proxy) = behind_a_wire(&STILL).await;
    let Lost { customer, to, answer, rows_before, purse_before } =
        send_into(&[Loss::Answer], &house, &node, &proxy).await;
    let id = answer.expect(202).string("id");
    assert_eq!(customer.ended(&id).await["status"], "delivered");
    assert_eq!((house.witnessed().taken(&to), house.ledger().await.deliveries.len()), (1, rows_before + 1));
    assert_eq!(customer.purse().await.total(), purse_before.total() - PRICE);
    house.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_lost_has_never_been() {
    let (house, node, proxy) = behind_a_wire(&STILL).await;
    let Lost { customer, to, answer, rows_before, purse_before } =
        send_into(&[Loss::Commit], &house, &node, &proxy).await;
    assert_eq!(answer.expect(503).error(), "unavailable");
    assert_eq!((house.witnessed().taken(&to), house.ledger().await.deliveries.len()), (0, rows_before));
    assert_eq!(customer.purse().await, purse_before);
    // The phone is free and so is the money.
    customer.send(&to).await.expect(202);
    house.finish().await;
}

/// Who asks loses its own connection inside its own COMMIT, twice: first the answer, so that its row is already there when
/// it asks again, then all of it.
const TWICE: [Loss; 2] = [Loss::Answer, Loss::Commit];

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_in_vain_twice_still_finds_what_committed() {
    let (house, node, proxy) = behind_a_wire(&STILL).await;
    let losses = [[Loss::Answer].as_slice(), &TWICE].concat();
    let Lost { customer, to, answer, rows_before, purse_before } = send_into(&losses, &house, &node, &proxy).await;
    let id = answer.expect(202).string("id");
    assert_eq!(customer.ended(&id).await["status"], "delivered");
    assert_eq!((house.witnessed().taken(&to), house.ledger().await.deliveries.len()), (1, rows_before + 1));
    assert_eq!(customer.purse().await.total(), purse_before.total() - PRICE);
    house.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_in_vain_twice_does_not_take_its_own_tombstone_for_a_commit() {
    let (house, node, proxy) = behind_a_wire(&STILL).await;
    let losses = [[Loss::Commit].as_slice(), &TWICE].concat();
    let Lost { customer, to, answer, rows_before, purse_before } = send_into(&losses, &house, &node, &proxy).await;
    assert_eq!(answer.expect(503).error(), "unavailable");
    assert_eq!((house.witnessed().taken(&to), house.ledger().await.deliveries.len()), (0, rows_before));
    assert_eq!(customer.purse().await, purse_before);
    customer.send(&to).await.expect(202);
    house.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_that_is_known_too_late_is_refunded_and_never_sent() {
    let (house, node, proxy) = behind_a_wire(&STILL).await;
    let Lost { customer, to, answer, purse_before, .. } =
        send_into(&[Loss::AnswerAndWire], &house, &node, &proxy).await;
    assert_eq!(answer.expect(503).error(), "unavailable");
    until("the charge is back", async || (customer.purse().await == purse_before).then_some(())).await;
    assert_eq!(house.witnessed().taken(&to), 0);
    let rows = customer.read("/api/v1/deliveries").await;
    assert_eq!((&rows["data"][0]["status"], &rows["data"][0]["error_code"]), (&"failed".into(), &"unavailable".into()));
    until("the phone is free", async || (customer.send(&to).await.status == 202).then_some(())).await;
    house.finish().await;
}
