//! What can be typed after `clock`.

use clap::Subcommand;

#[derive(Clone, Copy, Debug, Subcommand)]
pub(in crate::cli) enum ClockCommand {
    /// Shows the database's clock and the time that its rows have reached
    Show,
    /// Says that the database's clock is right, though it was stepped by more than an hour: daemons go on at its time
    Accept,
}
