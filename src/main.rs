//! `nexo-route`: the daemon and its commands.

use std::process::ExitCode;

fn main() -> ExitCode {
    nexo_route::cli::main()
}
