//! What must be true of a server before a daemon works on it, and of what its role may do there.
//!
//! All of it is read, nothing is tried: a role that may do what it must needs no more.

use std::fmt::Write as _;

use deadpool_postgres::Pool;
use tokio_postgres::SimpleQueryMessage;

use super::failure::translate;
use super::lease::lease as connect;
use crate::store::error::StoreError;

/// What the statements of this build do to each table: the privileges that a role must have on it. Locking a row is an UPDATE.
const PRIVILEGES: [(&str, &[&str]); 24] = [
    ("accounts", &["SELECT", "INSERT", "UPDATE"]),
    ("api_keys", &["SELECT", "INSERT", "UPDATE"]),
    ("attempts", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("audit", &["SELECT", "INSERT"]),
    ("auth_epoch", &["SELECT", "UPDATE"]),
    ("batches", &["SELECT", "INSERT", "DELETE"]),
    ("cooldown_windows", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("deliveries", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("house_clock", &["SELECT", "UPDATE"]),
    ("idempotency_keys", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("keyring", &["SELECT", "INSERT"]),
    ("learned_carriers", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("link_pauses", &["SELECT", "INSERT", "DELETE"]),
    ("movements", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("parked_receipts", &["SELECT", "INSERT", "DELETE"]),
    ("pollers", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("polls", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("schema_migrations", &["SELECT"]),
    ("sweeper", &["SELECT", "UPDATE"]),
    ("wallets", &["SELECT", "INSERT", "UPDATE"]),
    ("webhook_attempts", &["SELECT", "INSERT", "DELETE"]),
    ("webhook_endpoints", &["SELECT", "INSERT", "UPDATE"]),
    ("webhook_outbox", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("webhook_results", &["SELECT", "INSERT", "DELETE"]),
];

/// Refuses a server that may lose what it has acknowledged, and a database that cannot hold every text.
pub(super) async fn check_server(pool: &Pool) -> Result<(), StoreError> {
    let lease = connect(pool).await?;
    // A second session beside the first: a pooler that shares backends may give it the first one's.
    let beside = connect(pool).await?;
    let asked = "SELECT current_setting('fsync'), current_setting('synchronous_commit'), \
                 current_setting('full_page_writes'), current_setting('server_encoding'), current_database()";
    let answer = lease.object().simple_query(asked).await.map_err(|error| translate(&error))?;
    let row = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let row = row.ok_or_else(|| StoreError::Internal("the server's settings gave no row".into()))?;
    let setting = |at: usize| row.get(at).unwrap_or_default();
    for (at, name) in ["fsync", "synchronous_commit", "full_page_writes"].into_iter().enumerate() {
        if setting(at) == "off" {
            return Err(StoreError::Unfit(format!(
                "the Postgres server has {name} = off: it would lose charges that were acknowledged"
            )));
        }
    }
    if setting(3) != "UTF8" {
        return Err(StoreError::Unfit(format!(
            "the database {} is encoded in {}, which cannot hold every text that customers send: make one in UTF8 \
             (createdb --encoding=UTF8 --template=template0)",
            setting(4),
            setting(3)
        )));
    }
    beside.keep();
    lease.keep();
    Ok(())
}

/// Refuses a role that may not do on some table what the statements of this build do, and names all that is missing.
pub(super) async fn check_privileges(pool: &Pool) -> Result<(), StoreError> {
    // A grant on columns is a grant; of DELETE there is none. A table that the role cannot even see lacks everything.
    const MISSING: &str = "SELECT n.tab, n.privilege, current_user::text FROM UNNEST($1::text[], $2::text[]) WITH ORDINALITY \
         AS n(tab, privilege, at) WHERE NOT COALESCE(CASE n.privilege \
         WHEN 'DELETE' THEN has_table_privilege(to_regclass(n.tab), n.privilege) \
         ELSE has_any_column_privilege(to_regclass(n.tab), n.privilege) END, false) ORDER BY n.at";
    let needed =
        PRIVILEGES.iter().flat_map(|(table, privileges)| privileges.iter().map(|privilege| (*table, *privilege)));
    let (tables, privileges): (Vec<&str>, Vec<&str>) = needed.unzip();
    let lease = connect(pool).await?;
    let missing = lease.object().query(MISSING, &[&tables, &privileges]).await.map_err(|error| translate(&error))?;
    lease.keep();
    let Some(first) = missing.first() else { return Ok(()) };
    let mut said = format!("the role {} lacks privileges:", first.get::<_, &str>(2));
    let mut table = "";
    for row in &missing {
        let (next, privilege) = (row.get::<_, &str>(0), row.get::<_, &str>(1));
        let separator = if table == next {
            ", "
        } else if table.is_empty() {
            " "
        } else {
            "; "
        };
        let _infallible = if table == next {
            write!(said, "{separator}{privilege}")
        } else {
            write!(said, "{separator}{next} {privilege}")
        };
        table = next;
    }
    said.push_str(" (GRANT them, and USAGE on the schema)");
    Err(StoreError::Unfit(said))
}

#[cfg(test)]
mod tests;
