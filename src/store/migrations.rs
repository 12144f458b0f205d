//! The schema, in numbered steps, two files per step: DDL is the one thing written per engine.
//!
//! Steps only add, so that the previous version of the daemon still runs while nodes are replaced one by one.

use super::Store;
use super::error::StoreError;
use super::statement::{Scalar, Statement, Type};
use super::tx::Inner;

struct Migration {
    version: i64,
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "core",
        sqlite: include_str!("migrations/sqlite/0001_core.sql"),
        postgres: include_str!("migrations/postgres/0001_core.sql"),
    },
    Migration {
        version: 2,
        name: "webhooks",
        sqlite: include_str!("migrations/sqlite/0002_webhooks.sql"),
        postgres: include_str!("migrations/postgres/0002_webhooks.sql"),
    },
    Migration {
        version: 3,
        name: "carriers",
        sqlite: include_str!("migrations/sqlite/0003_carriers.sql"),
        postgres: include_str!("migrations/postgres/0003_carriers.sql"),
    },
    Migration {
        version: 4,
        name: "references",
        sqlite: include_str!("migrations/sqlite/0004_references.sql"),
        postgres: include_str!("migrations/postgres/0004_references.sql"),
    },
    Migration {
        version: 5,
        name: "house_clock",
        sqlite: include_str!("migrations/sqlite/0005_house_clock.sql"),
        postgres: include_str!("migrations/postgres/0005_house_clock.sql"),
    },
    Migration {
        version: 6,
        name: "polls",
        sqlite: include_str!("migrations/sqlite/0006_polls.sql"),
        postgres: include_str!("migrations/postgres/0006_polls.sql"),
    },
];

const LEDGER_OF_STEPS: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (version BIGINT PRIMARY KEY, name TEXT NOT \
     NULL, applied_us BIGINT NOT NULL)";

static CLAIM: Statement = Statement::new(
    "schema_migrations.claim",
    &[],
    &[Type::I64, Type::Text],
    "INSERT INTO schema_migrations (version, name, applied_us) SELECT $1, $2, {now_us} WHERE true \
     ON CONFLICT (version) DO NOTHING",
);

static APPLIED: Statement =
    Statement::new("schema_migrations.applied", &[], &[], "SELECT version FROM schema_migrations ORDER BY version");

pub(super) async fn migrate(store: &Store) -> Result<Vec<i64>, StoreError> {
    // Looked at before anything is made: a role that may not make tables runs on a schema that another has made.
    let known = versions(store).await?;
    // Two nodes that start together may both try to make the table; the loser's second try finds it.
    if known.is_none() && make_ledger(store).await.is_err() {
        make_ledger(store).await.map_err(|error| name(error, "the schema is to be made"))?;
    }
    let known = known.unwrap_or_default();
    let mut applied = Vec::new();
    for migration in MIGRATIONS.iter().filter(|migration| !known.contains(&migration.version)) {
        let to_do = || format!("migration {} ({}) is to be applied", migration.version, migration.name);
        if apply(store, migration).await.map_err(|error| name(error, &to_do()))? {
            applied.push(migration.version);
        }
    }
    Ok(applied)
}

/// Says what could not be done for want of a privilege, and what to do about it.
fn name(error: StoreError, to_do: &str) -> StoreError {
    match error {
        StoreError::Unfit(why) => StoreError::Unfit(format!(
            "{to_do}, and its role may not: {why}. Run `nexo-route migrate` once as a role that may CREATE in the schema and \
             owns the tables, and GRANT the other USAGE on it and SELECT, INSERT, UPDATE, DELETE on its tables"
        )),
        error => error,
    }
}

async fn make_ledger(store: &Store) -> Result<(), StoreError> {
    store.write(|tx| Box::pin(async move { tx.run_ddl(LEDGER_OF_STEPS).await })).await
}

/// The row is claimed first: a second node waits for the first one's commit and then finds nothing to do.
async fn apply(store: &Store, migration: &'static Migration) -> Result<bool, StoreError> {
    store
        .write(move |tx| {
            Box::pin(async move {
                let row = [Scalar::I64(migration.version), Scalar::Text(migration.name)];
                if tx.execute(&CLAIM, &[], &row).await? == 0 {
                    return Ok(false);
                }
                let ddl = match tx.0 {
                    Inner::Sqlite(_) => migration.sqlite,
                    Inner::Postgres(_) => migration.postgres,
                };
                tx.run_ddl(ddl).await?;
                Ok(true)
            })
        })
        .await
}

pub(super) async fn current(store: &Store) -> Result<bool, StoreError> {
    let known = versions(store).await?.unwrap_or_default();
    Ok(MIGRATIONS.iter().all(|migration| known.contains(&migration.version)))
}

/// The versions that are applied; `None` before the first migration, when there is no table to read.
async fn versions(store: &Store) -> Result<Option<Vec<i64>>, StoreError> {
    let applied = store.read(|tx| Box::pin(async move { tx.query(&APPLIED, &[], &[]).await })).await;
    match applied {
        Ok(rows) => rows.iter().map(|row| row.i64(0)).collect::<Result<_, _>>().map(Some),
        Err(StoreError::Internal(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::EngineKind;

    #[test]
    fn versions_count_up() {
        let versions: Vec<i64> = MIGRATIONS.iter().map(|m| m.version).collect();
        assert!(versions.is_sorted() && versions.first() == Some(&1), "{versions:?}");
    }

    #[tokio::test]
    async fn migrating_twice_changes_nothing() {
        let dir = std::env::temp_dir().join(format!("nexo-migrate-{}", std::process::id()));
        let store = Store::open(&format!("sqlite:{}/t.db", dir.display()), 1).await.expect("opens");
        assert_eq!(store.kind(), EngineKind::Sqlite);
        assert_eq!(store.schema_current().await, Ok(false));
        assert_eq!(store.migrate().await, Ok(MIGRATIONS.iter().map(|m| m.version).collect()));
        assert_eq!(store.migrate().await, Ok(vec![]));
        assert_eq!(store.schema_current().await, Ok(true));
        assert!(store.ping().await.is_ok_and(|now| now.micros() > 1_700_000_000_000_000));
        std::fs::remove_dir_all(dir).expect("removes");
    }
}
