//! A daemon that is asked to stop: red for the load balancer first, then every request is answered, then it is gone.

use tokio::net::TcpStream;

use crate::both_engines;
use crate::house::customer::{PRICE, Purse, phone};
use crate::house::database::Engine;
use crate::house::{House, until};

both_engines! {
    async fn what_is_in_flight_is_answered(engine: Engine) { in_flight(engine).await }
    async fn what_cannot_leave_any_more_is_refunded(engine: Engine) { refunded(engine).await }
}

async fn in_flight(engine: Engine) {
    let settings = [("stop.notice_ms", "700"), ("simulator.rate_per_second", "10"), ("simulator.receipt_ms", "100")];
    let house = House::with(engine, &settings).await;
    let customer = house.customer(Purse::full()).await;
    let node = house.node();
    let orders = (0..15).map(|n| customer.order(&phone(n)));
    let (answers, during) = tokio::join!(customer.volley(orders), async {
        until("all are in flight", async || (node.running.dispatch.slots_taken() >= 5).then_some(())).await;
        let (stopped, during) = tokio::join!(node.stop(), async {
            let red = until("readiness is red", async || {
                node.ask_ops("/readyz").await.ok().filter(|answer| answer.status == 503)
            })
            .await;
            assert_eq!((red.field("stopping"), red.field("database")), (true.into(), true.into()));
            // Load balancers have not noticed yet: it still serves.
            customer.get("/api/v1/balance").await
        });
        stopped.expect("stops gracefully");
        during
    });
    during.expect(200);
    for answer in &answers {
        assert_eq!(answer.status, 202, "{answer:?}");
    }
    for gone in [node.api, node.ops] {
        assert!(TcpStream::connect(gone).await.is_err(), "{gone} still listens");
    }
    assert_eq!(house.witnessed().all().len(), 15);
    // The next one knows all of it.
    let next = house.add(&[]).await;
    let customer = customer.at(next.api);
    customer.known_at(next.api).await;
    assert_eq!(customer.purse().await.total(), Purse::full().total() - 15 * PRICE);
    for answer in &answers {
        assert_eq!(customer.delivery(&answer.string("id")).await["refunded"], false);
    }
    house.finish().await;
}

/// One a second leaves, and the grace time is shorter than the queue: what stays behind is failed and refunded.
async fn refunded(engine: Engine) {
    let settings = [
        ("stop.grace_ms", "4000"),
        ("simulator.rate_per_second", "1"),
        ("dispatch.dispatch_within_ms", "20000"),
        ("send.ack_wait_ms", "200"),
    ];
    let house = House::with(engine, &settings).await;
    let customer = house.customer(Purse::full()).await;
    let node = house.node();
    // Of a carrier with one channel: two channels would share the rate.
    let answers = customer.volley((0..9).map(|n| customer.order(&format!("+8490{:07}", 2_100_000 + n)))).await;
    for answer in answers {
        answer.expect(202);
    }
    node.stop().await.expect("stops gracefully");
    let left = house.witnessed().all().len();
    assert!(left < 9, "all of them left");
    let ledger = house.ledger().await;
    assert_eq!(ledger.with_status(2), 9 - left, "what did not leave is refunded");
    assert_eq!(ledger.with_status(0) + ledger.with_status(1), left);
    house.finish().await;
}
