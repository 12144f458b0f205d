//! `check-config`: everything that a start would refuse before it binds a port. It names what was set and where, never to
//! what. With `--connect` it asks the database too, and changes nothing there.

use std::path::Path;

use serde::Serialize;

use super::error::CliError;
use super::operator::open;
use super::output::Answer;
use crate::app::{self, StartError};
use crate::config::{self, Config, Database};
use crate::webhook::courier::Courier;

#[derive(Serialize)]
struct Checked {
    ok: bool,
    engine: &'static str,
    set: Vec<Setting>,
    /// Upstreams that no carrier uses.
    unused: Vec<String>,
    /// What can be meant, and often is a mistake.
    warnings: Vec<String>,
    /// Whether the database answered, if it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    connected: Option<bool>,
}

#[derive(Serialize)]
struct Setting {
    field: String,
    by: String,
}

pub(super) async fn run(config: Option<&Path>, asks_database: bool) -> Result<Answer, CliError> {
    let loaded = config::load(config)?;
    config::keyring(&loaded.config.secrets)?;
    let table = app::read_carriers(&loaded.config.carriers)?;
    Courier::new(&loaded.config.webhooks).map_err(|error| CliError::Usage(error.to_string()))?;
    let engine = loaded.config.store.url.engine().unwrap_or_default();
    let store = check_store(&loaded.config, asks_database).await?;
    let store = store.into_iter().map(|why| format!("store.url: {why}"));
    let upstreams = table.warnings().map(|(id, why)| format!("upstream.{}.{why}", id.as_str()));
    let warnings: Vec<String> = store.chain(upstreams).collect();
    let set: Vec<Setting> = loaded.overridden.into_iter().map(|(field, by)| Setting { field, by }).collect();
    let mut text = format!("the configuration holds (database: {engine})");
    for Setting { field, by } in &set {
        text.push_str(&format!("\n  {field} set by {by}"));
    }
    let unused: Vec<String> = table.unused().map(|id| id.as_str().to_owned()).collect();
    for upstream in &unused {
        text.push_str(&format!("\n  upstream.{upstream} is used by no carrier: it is not started"));
    }
    for warning in &warnings {
        text.push_str(&format!("\n  warning: {warning}"));
    }
    let connected = asks_database.then_some(true);
    if asks_database {
        text.push_str("\n  the database answers");
    }
    Ok(Answer::new(&Checked { ok: true, engine, set, unused, warnings, connected }, text))
}

/// Opens the database without a connection, which reads the certificates of its address; then asks it, if it is to be asked.
/// A SQLite file that is not there yet is not made.
async fn check_store(config: &Config, asks: bool) -> Result<Vec<&'static str>, CliError> {
    let warnings = match config.store.url.database() {
        Ok(Database::Postgres(address)) => address.warnings(),
        Ok(Database::Sqlite(path)) if asks && path.exists() => Vec::new(),
        _ => return Ok(Vec::new()),
    };
    let store = open(config).await?;
    if asks {
        store.ping().await.map_err(StartError::from)?;
        store.check_server().await.map_err(StartError::from)?;
    }
    store.close();
    Ok(warnings)
}
