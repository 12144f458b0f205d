//! A role that may do what it must and no more, and one that may not.

use nexo_route::store::{Statement, Store, StoreError};

use crate::commands::Desk;
use crate::house::customer::{Customer, Purse, phone};
use crate::house::database::{Database, Engine, administer, cluster};
use crate::house::{Fixture as _, House, open_as_a_daemon_does};

/// A role of the cluster that may log in and nothing else.
pub struct Role(String);

impl Role {
    pub fn name(&self) -> &str {
        &self.0
    }

    pub async fn fresh() -> Self {
        let name = format!("it_role_{:016x}", rand::random::<u64>());
        administer(&format!("CREATE ROLE {name} LOGIN PASSWORD 'least'")).await.expect("made");
        Self(name)
    }

    /// The address of a database, for this role.
    pub fn at(&self, url: &str) -> String {
        format!("postgres://{}:least@{}", self.0, url.rsplit_once('@').expect("a user").1)
    }

    async fn goes(self, url: &str) {
        run(url, &format!("DROP OWNED BY {}", self.0)).await;
        administer(&format!("DROP ROLE {}", self.0)).await.expect("goes");
    }
}

/// Runs a statement in a database, as its owner.
pub async fn run(url: &str, statement: &str) {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("connects");
    let (outcome, _) = tokio::join!(
        async move {
            let outcome = client.batch_execute(statement).await;
            drop(client);
            outcome
        },
        connection
    );
    outcome.unwrap_or_else(|error| panic!("{statement}: {error}"));
}

/// What a daemon needs and no more.
pub fn grants(role: &Role) -> String {
    let Role(name) = role;
    format!(
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC; GRANT USAGE ON SCHEMA public TO {name}; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {name}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_and_dml_on_a_current_schema_are_enough() {
    let house = House::empty(Engine::Postgres).await;
    let role = Role::fresh().await;
    let url = house.url().to_owned();
    house.store().await.migrate().await.expect("migrates");
    run(&url, &grants(&role)).await;
    let least = role.at(&url);
    let node = house.add(&[("store.url", least.as_str())]).await;
    let customer = Customer::create(house.store().await, node.api, Purse::full(), &[]).await;
    customer.known_at(node.api).await;
    let sent = customer.send(&phone(1)).await.expect(202);
    assert_eq!(customer.ended(&sent.string("id")).await["status"], "delivered");
    let store = Store::open(&least, 1).await.expect("opens");
    assert_eq!(store.migrate().await, Ok(vec![]));
    store.close();
    house.finish().await;
    // The database may be there still: a cluster that is thrown away drops none.
    drop(role);
}

#[tokio::test]
async fn a_privilege_that_is_missing_on_any_table_is_named_at_start() {
    static TABLES: Statement = Statement::new(
        "test.tables",
        &[],
        &[],
        "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1",
    );
    let database = Database::fresh(Engine::Postgres).await.expect("a database");
    let owner = open_as_a_daemon_does(&database).await;
    let role = Role::fresh().await;
    run(&database.url, &grants(&role)).await;
    let store = Store::open(&role.at(&database.url), 1).await.expect("opens");
    assert_eq!(store.check_privileges().await, Ok(()));

    let tables = owner.read(|tx| Box::pin(async move { tx.query(&TABLES, &[], &[]).await })).await.expect("reads");
    let tables: Vec<String> = tables.iter().map(|row| row.text(0).expect("a name")).collect();
    assert!(tables.len() > 20, "{tables:?}");
    for table in tables {
        run(&database.url, &format!("REVOKE ALL ON {table} FROM {}", role.0)).await;
        let refused = store.check_privileges().await.expect_err("something is missing");
        let StoreError::Unfit(why) = refused else { panic!("{table}: {refused:?}") };
        assert!(why.contains(&format!(": {table} SELECT")) && why.contains(&role.0), "{table}: {why}");
        run(&database.url, &grants(&role)).await;
    }
    // Two of them, each with what is missing; a grant on columns is one.
    run(
        &database.url,
        &format!(
            "REVOKE UPDATE ON wallets FROM {0}; REVOKE INSERT, DELETE ON deliveries FROM {0}; \
             REVOKE SELECT ON keyring FROM {0}; GRANT SELECT (fingerprint, key_id, purpose) ON keyring TO {0}",
            role.0
        ),
    )
    .await;
    let refused = store.check_privileges().await.expect_err("something is missing").to_string();
    assert!(refused.contains(": deliveries INSERT, DELETE; wallets UPDATE ("), "{refused}");
    store.close();
    owner.close();
    role.goes(&database.url).await;
    database.remove().await.expect("goes");
}

#[tokio::test]
async fn a_role_that_may_not_is_told_what_it_lacks() {
    Desk::lend(Engine::Postgres, async |desk: Desk| {
        let role = Role::fresh().await;
        let mut url = String::new();
        desk.ask("secrets create");
        desk.readdress(|owner| {
            url = owner.to_owned();
            role.at(owner)
        });
        for command in ["serve --port 0", "migrate"] {
            let said = desk.refused(command, 64);
            assert!(said.contains("the schema is to be made") && said.contains("42501"), "{command}: {said}");
        }
        desk.readdress(|_| url.clone());
        desk.ask("migrate");
        run(&url, &grants(&role)).await;
        run(&url, &format!("REVOKE INSERT ON movements FROM {}", role.0)).await;
        desk.readdress(|owner| role.at(owner));
        assert_eq!(desk.ask("migrate")["applied"], serde_json::json!([]), "there is nothing to do");
        let said = desk.refused("serve --port 0", 64);
        assert!(said.contains("store.url") && said.contains("movements INSERT"), "{said}");

        run(&url, "DELETE FROM schema_migrations WHERE version = 4").await;
        for command in ["serve --port 0", "migrate"] {
            let said = desk.refused(command, 64);
            assert!(said.contains("migration 4 (references)") && said.contains("CREATE"), "{command}: {said}");
        }
        role.goes(&url).await;
    })
    .await;
}

#[tokio::test]
async fn a_database_that_cannot_hold_every_text_is_refused() {
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let name = format!("it_{}_{:08x}", encoding.to_lowercase(), rand::random::<u32>());
        administer(&format!("CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LOCALE 'C'"))
            .await
            .expect("made");
        Desk::lend(Engine::Postgres, async |desk: Desk| {
            desk.ask("secrets create");
            let server = cluster().expect("a cluster").rsplit_once('/').expect("a database").0;
            desk.readdress(|_| format!("{server}/{name}"));
            for command in ["serve --port 0", "migrate"] {
                let said = desk.refused(command, 64);
                assert!(said.contains(encoding) && said.contains("UTF8"), "{command}: {said}");
            }
        })
        .await;
        administer(&format!("DROP DATABASE {name} WITH (FORCE)")).await.expect("goes");
    }
}
