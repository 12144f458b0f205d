//! `check-config`: everything that a start would refuse before it binds a port. It names what was set and where, never to
//! what.

use std::path::Path;

use serde::Serialize;

use super::error::CliError;
use super::output::Answer;
use crate::app;
use crate::config;
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
}

#[derive(Serialize)]
struct Setting {
    field: String,
    by: String,
}

pub(super) fn run(config: Option<&Path>) -> Result<Answer, CliError> {
    let loaded = config::load(config)?;
    config::keyring(&loaded.config.secrets)?;
    let table = app::read_carriers(&loaded.config.carriers)?;
    Courier::new(&loaded.config.webhooks).map_err(|error| CliError::Usage(error.to_string()))?;
    let engine = loaded.config.store.url.engine().unwrap_or_default();
    let set: Vec<Setting> = loaded.overridden.into_iter().map(|(field, by)| Setting { field, by }).collect();
    let mut text = format!("the configuration holds (database: {engine})");
    for Setting { field, by } in &set {
        text.push_str(&format!("\n  {field} set by {by}"));
    }
    let unused: Vec<String> = table.unused().map(|id| id.as_str().to_owned()).collect();
    for upstream in &unused {
        text.push_str(&format!("\n  upstream.{upstream} is used by no carrier: it is not started"));
    }
    let warnings = table.warnings().map(|(id, why)| format!("upstream.{}.{why}", id.as_str()));
    let warnings: Vec<String> = warnings.collect();
    for warning in &warnings {
        text.push_str(&format!("\n  warning: {warning}"));
    }
    Ok(Answer::new(&Checked { ok: true, engine, set, unused, warnings }, text))
}
