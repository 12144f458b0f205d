//! `migrate`: the schema, brought up to date. It may run beside daemons of the version before.

use std::path::Path;

use serde::Serialize;

use super::error::CliError;
use super::operator::open_any_store;
use super::output::Answer;

#[derive(Serialize)]
struct Migrated {
    ok: bool,
    applied: Vec<i64>,
}

pub(super) async fn migrate(config: Option<&Path>) -> Result<Answer, CliError> {
    let store = open_any_store(config).await?;
    store.check_server().await?;
    let applied = store.migrate().await?;
    let text = if applied.is_empty() {
        "the schema is up to date".to_owned()
    } else {
        format!("applied {}", applied.iter().map(i64::to_string).collect::<Vec<_>>().join(", "))
    };
    Ok(Answer::new(&Migrated { ok: true, applied }, text))
}
