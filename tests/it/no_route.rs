//! No way to the carrier: 429 before a charge, 502 after it with the money back and the phone free.

use std::net::SocketAddr;

use futures_util::future::join_all;
use nexo_route::carrier::upstream::Health;
use serde_json::json;

use crate::both_engines;
use crate::house::client::{Answer, Request};
use crate::house::customer::{PRICE, Purse, forced, phone};
use crate::house::database::Engine;
use crate::house::{House, until};

both_engines! {
    async fn a_link_that_is_down_charges_nothing(house: House) { link_down(house).await }
    async fn a_full_queue_says_when_to_come_back(engine: Engine) { queue_full(engine).await }
    async fn a_refusal_gives_the_money_and_the_phone_back(house: House) { refused(house).await }
    async fn what_cannot_leave_in_time_is_never_sent_late(engine: Engine) { too_late(engine).await }
}

fn not_now(answer: &Answer) {
    assert_eq!((answer.status, answer.error().as_str()), (429, "no_route"), "{answer:?}");
    let wait = answer.field("retry_after_seconds").as_u64().expect("a number");
    assert!(wait >= 1 && answer.header("retry-after") == Some(wait.to_string().as_str()), "{answer:?}");
}

async fn link_down(house: House) {
    let customer = house.customer(Purse::full()).await;
    let node = house.node();
    node.carrier("viettel").set_link(Health::Down);
    let refused = until("the link is seen to be down", async || {
        let answer = customer.send(&phone(rand::random_range(100_000..700_000))).await;
        (answer.status == 429).then_some(answer)
    })
    .await;
    not_now(&refused);
    let before = customer.purse().await;
    let rows = house.ledger().await.deliveries.len();
    for _ in 0..3 {
        not_now(&customer.send(&phone(1)).await);
    }
    assert_eq!((customer.purse().await, house.ledger().await.deliveries.len()), (before, rows));
    // The other carriers are served, and a house with one link is ready.
    customer.send("+84912345678").await.expect(202);
    node.ask_ops("/readyz").await.expect("an answer").expect(200);
    for carrier in ["vinaphone", "mobifone", "vietnamobile"] {
        node.carrier(carrier).set_link(Health::Down);
    }
    until("no link is left", async || (node.ask_ops("/readyz").await.ok()?.status == 503).then_some(())).await;
    for carrier in ["viettel", "vinaphone", "mobifone", "vietnamobile"] {
        node.carrier(carrier).set_link(Health::Up);
    }
    // No window was held meanwhile.
    until("the link is seen to be up", async || (customer.send(&phone(1)).await.status == 202).then_some(())).await;
}

/// The answer to an order, given again while it is 503: a daemon that had no processor for a second believes its key list
/// no longer and answers so until the next poll.
async fn decided(order: &Request, api: SocketAddr) -> Answer {
    until("the order is decided", async || {
        let answer = order.send(api).await.expect("an answer");
        (answer.status != 503).then_some(answer)
    })
    .await
}

async fn queue_full(engine: Engine) {
    let settings = [("simulator.rate_per_second", "2"), ("dispatch.dispatch_within_ms", "3000")];
    let house = House::with(engine, &settings).await;
    let customers = [house.customer(Purse::full()).await, house.customer(Purse::full()).await];
    let orders = (0..40).map(|n| {
        let customer = &customers[usize::from(n >= 20)];
        let (api, order) = (customer.api, customer.order(&phone(n)));
        async move { decided(&order, api).await }
    });
    let answers = join_all(orders).await;
    let mut sent = [0, 0];
    for (n, answer) in answers.iter().enumerate() {
        if answer.status == 202 {
            sent[usize::from(n >= 20)] += 1;
        } else {
            not_now(answer);
        }
    }
    // Two a second for three seconds, nine tenths of it promised, half to one account; what left made room meanwhile.
    assert!(sent.iter().all(|sent| (1..20).contains(sent)), "{sent:?}");
    for (customer, sent) in customers.iter().zip(sent) {
        assert_eq!(customer.purse().await.total(), Purse::full().total() - sent * PRICE);
        let list = customer.get("/api/v1/deliveries?limit=100").await.expect(200);
        let ids: Vec<String> = list
            .field("data")
            .as_array()
            .expect("a list")
            .iter()
            .map(|row| row["id"].as_str().expect("an id").to_owned())
            .collect();
        assert_eq!(i64::try_from(ids.len()), Ok(sent));
        for id in ids {
            assert_eq!(customer.ended(&id).await["status"], "delivered", "what is promised is kept");
        }
    }
    house.finish().await;
}

async fn refused(house: House) {
    let customer = house.customer(Purse { free: 1_000, bonus: 1_000, cash: 40_000 }).await;
    for (to, tries) in [(forced(0, 7), 2), (forced(0, 19), 2), ("+84901000007".to_owned(), 1)] {
        for _ in 0..3 {
            let before = house.witnessed().all().len();
            let answer = customer.send(&to).await.expect(502);
            assert_eq!(answer.error(), "no_route");
            assert_eq!(house.witnessed().all().len() - before, tries);
            let delivery = customer.delivery(&answer.string("id")).await;
            assert_eq!(
                (&delivery["status"], &delivery["error_code"], &delivery["refunded"]),
                (&json!("failed"), &json!("no_route"), &json!(true))
            );
            assert_eq!(customer.purse().await, Purse { free: 1_000, bonus: 1_000, cash: 40_000 });
        }
    }
    // After a fallback that went through, the window stands.
    let id = customer.send(&forced(0, 6)).await.expect(202).string("id");
    let ended = customer.ended(&id).await;
    assert_eq!((&ended["status"], &ended["channel"]), (&json!("delivered"), &json!("sms")), "the channel that it took");
    assert_eq!(customer.send(&forced(0, 6)).await.expect(429).error(), "rate_limited");
}

async fn too_late(engine: Engine) {
    let settings = [
        ("simulator.in_flight_max", "1"),
        ("send.ack_wait_ms", "2500"),
        ("dispatch.dispatch_within_ms", "800"),
        ("dispatch.attempt_timeout_ms", "4000"),
    ];
    let house = House::with(engine, &settings).await;
    let customer = house.customer(Purse::full()).await;
    let node = house.node();
    node.carrier("viettel").set_hanging(true);
    let first = phone(1);
    let (hanging, late) = tokio::join!(customer.send(&first), async {
        until("the first one holds the link", async || (!house.witnessed().all().is_empty()).then_some(())).await;
        customer.send(&phone(2)).await
    });
    // Undecided: the carrier may have it.
    hanging.expect(202);
    let late = late.expect(502);
    assert_eq!(late.error(), "no_route");
    assert_eq!(customer.delivery(&late.string("id")).await["refunded"], true);
    assert_eq!(customer.purse().await.total(), Purse::full().total() - PRICE);
    assert_eq!(house.witnessed().taken(&phone(2)), 0);
    // Once the link is free the phone is too.
    node.carrier("viettel").set_hanging(false);
    until("the link takes work again", async || {
        let answer = customer.send(&phone(2)).await;
        assert!(answer.status == 202 || answer.error() == "no_route", "{answer:?}");
        (answer.status == 202).then_some(())
    })
    .await;
    house.finish().await;
}
