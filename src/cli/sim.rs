//! `sim`: carriers to rehearse with. They read `[simulator]` of the configuration and nothing else of it.

use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::arguments::{HttpArguments, SimCommand, SmppArguments};
use super::error::CliError;
use super::output::{Answer, Output};
use super::serve;
use crate::carrier::simulator::Script;
use crate::config;
use crate::rehearsal::provider::{self, Provider};
use crate::rehearsal::smsc::{Controls, IdBase, Settings, Smsc};

pub(super) async fn run(config: Option<&Path>, command: SimCommand, output: Output) -> Result<(), CliError> {
    let config = config::load(config)?.config;
    serve::log(&config.log)?;
    let script = Script::from(&config.simulator);
    match command {
        SimCommand::Smpp(arguments) => smpp(script, arguments, output).await,
        SimCommand::Http(arguments) => http(script, arguments, output).await,
    }
}

#[derive(Serialize)]
struct Listening<'a> {
    address: SocketAddr,
    system_id: &'a str,
    password: &'a str,
}

async fn smpp(script: Script, arguments: SmppArguments, output: Output) -> Result<(), CliError> {
    let SmppArguments { bind, port, system_id, password, response_ids, receipt_ids, receipts, journal } = arguments;
    if let Some(path) = &journal {
        let opened = OpenOptions::new().append(true).create(true).open(path);
        opened.map_err(|error| CliError::of_file(path, &error))?;
    }
    let response_ids = IdBase::from(response_ids);
    let settings = Settings {
        system_id: system_id.clone(),
        password: password.clone(),
        script,
        response_ids,
        receipt_ids: receipt_ids.map_or(response_ids, IdBase::from),
        receipts: receipts.into(),
        journal,
    };
    let address = SocketAddr::new(bind, port);
    let refused = |error: std::io::Error| CliError::of_port("--port", address, &error);
    // A client that finds it listening may signal at once.
    let signals = Signals::listen()?;
    let smsc = Smsc::bind(address, settings).await.map_err(refused)?;
    let address = smsc.address().map_err(refused)?;
    let text =
        format!("SMPP {address}, system id {system_id}, password {password}; SIGUSR1 cuts the line, SIGUSR2 mends it");
    output.announce(Answer::new(&Listening { address, system_id: &system_id, password: &password }, text));
    let controls = smsc.controls();
    smsc.run(stopped(signals, controls)).await;
    Ok(())
}

#[derive(Serialize)]
struct Calling {
    url: String,
    callback_key: String,
}

async fn http(script: Script, arguments: HttpArguments, output: Output) -> Result<(), CliError> {
    let HttpArguments { bind, port, callback_key, phone_gap_s } = arguments;
    let phone_gap = Duration::from_secs(phone_gap_s.into());
    let settings = provider::Settings { script, phone_gap, callback_key: callback_key.clone() };
    let address = SocketAddr::new(bind, port);
    let refused = |error: std::io::Error| CliError::of_port("--port", address, &error);
    let mut signals = Signals::listen()?;
    let provider = Provider::bind(address, settings).await.map_err(refused)?;
    let url = format!("http://{}/v1/calls", provider.address().map_err(refused)?);
    let text = format!("POST {url}, receipts are signed with {callback_key}");
    output.announce(Answer::new(&Calling { url, callback_key }, text));
    provider
        .run(async move {
            tokio::select! {
                _ = signals.terminate.recv() => {}
                _ = signals.interrupt.recv() => {}
            }
        })
        .await;
    Ok(())
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    cut: Signal,
    mend: Signal,
}

impl Signals {
    fn listen() -> Result<Self, CliError> {
        let heard = |kind| signal(kind).map_err(|error| CliError::Internal(format!("no signals: {error}")));
        Ok(Self {
            terminate: heard(SignalKind::terminate())?,
            interrupt: heard(SignalKind::interrupt())?,
            cut: heard(SignalKind::user_defined1())?,
            mend: heard(SignalKind::user_defined2())?,
        })
    }
}

/// Cuts and mends the line as it is told; resolves when it is told to stop.
async fn stopped(mut signals: Signals, controls: Controls) {
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return,
            _ = signals.interrupt.recv() => return,
            _ = signals.cut.recv() => controls.cut(),
            _ = signals.mend.recv() => controls.mend(),
        }
    }
}
