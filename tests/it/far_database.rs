//! A database far away: what is waited for is counted in round trips, because each of them costs the distance twice.

use std::time::Duration;

use nexo_route::records::keys;
use nexo_route::store::Store;

use crate::house::customer::{Purse, phone};
use crate::house::database::{Database, Engine};
use crate::house::proxy::ChaosProxy;
use crate::house::{House, open_as_a_daemon_does, until};

/// A store over a wire that is long enough for answers not to overtake questions.
async fn far_away() -> (Database, Store, ChaosProxy) {
    let database = Database::fresh(Engine::Postgres).await.expect("a database");
    open_as_a_daemon_does(&database).await.close();
    let (proxy, url) = ChaosProxy::before_postgres(&database.url).await.expect("a proxy");
    let store = Store::open(&url, 1).await.expect("opens");
    proxy.lengthen(Duration::from_millis(5));
    (database, store, proxy)
}

#[tokio::test]
async fn a_poll_of_the_key_list_is_one_round_trip_changed_or_not() {
    let (database, store, proxy) = far_away().await;
    let poll = async |known: i64| {
        let before = proxy.round_trips();
        let (version, keys) = store.read(move |tx| Box::pin(keys::changes(tx, known))).await.expect("reads");
        (proxy.round_trips() - before, version, keys.is_some())
    };
    let (_connects_and_prepares, version, _) = poll(i64::MIN).await;
    for _ in 0..3 {
        assert_eq!(poll(version).await, (1, version, false));
        assert_eq!(poll(version - 1).await, (1, version, true), "a list that has changed comes in the same answer");
    }
    store.close();
    database.remove().await.expect("goes");
}

#[tokio::test]
async fn a_connection_is_ready_within_its_time_at_a_tenth_of_a_second_each_way() {
    let (database, store, proxy) = far_away().await;
    store.ping().await.expect("answers");
    // The start, the password, which server it is, whether the session is ours; a clock prepared and read. SCRAM, the TCP
    // handshake and TLS add four: with 0.2 s each, all of it has to fit into 2.5 s.
    let first = proxy.round_trips();
    assert!(first <= 6, "{first} round trips");
    store.ping().await.expect("answers");
    assert_eq!(proxy.round_trips(), first + 1, "a connection that is there costs the question only");
    store.close();
    database.remove().await.expect("goes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_a_tenth_of_a_second_away_each_way_serves() {
    let house = House::empty(Engine::Postgres).await;
    let (proxy, url) = house.proxy().await;
    proxy.lengthen(Duration::from_millis(100));
    let node = house.add(&[("store.url", url.as_str()), ("keys.poll_ms", "250")]).await;
    until("it is ready", async || (node.ask_ops("/readyz").await.ok()?.status == 200).then_some(())).await;
    let customer = house.customer(Purse::full()).await;
    for number in 0..4 {
        let answers = (0..10).map(|n| customer.order(&phone(number * 10 + n)));
        for answer in customer.volley(answers).await {
            answer.expect(202);
        }
    }
    let ready =
        until("it is ready still", async || node.ask_ops("/readyz").await.ok().filter(|answer| answer.status == 200))
            .await;
    let said = ready.field("database_round_trip_ms").as_f64().expect("a number");
    let metric = node.metric("nexo_database_round_trip_seconds").await;
    assert!(said >= 200.0 && metric >= 0.2, "a wire is never shorter than it is: {said} ms, {metric} s");
    house.finish().await;
}
