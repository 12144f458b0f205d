//! Load balancers as Debian has them before two daemons: they find out who is ready, and customers notice nothing.

use std::future::Future;

use nexo_route::carrier::upstream::Health;
use serde_json::json;

use crate::house::balancer::{Balancer, Check, are_installed};
use crate::house::client::{Answer, Request};
use crate::house::customer::{Customer, Purse, phone};
use crate::house::database::Engine;
use crate::house::node::Node;
use crate::house::{House, until};

/// HAProxy 2.6's ways to ask; the first two are HTTP/1.0 without a `Host`.
const CHECKS: [Check; 5] = [
    Check { name: "get", lines: " GET /readyz", ready: 200 },
    Check { name: "as_it_is", lines: "", ready: 204 },
    Check { name: "options", lines: " OPTIONS /readyz", ready: 204 },
    Check {
        name: "head_1_1",
        lines: "\n  http-check send meth HEAD uri /readyz ver HTTP/1.1 hdr Host health",
        ready: 200,
    },
    Check {
        name: "alive",
        lines: "\n  http-check send meth OPTIONS uri /livez\n  http-check expect status 204",
        ready: 204,
    },
];

fn set_links(node: &Node, health: Health) {
    node.running.carriers.iter().for_each(|(_, carrier)| carrier.set_link(health));
}

async fn balance(customer: &Customer) -> Answer {
    customer.get("/api/v1/balance").await
}

/// Asks through the load balancer until `event` has come to pass; every answer must be good.
async fn all_good_during<T>(customer: &Customer, event: impl Future<Output = T>) -> T {
    let mut event = std::pin::pin!(event);
    loop {
        tokio::select! {
            biased;
            came = event.as_mut() => return came,
            answer = balance(customer) => { answer.expect(200); }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_sends_to_nodes_that_are_ready_and_to_no_other() {
    if !are_installed() {
        return;
    }
    let house = House::with(Engine::Postgres, &[("stop.notice_ms", "3000")]).await;
    let (first, second) = (house.node(), house.add(&[]).await);
    let customer = house.customer(Purse::full()).await;
    let haproxy = Balancer::haproxy(&[&*first, &*second], &CHECKS).await;
    let through = customer.at(haproxy.front);
    for server in ["n0", "n1"] {
        let seen = haproxy.sees(server, true).await;
        let said: Vec<&str> = seen.iter().map(|seen| seen.said.as_str()).collect();
        assert_eq!(said, CHECKS.map(|check| format!("L7OK {}", check.ready)), "{seen:?}");
    }
    through.send(&phone(1)).await.expect(202);
    let stranger = Request::new("POST", "/api/v1/send-otp").json(&json!({"phone": phone(1), "code": "482917"}));
    stranger.send(haproxy.front).await.expect("answers").expect(401);

    // Alive and not ready: taken out by every check that asks for that, and back when its links are.
    set_links(&second, Health::Down);
    let readiness = |is_up: bool| {
        let haproxy = &haproxy;
        async move {
            until("it is noticed", async || {
                let seen = haproxy.seen();
                let mut of_second = seen.iter().filter(|seen| seen.server == "n1");
                of_second.all(|seen| seen.is_up == (is_up || seen.backend == "alive")).then_some(())
            })
            .await;
        }
    };
    all_good_during(&through, readiness(false)).await;
    through.send(&phone(2)).await.expect(202);
    set_links(&second, Health::Up);
    all_good_during(&through, readiness(true)).await;

    // A stop: red while it still serves.
    all_good_during(&through, first.stop()).await.expect("stops gracefully");
    haproxy.sees("n0", false).await;
    all_good_during(&through, haproxy.sees("n1", true)).await;
    through.send(&phone(3)).await.expect(202);
    house.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_goes_on_with_the_other_node_when_one_dies() {
    if !are_installed() {
        return;
    }
    let house = House::start(Engine::Postgres).await;
    let (first, second) = (house.node(), house.add(&[]).await);
    let customer = house.customer(Purse::full()).await;
    let nginx = Balancer::nginx(&[&*first, &*second]).await;
    let (plain, kept) = (customer.at(nginx.front), customer.at(nginx.side));
    // Its requests are HTTP/1.0 unless it is told otherwise.
    Request::new("GET", "/readyz").send(nginx.front).await.expect("answers").expect(200);
    set_links(&first, Health::Down);
    let ready = async || Request::new("GET", "/readyz").send(nginx.front).await.expect("answers").status;
    until("readiness is red through it", async || (ready().await == 503).then_some(())).await;
    set_links(&first, Health::Up);
    until("readiness is green through it", async || (ready().await == 200).then_some(())).await;
    for through in [&plain, &kept] {
        let stranger = Request::new("POST", "/api/v1/send-otp").json(&json!({"phone": phone(1), "code": "482917"}));
        for _ in 0..4 {
            stranger.send(through.api).await.expect("answers").expect(401);
            balance(through).await.expect(200);
        }
    }
    plain.send(&phone(1)).await.expect(202);
    kept.send(&phone(2)).await.expect(202);
    first.stop().await.expect("stops gracefully");
    for (n, through) in [&plain, &kept, &plain, &kept].into_iter().enumerate() {
        balance(through).await.expect(200);
        through.send(&phone(10 + u32::try_from(n).expect("few"))).await.expect(202);
    }
    house.finish().await;
}
