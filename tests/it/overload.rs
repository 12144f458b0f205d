//! More than the house can take: shed at once and clearly, before any money moves, and normal again afterwards.

use futures_util::future::join_all;

use crate::both_engines;
use crate::house::client::Answer;
use crate::house::customer::{PRICE, Purse, phone};
use crate::house::database::Engine;
use crate::house::proxy::Wire;
use crate::house::{House, until};

both_engines! {
    async fn one_account_cannot_fill_the_house(engine: Engine) { one_account(engine).await }
}

fn shed(answer: &Answer) {
    assert_eq!((answer.status, answer.error().as_str()), (503, "overloaded"), "{answer:?}");
    assert_eq!(answer.header("retry-after"), Some("1"));
}

async fn one_account(engine: Engine) {
    let settings = [
        ("admission.in_flight_max", "5"),
        ("admission.in_flight_per_account_max", "3"),
        ("admission.commits_max", "5"),
        ("send.ack_wait_ms", "3000"),
        ("dispatch.attempt_timeout_ms", "3500"),
    ];
    let house = House::with(engine, &settings).await;
    let (greedy, other) = (house.customer(Purse::full()).await, house.customer(Purse::full()).await);
    let node = house.node();
    node.carrier("viettel").set_hanging(true);
    let held = until("three orders are held", async || (node.running.admission.in_flight_now() == 3).then_some(()));
    let orders: Vec<_> = (0..3).map(phone).collect();
    let (answers, (refused, admitted)) = tokio::join!(join_all(orders.iter().map(|to| greedy.send(to))), async {
        held.await;
        let refused = greedy.send(&phone(3)).await;
        node.carrier("viettel").set_hanging(false);
        (refused, other.send(&phone(4)).await)
    });
    shed(&refused);
    admitted.expect(202);
    for answer in answers {
        answer.expect(202);
    }
    assert_eq!(greedy.purse().await.total(), Purse::full().total() - 3 * PRICE);
    greedy.send(&phone(3)).await.expect(202);
    house.finish().await;
}

/// The database stands still: a few orders wait for their commit, a few for a permit, the others are shed at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_database_sheds_before_money_moves() {
    let house = House::empty(Engine::Postgres).await;
    let (proxy, url) = house.proxy().await;
    let settings = [
        ("store.url", url.as_str()),
        ("admission.commits_max", "4"),
        ("admission.commit_waiters_max", "4"),
        ("admission.commit_wait_ms", "50"),
        ("send.ack_wait_ms", "1000"),
    ];
    let node = house.add(&settings).await;
    let customer = house.customer(Purse::full()).await;
    let mut round = 0;
    until("orders are shed", async || {
        round += 1;
        until("the house is ready", async || (node.ask_ops("/readyz").await.ok()?.status == 200).then_some(())).await;
        proxy.set(Wire::Frozen);
        let answers = customer.volley((0..40).map(|n| customer.order(&phone(round * 100 + n)))).await;
        proxy.set(Wire::Whole);
        for answer in &answers {
            // On a slow machine the key list gets too old first: then nobody is let in at all.
            assert_eq!(answer.status, 503, "{answer:?}");
            assert!(["overloaded", "unavailable"].contains(&answer.error().as_str()), "{answer:?}");
        }
        let shed = answers.iter().filter(|answer| answer.error() == "overloaded").count();
        (shed > 0).then_some(())
    })
    .await;
    // Nothing that was refused is paid: what was charged meanwhile comes back.
    until("the wallet is whole", async || {
        let answer = customer.get("/api/v1/balance").await;
        let whole = answer.status == 200 && customer.purse().await == Purse::full();
        whole.then_some(())
    })
    .await;
    assert_eq!(house.witnessed().all().len(), 0);
    until("codes are sent again", async || (customer.send(&phone(1)).await.status == 202).then_some(())).await;
    house.finish().await;
}
