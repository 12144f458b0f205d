//! What is not delivered costs nothing, however many fail at once and whatever the receipts do.

use serde_json::json;

use crate::both_engines;
use crate::house::House;
use crate::house::customer::{PRICE, Purse, forced, phone};
use crate::house::database::Engine;

both_engines! {
    async fn failures_are_refunded_and_deliveries_are_not(engine: Engine) { storm(engine).await }
    async fn a_later_receipt_changes_nothing(house: House) { later_receipt(house).await }
}

/// Receipts that fail, get lost, come late and come twice, for hundreds of deliveries at once.
async fn storm(engine: Engine) {
    let settings = [
        ("simulator.fail_rate", "0.3"),
        ("simulator.refuse_rate", "0.2"),
        ("simulator.lose_receipt_rate", "0.1"),
        ("simulator.late_receipt_rate", "0.1"),
        ("simulator.duplicate_receipt_rate", "0.5"),
        ("simulator.receipt_jitter_ms", "200"),
        ("dispatch.dispatch_within_ms", "1500"),
        ("dispatch.receipt_wait_ms", "2500"),
        ("dispatch.attempt_needs_ms", "1000"),
        ("dispatch.attempt_timeout_ms", "1000"),
        ("send.ack_wait_ms", "1000"),
    ];
    let house = House::with(engine, &settings).await;
    let customer = house.customer(Purse { free: 110_000, bonus: 1_000_000, cash: 10_000_000 }).await;
    let answers = customer.volley((0..200).map(|n| customer.order(&phone(n)))).await;
    let mut delivered = 0;
    for answer in &answers {
        assert!([202, 502].contains(&answer.status), "{answer:?}");
        let delivery = customer.ended(&answer.string("id")).await;
        let failed = delivery["status"] == "failed";
        assert_eq!((&delivery["refunded"], &delivery["cost"]), (&json!(failed), &json!(0.022)));
        assert!(failed || answer.status == 202, "{delivery}");
        delivered += i64::from(!failed);
    }
    assert!((1..200).contains(&delivered), "{delivered} of 200: the dice did nothing");
    assert_eq!(customer.purse().await.total(), 11_110_000 - delivered * PRICE);
    house.finish().await;
}

async fn later_receipt(house: House) {
    let customer = house.customer(Purse::cash(PRICE)).await;
    // Delivered, and fifty milliseconds later the carrier says that it failed.
    let id = customer.send(&forced(0, 11)).await.expect(202).string("id");
    let first = customer.ended(&id).await;
    assert_eq!(first["status"], "delivered");
    let node = house.node();
    crate::house::until("both receipts have come", async || {
        (node.metric("nexo_receipts_total").await >= 2.0).then_some(())
    })
    .await;
    assert_eq!(customer.delivery(&id).await, first);
    assert_eq!(customer.purse().await, Purse::cash(0));
}
