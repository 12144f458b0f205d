//! Upstreams: the accounts at providers that carriers are reached over, as `[upstream.NAME]` of the carrier table says.
//!
//! `kind` says how an upstream is spoken to; each kind has its own words, and refuses those that it does not know. What
//! must hold between upstreams and carriers is the carrier table's rule.

use toml::{Table, Value};

use crate::config::carriers::Simulated;
use crate::domain::carrier::Channel;

/// One upstream. Two that are equal are one and the same link after a reload.
#[derive(Clone, PartialEq, Debug)]
pub enum UpstreamConfig {
    /// A link that needs no carrier: `[simulator]`, but for what is said here.
    Simulator(Simulated),
}

impl UpstreamConfig {
    /// What is written of one upstream.
    ///
    /// # Errors
    /// What is wrong with it, without any value: it may be a secret.
    pub(super) fn read(mut entry: Table) -> Result<Self, String> {
        let kind = match entry.remove("kind") {
            Some(Value::String(kind)) => kind,
            Some(_) | None => return Err(format!("kind must be one of {KINDS}")),
        };
        match kind.as_str() {
            "simulator" => {
                let simulated: Simulated = fields(entry)?;
                match simulated.not_a_share() {
                    Some(share) => Err(format!("{share} must be between 0 and 1")),
                    None => Ok(Self::Simulator(simulated)),
                }
            }
            _ => Err(format!("kind must be one of {KINDS}")),
        }
    }

    /// Whether it can carry codes over `channel` at all.
    pub(super) const fn carries(&self, _channel: Channel) -> bool {
        match self {
            Self::Simulator(_) => true,
        }
    }

    /// The name of its kind.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Simulator(_) => "simulator",
        }
    }
}

const KINDS: &str = "\"simulator\"";

fn fields<T: serde::de::DeserializeOwned>(entry: Table) -> Result<T, String> {
    entry.try_into().map_err(|error: toml::de::Error| error.message().to_owned())
}
