//! What can be typed. Values are parsed into the domain's types here, so that a wrong one is a usage error.

mod clock;
mod link;
mod sim;
mod webhook;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::domain::ids::{AccountId, KeyId};
use crate::domain::money::{Bucket, MicroUsd};
use crate::records::accounts::AccountName;
use crate::records::ledger::Reference;
pub(super) use clock::ClockCommand;
pub(super) use link::LinkCommand;
pub(super) use sim::{HttpArguments, SimCommand, SmppArguments};
pub(super) use webhook::{AttemptsArguments, CreateArguments, ReplayArguments, WebhookCommand};

/// NEXO ROUTE: one HTTP POST sends a one-time code to any Vietnamese mobile.
#[derive(Debug, Parser)]
#[command(name = "nexo-route", version, disable_help_subcommand = true)]
pub(super) struct Arguments {
    /// Configuration file; what it does not set stays as in config/default.toml
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Answers with one line of JSON
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Runs the daemon until SIGTERM or SIGINT (a second one ends it at once)
    Serve(ServeArguments),
    /// Runs a daemon on a fresh SQLite with simulated carriers, an account and a key
    Demo(DemoArguments),
    /// Brings the database's schema up to date
    Migrate,
    /// Checks the configuration, the key file and the carrier table, and starts nothing
    CheckConfig {
        /// Connects to the database too, and changes nothing there
        #[arg(long)]
        connect: bool,
    },
    /// Holds the database's rows against the invariants; ends with 1 on a breach
    Verify,
    /// Accounts
    #[command(subcommand)]
    Account(AccountCommand),
    /// API keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// Credits an account, once per reference
    Credit(CreditArguments),
    /// Endpoints that are told how deliveries end
    #[command(subcommand)]
    Webhook(WebhookCommand),
    /// The upstreams that carry codes
    #[command(subcommand)]
    Link(LinkCommand),
    /// The house's time, which never goes back, and the database's clock
    #[command(subcommand)]
    Clock(ClockCommand),
    /// The keys that encrypt phones in the database
    #[command(subcommand)]
    Secrets(SecretsCommand),
    /// Carriers to rehearse with
    #[command(subcommand)]
    Sim(SimCommand),
}

#[derive(Debug, Args)]
pub(super) struct ServeArguments {
    /// Port of the API, instead of the configured one; 0 takes a free one
    #[arg(long)]
    pub(super) port: Option<u16>,
}

#[derive(Debug, Args)]
pub(super) struct DemoArguments {
    /// Port of the API; 0 takes free ones for the API and for metrics
    #[arg(long)]
    pub(super) port: Option<u16>,
    /// Directory to make, instead of a fresh one under data/
    #[arg(long)]
    pub(super) dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum AccountCommand {
    /// Makes an account
    Create {
        /// Who it is, for operators
        #[arg(value_parser = account_name)]
        name: AccountName,
        /// Gives it the five free test codes of a sign-up
        #[arg(long)]
        free_otps: bool,
    },
    /// Lists accounts, oldest first
    List {
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        /// Goes on after this account
        #[arg(long, value_name = "ID")]
        after: Option<AccountId>,
    },
    /// Shows an account, its keys and the latest changes to it
    Show {
        #[arg(value_name = "ID")]
        account: AccountId,
    },
    /// Closes an account for good and revokes its keys
    Close {
        #[arg(value_name = "ID")]
        account: AccountId,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Makes a key and shows it, this once
    Create {
        #[arg(long, value_name = "ID")]
        account: AccountId,
        /// An address or CIDR block that may use the key; any if none is given
        #[arg(long, value_name = "CIDR")]
        allow: Vec<String>,
    },
    /// Lists the keys of an account, without the keys themselves
    List {
        #[arg(long, value_name = "ID")]
        account: AccountId,
    },
    /// Revokes a key: every node refuses it within one second
    Revoke {
        /// The key's id, as `key list` shows it
        #[arg(value_name = "ID")]
        key: KeyId,
    },
}

#[derive(Debug, Args)]
pub(super) struct CreditArguments {
    #[arg(long, value_name = "ID")]
    pub(super) account: AccountId,
    #[arg(long)]
    pub(super) bucket: BucketName,
    /// Dollars, e.g. 10 or 0.022
    #[arg(long, value_name = "AMOUNT", value_parser = amount)]
    pub(super) usd: MicroUsd,
    /// What the credit is for; said twice it happens once
    #[arg(long, value_name = "TEXT", value_parser = reference)]
    pub(super) reference: Reference,
}

/// A bucket by the name that customers see.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum BucketName {
    /// Cash
    Balance,
    BonusCredit,
    FreeCredit,
}

impl From<BucketName> for Bucket {
    fn from(name: BucketName) -> Self {
        match name {
            BucketName::Balance => Self::Cash,
            BucketName::BonusCredit => Self::Bonus,
            BucketName::FreeCredit => Self::Free,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum SecretsCommand {
    /// Makes the key file that the configuration names; never touches one that is there
    Create,
}

fn account_name(text: &str) -> Result<AccountName, &'static str> {
    AccountName::new(text).ok_or("1 to 100 characters, none of them a control character")
}

fn amount(text: &str) -> Result<MicroUsd, String> {
    let amount: MicroUsd = text.parse().map_err(|error: crate::domain::money::ParseAmountError| error.to_string())?;
    if amount > MicroUsd::ZERO { Ok(amount) } else { Err("a credit is above zero".to_owned()) }
}

fn reference(text: &str) -> Result<Reference, &'static str> {
    Reference::new(text).ok_or("1 to 100 visible ASCII characters, and not one that the house itself uses")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    const ID: &str = "01997d0a-0000-7000-8000-000000000001";

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(std::iter::once("nexo-route").chain(line.split_whitespace()))
    }

    #[test]
    fn the_commands_are_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_takes_config_and_json_in_any_place() {
        for command in [
            "serve",
            "demo",
            "migrate",
            "check-config --connect",
            "verify",
            "account create acme",
            "account list",
            &format!("account show {ID}"),
            &format!("account close {ID}"),
            &format!("key create --account {ID} --allow 10.0.0.0/8 --allow ::1"),
            &format!("key list --account {ID}"),
            &format!("key revoke {ID}"),
            &format!("credit --account {ID} --bucket bonus_credit --usd 10 --reference r1"),
            &format!("webhook list --account {ID}"),
            "link list",
            "link pause vt_smsc",
            "link resume vt_smsc",
            "secrets create",
            "sim smpp --port 0 --receipt-ids decimal --receipts tlv",
        ] {
            for line in [format!("--json --config x.toml {command}"), format!("{command} --config x.toml --json")] {
                let arguments = parse(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
                assert!(arguments.json && arguments.config.is_some(), "{line}");
            }
        }
    }

    #[test]
    fn wrong_values_are_refused_before_anything_is_opened() {
        for line in [
            "",
            "fly",
            "serve --port 70000",
            "account create",
            "account show 123",
            "account list --limit 0",
            &format!("sim smpp --password {}", "p".repeat(65)),
            &format!("key create --account {ID}0"),
            "link pause",
            "link pause Vt-Smsc",
            &format!("credit --account {ID} --bucket cash --usd 1 --reference r"),
            &format!("credit --account {ID} --bucket balance --usd 0 --reference r"),
            &format!("credit --account {ID} --bucket balance --usd -1 --reference r"),
            &format!("credit --account {ID} --bucket balance --usd 1e3 --reference r"),
            &format!("credit --account {ID} --bucket balance --usd 0.0000001 --reference r"),
            &format!("credit --account {ID} --bucket balance --usd 1 --reference welcome"),
            &format!("credit --account {ID} --bucket balance --usd 1"),
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_bucket_has_the_customers_name() {
        for bucket in BucketName::value_variants() {
            let name = bucket.to_possible_value().expect("shown");
            assert_eq!(name.get_name(), Bucket::from(*bucket).as_str());
        }
    }
}
