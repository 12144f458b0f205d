//! Floor 7: the commands. They parse, call what they need, answer on standard output and end with an exit code.
//!
//! Every command takes `--config` and `--json`. Commands work on the database of a daemon that runs: they need no
//! connection to it. Nothing here holds a rule of the product.
//!
//! Exit codes (`sysexits.h` where it has one): 0 done · 1 refused, or `verify` found a breach · 64 wrong usage or
//! configuration, before any port is bound · 70 ours · 75 the database is out of reach, try again.

mod account;
mod arguments;
mod check_config;
mod clock;
mod credit;
mod demo;
mod error;
mod key;
mod link;
mod operator;
mod output;
mod schema;
mod secrets;
mod serve;
mod sim;
mod verify;
mod webhook;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};
pub use error::CliError;
use output::{Answer, Output};

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(run(std::env::args_os())),
        Err(error) => Output::new(false).refuse(&CliError::Internal(format!("no runtime: {error}"))),
    }
}

async fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => return output::usage(&error),
    };
    let output = Output::new(arguments.json);
    match dispatch(arguments, output).await {
        Ok(Some(answer)) => output.answer(&answer),
        Ok(None) => ExitCode::SUCCESS,
        Err(error) => output.refuse(&error),
    }
}

/// `None`: the command has said what it had to say.
async fn dispatch(arguments: Arguments, output: Output) -> Result<Option<Answer>, CliError> {
    let config = arguments.config.as_deref();
    match arguments.command {
        Command::Serve(serve) => return serve::run(config, &serve, output).await.map(|()| None),
        Command::Demo(demo) => return demo::run(config, &demo, output).await.map(|()| None),
        Command::Sim(command) => return sim::run(config, command, output).await.map(|()| None),
        Command::Migrate => schema::migrate(config).await,
        Command::CheckConfig { connect } => check_config::run(config, connect).await,
        Command::Verify => verify::run(config).await,
        Command::Account(command) => account::run(config, command).await,
        Command::Key(command) => key::run(config, command).await,
        Command::Credit(credit) => credit::run(config, &credit).await,
        Command::Webhook(command) => webhook::run(config, command).await,
        Command::Link(command) => link::run(config, command).await,
        Command::Clock(command) => clock::run(config, command).await,
        Command::Secrets(command) => secrets::run(config, &command),
    }
    .map(Some)
}
