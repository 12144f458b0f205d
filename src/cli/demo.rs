//! `demo`: a daemon for newcomers. Needs nothing: SQLite in a fresh directory, simulated carriers, an account with its five
//! free codes and ten dollars, and a key. It prints where to call, with what, and then serves.
//!
//! What it makes stays: any other command works on it with `--config`, also while it runs.

use std::fs::DirBuilder;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::arguments::DemoArguments;
use super::error::CliError;
use super::operator::{self, actor};
use super::output::{Answer, Output};
use super::{credit, key, serve};
use crate::clock;
use crate::config::{self, Config};
use crate::domain::allowlist::Allowlist;
use crate::domain::api_key::PlainKey;
use crate::domain::ids::AccountId;
use crate::domain::money::{Bucket, MicroUsd};
use crate::records::accounts::{self, AccountName, WELCOME_CREDIT};
use crate::records::ledger::{Credit, Reference};

/// Ten dollars.
const CASH: MicroUsd = MicroUsd::from_micros(10_000_000);

/// A receiver on the newcomer's own machine may be told.
const WEBHOOKS: &str = "# Webhooks may go to this machine, without TLS, to any port.
[webhooks]
allow_http = true
allow_networks = [\"127.0.0.0/8\", \"::1/128\"]
ports = [0]

";

#[derive(Serialize)]
struct Introduction<'a> {
    api: String,
    ops: String,
    key: &'a str,
    account: String,
    config: &'a Path,
}

pub(super) async fn run(config: Option<&Path>, arguments: &DemoArguments, output: Output) -> Result<(), CliError> {
    if config.is_some() {
        return Err(CliError::Usage("demo makes its own configuration: use serve --config".to_owned()));
    }
    let file = make_directory(arguments)?;
    let config = config::load(Some(&file))?.config;
    config::create_key_file(&config.secrets.key_file)?;
    let mut signals = serve::Signals::listen()?;
    let (account, plain) = signals.unless_ended(furnish(&config)).await?;
    let app = signals.unless_ended(serve::start(config)).await?;
    output.announce(introduce(app.addresses(), &plain, account, &file));
    serve::until_stopped(app, signals).await
}

/// The directory with its configuration file; returns the file's absolute path.
fn make_directory(arguments: &DemoArguments) -> Result<PathBuf, CliError> {
    let directory = arguments.dir.clone().unwrap_or_else(fresh_directory);
    let refused =
        |what: &Path, error: &dyn std::fmt::Display| CliError::Refused(format!("{}: {error}", what.display()));
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&directory);
    made.map_err(|error| CliError::of_file(&directory, &error))?;
    let directory = directory.canonicalize().map_err(|error| CliError::of_file(&directory, &error))?;
    let file = directory.join("nexo-route.toml");
    if file.exists() {
        let hint = "a demo was made there before: go on with it by serve --config, or name another --dir";
        return Err(refused(&file, &hint));
    }
    std::fs::write(&file, settings(&directory, arguments.port)).map_err(|error| refused(&file, &error))?;
    Ok(file)
}

fn fresh_directory() -> PathBuf {
    PathBuf::from(format!("data/demo-{}", clock::wall_now().millis()))
}

/// Only what differs from `config/default.toml`.
fn settings(directory: &Path, port: Option<u16>) -> String {
    let path = |name: &str| toml::Value::String(directory.join(name).display().to_string());
    let url = toml::Value::String(format!("sqlite:{}", directory.join("nexo-route.db").display()));
    let mut text = String::from("# Made by `nexo-route demo`. What is not here is as in config/default.toml.\n");
    if let Some(port) = port {
        text.push_str(&format!("[http]\nbind = \"127.0.0.1:{port}\"\n\n"));
    }
    if port == Some(0) {
        text.push_str("[ops]\nbind = \"127.0.0.1:0\"\n\n");
    }
    text.push_str(WEBHOOKS);
    text.push_str(&format!(
        "[store]\nurl = {url}\n\n[secrets]\nkey_file = {}\n\n# Nobody has to notice that it stops.\n[stop]\nnotice_ms = 0\n",
        path("nexo-route.keys")
    ));
    text
}

/// The schema, an account with its welcome and ten dollars, and a key. The database is closed again for the daemon.
async fn furnish(config: &Config) -> Result<(AccountId, PlainKey), CliError> {
    let store = operator::open(config).await?;
    store.migrate().await?;
    let name = AccountName::new("demo").ok_or_else(|| CliError::Internal("the demo has no name".to_owned()))?;
    let operator = actor();
    let account = store
        .write(move |tx| {
            let (operator, name) = (operator.clone(), name.clone());
            Box::pin(async move { accounts::create(tx, &operator, &name, WELCOME_CREDIT).await })
        })
        .await?;
    let reference = Reference::new("demo").ok_or_else(|| CliError::Internal("no reference".to_owned()))?;
    credit::make(&store, actor(), Credit { account, bucket: Bucket::Cash, amount: CASH, reference }).await?;
    let (plain, _) = key::make(&store, actor(), account, Allowlist::default()).await?;
    store.close();
    Ok((account, plain))
}

fn introduce((api, ops): (SocketAddr, SocketAddr), key: &PlainKey, account: AccountId, config: &Path) -> Answer {
    let key = key.expose();
    let introduction = Introduction {
        api: format!("http://{api}"),
        ops: format!("http://{ops}"),
        key,
        account: account.to_string(),
        config,
    };
    let text = format!(
        "NEXO ROUTE demo: SQLite, simulated carriers, 5 free codes and 10 dollars

  API      http://{api}
  key      {key}
  metrics  http://{ops}/metrics
  account  {account}
  config   {config}

Send a code (paste it into another terminal):

curl -X POST http://{api}/api/v1/send-otp \\
  -H \"Authorization: Bearer {key}\" \\
  -H \"Content-Type: application/json\" \\
  -d '{{\"phone\":\"+84981234567\",\"code\":\"123456\"}}'

Other commands work on the same data while it runs:

  {program} verify --config {config}

Ctrl-C stops it.
",
        program = program(),
        config = config.display()
    );
    Answer::new(&introduction, text)
}

/// How this program is called from where the demo was started.
fn program() -> String {
    let path = std::env::current_exe().ok();
    let here = std::env::current_dir().unwrap_or_default();
    let name = path.as_deref().map(|path| path.strip_prefix(here).unwrap_or(path));
    name.map_or_else(|| "nexo-route".to_owned(), |name| name.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_that_it_writes_hold() {
        for (port, api, ops) in [
            (None, "127.0.0.1:8080", "127.0.0.1:9464"),
            (Some(0), "127.0.0.1:0", "127.0.0.1:0"),
            (Some(9000), "127.0.0.1:9000", "127.0.0.1:9464"),
        ] {
            let text = settings(Path::new("/somewhere/with \"quotes\""), port);
            let config = config::assemble(Some((Path::new("demo.toml"), &text)), []).expect("holds").config;
            assert_eq!((config.http.bind.to_string().as_str(), config.ops.bind.to_string().as_str()), (api, ops));
            assert_eq!(config.store.url.0, "sqlite:/somewhere/with \"quotes\"/nexo-route.db");
            assert!(config.secrets.key_file.starts_with("/somewhere"));
            assert_eq!((config.webhooks.allow_http, config.webhooks.ports), (true, vec![0]));
        }
    }
}
