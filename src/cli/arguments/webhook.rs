//! What can be typed after `webhook`.

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use crate::domain::ids::{AccountId, AttemptId, DeliveryId, EndpointId};
use crate::domain::time::Timestamp;
use crate::domain::webhook::{AttemptState, EventFilter, EventType, KeyForm, RetrySchedule};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum WebhookCommand {
    /// Registers an endpoint and shows its secret, this once
    Create(CreateArguments),
    /// Lists the endpoints of an account, without their secrets
    List {
        #[arg(long, value_name = "ID")]
        account: AccountId,
    },
    /// Makes a new secret and shows it, this once; the old one goes on for 24 hours
    Rotate {
        #[arg(value_name = "ID")]
        endpoint: EndpointId,
        /// Ends the old secret now, and makes none
        #[arg(long)]
        finish: bool,
    },
    /// Sends a test event; ends with 1 if it is not accepted
    Ping {
        #[arg(value_name = "ID")]
        endpoint: EndpointId,
    },
    /// Has an endpoint told again of what happens from now on
    Enable {
        #[arg(value_name = "ID")]
        endpoint: EndpointId,
    },
    /// Has an endpoint told of nothing until it is enabled
    Disable {
        #[arg(value_name = "ID")]
        endpoint: EndpointId,
    },
    /// Deletes an endpoint for good; its attempts stay listed
    Delete {
        #[arg(value_name = "ID")]
        endpoint: EndpointId,
    },
    /// Lists attempts, newest first
    Attempts(AttemptsArguments),
    /// Sends an event again: one attempt's, or all that failed at an endpoint since a time
    Replay(ReplayArguments),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CreateArguments {
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) account: AccountId,
    /// Where events are sent: https://…
    // Read by the command and not here: what refuses it would repeat it, and there may be a password in it.
    #[arg(long)]
    pub(in crate::cli) url: String,
    /// Events that it is told: otp.delivered, otp.failed or both, with a comma between
    #[arg(long, value_name = "EVENTS", value_parser = events, default_value = "otp.delivered,otp.failed")]
    pub(in crate::cli) events: EventFilter,
    /// Which form of SHA-256(secret) keys X-NEXO-Signature; a ping finds out
    #[arg(long, default_value = "raw")]
    pub(in crate::cli) signature_key: SignatureKey,
    /// Waits before a failed event is sent again, e.g. 5s,5m,2h; without it an event is sent once
    #[arg(long, value_name = "WAITS", value_parser = schedule, default_value = "", hide_default_value = true)]
    pub(in crate::cli) retry: RetrySchedule,
}

/// [`KeyForm`] by its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(in crate::cli) enum SignatureKey {
    /// Its 32 bytes, as the Node and cURL guides have it
    Raw,
    /// Its 64 hexadecimal characters, as the API reference has it
    Hex,
}

impl From<SignatureKey> for KeyForm {
    fn from(key: SignatureKey) -> Self {
        match key {
            SignatureKey::Raw => Self::Raw,
            SignatureKey::Hex => Self::Hex,
        }
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct AttemptsArguments {
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) account: AccountId,
    /// Only those at this endpoint
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) endpoint: Option<EndpointId>,
    /// Only those that tell of this delivery
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) delivery: Option<DeliveryId>,
    /// Only those that stand there: sending, accepted, failed, discarded, expired or unknown
    #[arg(long, value_parser = state)]
    pub(in crate::cli) state: Option<AttemptState>,
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(in crate::cli) limit: u16,
    /// Goes on after this attempt
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) after: Option<AttemptId>,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true).args(["attempt", "endpoint"])))]
pub(in crate::cli) struct ReplayArguments {
    /// The attempt whose event is sent again, whatever became of it
    #[arg(value_name = "ATTEMPT")]
    pub(in crate::cli) attempt: Option<AttemptId>,
    /// Every event whose last attempt at this endpoint failed, was discarded or expired
    #[arg(long, value_name = "ID", requires = "since")]
    pub(in crate::cli) endpoint: Option<EndpointId>,
    /// Attempts that began at this time or later, e.g. 2026-05-25T10:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "attempt")]
    pub(in crate::cli) since: Option<Timestamp>,
    /// Those too of which nobody knows what became: the receiver may get them twice
    #[arg(long, conflicts_with = "attempt")]
    pub(in crate::cli) unknown: bool,
}

fn events(text: &str) -> Result<EventFilter, &'static str> {
    let named: Option<Vec<EventType>> = text.split(',').map(|name| EventType::from_name(name.trim())).collect();
    named.and_then(EventFilter::of).ok_or("otp.delivered, otp.failed or both, with a comma between")
}

fn schedule(text: &str) -> Result<RetrySchedule, String> {
    RetrySchedule::parse(text).map_err(|error| error.to_string())
}

fn state(text: &str) -> Result<AttemptState, &'static str> {
    AttemptState::from_name(text).ok_or("sending, accepted, failed, discarded, expired or unknown")
}

fn time(text: &str) -> Result<Timestamp, &'static str> {
    Timestamp::parse_rfc3339(text).ok_or("a time is written like 2026-05-25T10:00:00Z")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::arguments::{Arguments, Command};

    const ID: &str = "01997d0a-0000-7000-8000-000000000001";

    fn parse(line: &str) -> Result<WebhookCommand, clap::Error> {
        let words = ["nexo-route", "webhook"].into_iter().chain(line.split_whitespace());
        match Arguments::try_parse_from(words)?.command {
            Command::Webhook(command) => Ok(command),
            other => panic!("{other:?}"),
        }
    }

    fn created(line: &str) -> CreateArguments {
        match parse(&format!("create --account {ID} --url https://a.example/hook {line}")) {
            Ok(WebhookCommand::Create(arguments)) => arguments,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn an_endpoint_is_by_default_what_the_seeds_promise() {
        let plain = created("");
        assert_eq!(plain.url, "https://a.example/hook");
        assert!(plain.events == EventFilter::ALL && plain.retry.is_empty());
        assert_eq!(KeyForm::from(plain.signature_key), KeyForm::default());
        let chosen = created("--events otp.failed --signature-key hex --retry 5s,2h");
        assert_eq!(chosen.events.events().collect::<Vec<_>>(), [EventType::Failed]);
        assert_eq!((KeyForm::from(chosen.signature_key), chosen.retry.to_string().as_str()), (KeyForm::Hex, "5s,2h"));
    }

    #[test]
    fn every_command_is_understood() {
        for line in [
            format!("list --account {ID}"),
            format!("rotate {ID}"),
            format!("rotate {ID} --finish"),
            format!("ping {ID}"),
            format!("enable {ID}"),
            format!("disable {ID}"),
            format!("delete {ID}"),
            format!("attempts --account {ID}"),
            format!("attempts --account {ID} --endpoint {ID} --delivery {ID} --state unknown --limit 100 --after {ID}"),
            format!("replay {ID}"),
            format!("replay --endpoint {ID} --since 2026-05-25T10:00:00Z"),
            format!("replay --endpoint {ID} --since 2026-05-25T17:00:00+07:00 --unknown"),
        ] {
            assert!(parse(&line).is_ok(), "{line}: {:?}", parse(&line).map_err(|error| error.to_string()));
        }
    }

    #[test]
    fn wrong_values_are_refused_before_anything_is_opened() {
        for line in [
            "create --url https://a.example".to_owned(),
            format!("create --account {ID}"),
            format!("create --account {ID} --url https://a.example --events otp.test"),
            format!("create --account {ID} --url https://a.example --events otp.failed,"),
            format!("create --account {ID} --url https://a.example --signature-key base64"),
            format!("create --account {ID} --url https://a.example --retry 5d"),
            "list".to_owned(),
            "rotate".to_owned(),
            "ping x".to_owned(),
            format!("attempts --account {ID} --limit 101"),
            format!("attempts --account {ID} --state lost"),
            "replay".to_owned(),
            format!("replay {ID} --endpoint {ID} --since 2026-05-25T10:00:00Z"),
            format!("replay {ID} --since 2026-05-25T10:00:00Z"),
            format!("replay {ID} --unknown"),
            format!("replay --endpoint {ID}"),
            format!("replay --endpoint {ID} --since yesterday"),
        ] {
            assert!(parse(&line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_form_has_the_contracts_name() {
        for key in SignatureKey::value_variants() {
            let name = key.to_possible_value().expect("shown");
            assert_eq!(name.get_name(), KeyForm::from(*key).as_str());
        }
    }
}
