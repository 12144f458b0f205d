//! Daemons that are killed while they tell webhooks, and two that tell at once: nothing is told twice, nothing disappears.

use std::collections::BTreeSet;

use nexo_route::domain::webhook::{AttemptState, Cause, Outcome};
use nexo_route::records::attempts::ListedAttempt;

use crate::both_engines;
use crate::crash_recovery::SHORT;
use crate::house::customer::{Customer, Purse, phone, volley};
use crate::house::database::Engine;
use crate::house::receiver::{Manner, Receiver};
use crate::house::{House, until};
use crate::webhooks::{LOOPBACK, attempts, endpoint};

both_engines! {
    async fn a_killed_daemon_tells_nothing_twice_and_loses_nothing(engine: Engine) { killed(engine).await }
}

const SENT: i64 = 0;

/// The customer's attempts, once every one of `sent` has ended and was attempted.
async fn all_attempted(house: &House, customer: &Customer, sent: usize) -> Vec<ListedAttempt> {
    until("everything is settled", async || (house.ledger().await.with_status(SENT) == 0).then_some(())).await;
    until("every event was attempted", async || {
        Some(attempts(house, customer).await).filter(|attempts| attempts.len() >= sent)
    })
    .await
}

/// Each event was attempted once, and what the receiver has and what the attempts say agree.
fn agree(attempts: &[ListedAttempt], receiver: &Receiver, sent: usize) {
    let events: BTreeSet<String> = attempts.iter().map(|attempt| attempt.delivery.to_string()).collect();
    assert_eq!((events.len(), attempts.len()), (sent, sent), "each event has one attempt");
    assert!(attempts.iter().all(|attempt| attempt.cause == Cause::Event));
    let got = receiver.got();
    let told: BTreeSet<String> = got.iter().map(|got| got.header("X-NEXO-Delivery-Id").to_owned()).collect();
    assert_eq!(told.len(), got.len(), "nothing is told twice");
    assert!(told.is_subset(&events));
    for attempt in attempts {
        let is_told = told.contains(&attempt.delivery.to_string());
        match attempt.state {
            AttemptState::Ended(Outcome::Accepted) => assert!(is_told, "{attempt:?}"),
            // The node ended before it could say: the receiver may have it or not.
            AttemptState::Sending | AttemptState::Unknown => {}
            AttemptState::Ended(_) | AttemptState::Expired => panic!("{attempt:?}"),
        }
    }
}

async fn killed(engine: Engine) {
    let settings = [LOOPBACK.as_slice(), &SHORT].concat();
    let house = House::with(engine, &settings).await;
    let mut customer = house.customer(Purse::full()).await;
    let receiver = Receiver::start(Manner::Status(200)).await;
    endpoint(&house, &customer, &receiver, "").await;
    let mut sent = 0;
    for (round, after) in (0..).zip([1, 4, 9, 16]) {
        let node = house.node();
        customer = customer.at(node.api);
        customer.known_at(node.api).await;
        let told = receiver.got().len();
        let answers = customer.volley((0..24).map(|n| customer.order(&phone(round * 100 + n)))).await;
        sent += answers.iter().filter(|answer| answer.status == 202).count();
        receiver.received(told + after).await;
        node.kill();
        house.add(&settings).await;
    }
    assert_eq!(sent, 4 * 24);
    let attempts = all_attempted(&house, &customer, sent).await;
    // What the last daemon has claimed is told.
    until("nothing is under way", async || (house.node().metric("nexo_webhook_posts").await < 0.5).then_some(())).await;
    agree(&attempts, &receiver, sent);
    house.finish().await;
}

/// Either daemon finds by its poll what the other one settles and claims at the same time; then one of them is gone.
#[tokio::test(flavor = "multi_thread")]
async fn two_daemons_tell_each_end_once() {
    let settings = [LOOPBACK.as_slice(), &SHORT, &[("webhooks.poll_ms", "10")]].concat();
    let house = House::empty(Engine::Postgres).await;
    let (one, other) = tokio::join!(house.add(&settings), house.add(&settings));
    let customer = house.customer(Purse::full()).await;
    let receiver = Receiver::start(Manner::Status(200)).await;
    endpoint(&house, &customer, &receiver, "").await;
    let orders = (0..90_u32).map(|n| {
        let node = if n % 2 == 0 { &one } else { &other };
        (node.api, customer.order(&phone(n)))
    });
    let answers = volley(orders).await;
    let sent = answers.iter().filter(|answer| answer.status == 202).count();
    assert_eq!(sent, 90);
    receiver.received(10).await;
    one.kill();
    let attempts = all_attempted(&house, &customer, sent).await;
    until("nothing is under way", async || (other.metric("nexo_webhook_posts").await < 0.5).then_some(())).await;
    agree(&attempts, &receiver, sent);
    house.finish().await;
}
