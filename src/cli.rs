//! Floor 7: the commands. They parse, call what they need, answer on standard output and end with an exit code.
//!
//! Every command takes `--config` and `--json`. Commands work on the database of a daemon that runs: they need no
//! connection to it. Nothing here holds a rule of the product.
//!
//! Exit codes (`sysexits.h` where it has one): 0 done · 1 refused, a port is taken, or `verify` found a breach · 64 wrong
//! usage or configuration, before any port is bound · 70 ours · 74 the answer could not be written · 75 the database is
//! out of reach, try again · 77 the system does not permit it · 130 ended by a signal before it was done.

mod account;
mod arguments;
mod check_config;
mod clock;
mod credit;
mod demo;
mod error;
mod key;
mod link;
mod memory;
mod operator;
mod output;
mod schema;
mod secrets;
mod serve;
mod sim;
mod verify;
mod webhook;

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use arguments::{Arguments, Command};
pub use error::CliError;
use output::{Answer, Output};

use crate::telemetry;
use crate::telemetry::logs;

/// What blocks a thread when all is done (a file that is still read) is not waited for any longer.
const THREADS_WITHIN: Duration = Duration::from_secs(1);

/// Runs the command that the process was started with. Whatever way that ends, the last lines of its log are written.
#[must_use]
pub fn main() -> ExitCode {
    telemetry::install_panic_hook();
    let ended = catch_unwind(AssertUnwindSafe(|| match memory::forbid_dumps() {
        Ok(()) => execute(),
        Err(error) => {
            let why = format!("the system does not let this process keep its memory out of core files: {error}");
            Output::new(false).refuse(&CliError::NotPermitted(why))
        }
    }));
    logs::flush(logs::FLUSH_WITHIN);
    ended.unwrap_or(ExitCode::from(error::INTERNAL))
}

fn execute() -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(run(std::env::args_os()));
            runtime.shutdown_timeout(THREADS_WITHIN);
            code
        }
        Err(error) => Output::new(false).refuse(&CliError::Internal(format!("no runtime: {error}"))),
    }
}

async fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => return output::usage(&error),
    };
    let output = Output::new(arguments.json);
    dispatch(arguments, output).await.unwrap_or_else(|error| output.refuse(&error))
}

async fn dispatch(arguments: Arguments, output: Output) -> Result<ExitCode, CliError> {
    let config = arguments.config.as_deref();
    match arguments.command {
        Command::Serve(serve) => serve::run(config, &serve, output).await?,
        Command::Demo(demo) => demo::run(config, &demo, output).await?,
        Command::Sim(command) => sim::run(config, command, output).await?,
        command => {
            let mut signals = serve::Signals::listen()?;
            let answer = signals.unless_ended(answer(config, command)).await?;
            return signals.unless_ended(output.answer(answer)).await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A command that answers once.
async fn answer(config: Option<&Path>, command: Command) -> Result<Answer, CliError> {
    match command {
        Command::Serve(_) | Command::Demo(_) | Command::Sim(_) => {
            unreachable!("they say what they have to say themselves")
        }
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
}
