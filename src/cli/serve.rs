//! `serve`: the daemon, from its configuration to its last connection.
//!
//! Whatever is wrong with the configuration ends it with 64 before a port is bound. SIGTERM or SIGINT stops it
//! gracefully; the second one ends it at once; SIGHUP has it read the carrier table anew. With `--json` the first line says where it listens.

use std::ffi::OsString;
use std::future::Future;
use std::path::Path;

use serde::Serialize;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::arguments::ServeArguments;
use super::error::CliError;
use super::output::{Answer, Output};
use crate::app::{self, App};
use crate::config::{self, Config, LogConfig, LogFormat};
use crate::telemetry::logs::{self, LogsError};

#[derive(Serialize)]
struct Listening {
    api: String,
    ops: String,
}

pub(super) async fn run(config: Option<&Path>, arguments: &ServeArguments, output: Output) -> Result<(), CliError> {
    let mut config = config::load(config)?.config;
    if let Some(port) = arguments.port {
        config.http.bind.set_port(port);
    }
    // Heard before anything that may take long: the first process of a container is deaf to signals that it does not await.
    let mut signals = Signals::listen()?;
    let app = signals.unless_ended(start(config)).await?;
    let (api, ops) = app.addresses();
    let listening = Listening { api: format!("http://{api}"), ops: format!("http://{ops}") };
    let text = format!("API {}, metrics {}/metrics", listening.api, listening.ops);
    output.announce(Answer::new(&listening, text));
    until_stopped(app, signals).await
}

/// Logs, keys, and a daemon whose listeners are bound.
pub(super) async fn start(config: Config) -> Result<App, CliError> {
    let keyring = config::keyring(&config.secrets)?;
    log(&config.log)?;
    warn_of_proxies(std::env::vars_os().filter(|(_, value)| !value.is_empty()).map(|(name, _)| name));
    Ok(app::build(config, keyring).await?)
}

/// No connection of ours goes through an HTTP proxy; their addresses may hold passwords and are not repeated.
fn warn_of_proxies(variables: impl Iterator<Item = OsString>) {
    for name in variables.filter_map(|name| name.into_string().ok()) {
        if ["http_proxy", "https_proxy", "all_proxy"].contains(&name.to_ascii_lowercase().as_str()) {
            tracing::warn!(variable = name, "ignored: carriers and webhooks are called directly");
        }
    }
}

/// Logs as the configuration says.
pub(super) fn log(config: &LogConfig) -> Result<(), CliError> {
    let format = match config.format {
        LogFormat::Text => logs::Format::Text,
        LogFormat::Json => logs::Format::Json,
    };
    logs::install(format, &config.filter).map_err(|error| match error {
        LogsError::Filter(_) => CliError::Usage(format!("log.filter: {error}")),
        LogsError::Installed | LogsError::NoWriter(_) => CliError::Internal(error.to_string()),
    })
}

/// Serves until the first signal has stopped it, or the second has ended the process.
pub(super) async fn until_stopped(app: App, signals: Signals) -> Result<(), CliError> {
    let Signals { mut ends, mut hangups } = signals;
    let reload = app.reload();
    let reloading = async move {
        while hangups.recv().await.is_some() {
            tracing::info!(signal = "SIGHUP", "reloading the carrier table");
            reload.now().await;
        }
        std::future::pending::<()>().await;
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let ending = async move {
        let name = ends.next().await;
        tracing::info!(signal = name, "stopping; a second signal ends it at once");
        // A daemon that has ended by itself does not listen any more.
        let _ = stop.send(());
        ends.next().await
    };
    let serving = Box::pin(app.run(async {
        let _ = stopped.await;
    }));
    tokio::select! {
        biased;
        () = reloading => unreachable!("it never ends"),
        outcome = serving => outcome.map_err(|error| CliError::Internal(format!("{error:#}"))),
        name = ending => {
            tracing::warn!(signal = name, "ended at once");
            logs::flush(logs::FLUSH_WITHIN);
            #[allow(clippy::disallowed_methods, reason = "the operator asked twice: nothing may delay the end")]
            std::process::exit(130)
        }
    }
}

/// What the system may tell a daemon; heard from its birth on.
pub(super) struct Signals {
    ends: Ends,
    hangups: Signal,
}

struct Ends {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn listen() -> Result<Self, CliError> {
        let heard = |kind| signal(kind).map_err(|error| CliError::Internal(format!("no signals: {error}")));
        let ends = Ends { terminate: heard(SignalKind::terminate())?, interrupt: heard(SignalKind::interrupt())? };
        Ok(Self { ends, hangups: heard(SignalKind::hangup())? })
    }

    /// Runs `work` unless a signal ends it first.
    pub(super) async fn unless_ended<T>(
        &mut self,
        work: impl Future<Output = Result<T, CliError>>,
    ) -> Result<T, CliError> {
        tokio::select! {
            outcome = Box::pin(work) => outcome,
            name = self.ends.next() => Err(CliError::Interrupted(name)),
        }
    }
}

impl Ends {
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
