//! A connection pooler in the place of the database: it is recognised on every new connection, and refused in a sentence.

use nexo_route::store::{Store, StoreError};

use crate::commands::Desk;
use crate::house::customer::{Purse, phone};
use crate::house::database::{Database, Engine, administer};
use crate::house::pgbouncer::{PgBouncer, is_installed};
use crate::house::proxy::Wire;
use crate::house::shared_backend::SharedBackend;
use crate::house::whole::logs;
use crate::house::{Fixture as _, House, open_as_a_daemon_does, until};

/// Debian's default refuses the settings of a session; what operators then write makes it drop them.
const DROPS: &str = "ignore_startup_parameters = options,extra_float_digits";

#[tokio::test]
async fn a_pooler_that_keeps_no_session_ends_a_start_with_its_reason() {
    if !is_installed() {
        return;
    }
    let poolers: [&[&str]; 4] = [
        &["pool_mode = transaction", DROPS],
        &["pool_mode = statement", DROPS],
        &["pool_mode = session", DROPS],
        &["pool_mode = transaction"],
    ];
    for settings in poolers {
        let pooler = PgBouncer::start(settings).await;
        Desk::lend(Engine::Postgres, async |desk: Desk| {
            desk.ask("migrate");
            desk.ask("secrets create");
            desk.readdress(|url| pooler.through(url));
            for command in ["serve --port 0", "migrate", "account list", "verify"] {
                let said = desk.refused(command, 64);
                assert!(said.contains("store.url") && said.contains("PgBouncer"), "{settings:?}: {command}: {said}");
            }
        })
        .await;
    }
}

/// A pooler may give the sessions that it opens settings of its own: that they hold says nothing.
#[tokio::test]
async fn settings_that_a_pooler_makes_itself_prove_nothing() {
    if !is_installed() {
        return;
    }
    let database = Database::fresh(Engine::Postgres).await.expect("a database");
    let pooler = PgBouncer::start(&["pool_mode = transaction", DROPS]).await;
    let name = database.url.rsplit('/').next().expect("a name");
    let settings = ["lock_timeout = 1000", "statement_timeout = 2000", "enable_hashjoin = off", "enable_seqscan = off"];
    for setting in settings {
        administer(&format!("ALTER DATABASE {name} SET {setting}")).await.expect("set");
    }
    let store = Store::open(&pooler.through(&database.url), 1).await.expect("opens");
    assert!(matches!(store.ping().await, Err(StoreError::Unfit(_))));
    store.close();
    database.remove().await.expect("goes");
}

/// A pooler that passes a session's settings on, and lends its backend to everybody.
#[tokio::test]
async fn a_setting_of_one_connection_is_not_seen_from_another() {
    let database = Database::fresh(Engine::Postgres).await.expect("a database");
    open_as_a_daemon_does(&database).await.close();
    let pooler = SharedBackend::before_postgres(&database.url).await;
    let store = Store::open(&pooler.url, 1).await.expect("opens");
    // Alone, a connection cannot tell a pooler from a server.
    store.ping().await.expect("answers");
    for _ in 0..3 {
        let refused = store.check_server().await.expect_err("the second connection is on the first one's backend");
        assert!(matches!(&refused, StoreError::Unfit(why) if why.contains("pooler")), "{refused:?}");
    }
    store.close();
    database.remove().await.expect("goes");
}

/// The address leads to the server at first and to a pooler later: no order is taken through it, and it mends by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_comes_later_is_refused_too() {
    if !is_installed() {
        return;
    }
    let pooler = PgBouncer::start(&["pool_mode = transaction", DROPS]).await;
    let house = House::empty(Engine::Postgres).await;
    let (proxy, url) = house.proxy().await;
    let server = proxy.leads_to();
    let node = house.add(&[("store.url", url.as_str())]).await;
    let customer = house.customer(Purse::full()).await;
    customer.send(&phone(1)).await.expect(202);

    let is_red = async || (node.ask_ops("/readyz").await.ok()?.status == 503).then_some(());
    proxy.set(Wire::Cut);
    until("every connection is gone", is_red).await;
    proxy.lead_to(pooler.address);
    proxy.set(Wire::Whole);
    until("the log says why", async || logs().contains("PgBouncer").then_some(())).await;
    until("it stays red", is_red).await;
    let rows = house.ledger().await.deliveries.len();
    for number in 2..12 {
        assert_eq!(customer.send(&phone(number)).await.expect(503).error(), "unavailable");
    }
    assert_eq!(house.ledger().await.deliveries.len(), rows, "nothing ran through it");

    proxy.lead_to(server);
    until("it is back", async || (customer.send(&phone(20)).await.status == 202).then_some(())).await;
    house.finish().await;
}
