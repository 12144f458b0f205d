//! Upstreams: the accounts at providers that carriers are reached over, as `[upstream.NAME]` of the carrier table says.
//!
//! `kind` says how an upstream is spoken to; each kind is a module with its own words, and refuses those that it does not
//! know. What must hold between upstreams and carriers is the carrier table's rule; links are made of these in `carrier`.

pub mod http;
pub mod smpp;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use self::http::HttpConfig;
use self::smpp::SmppConfig;
use crate::config::carriers::Simulated;
use crate::domain::carrier::Channel;

/// One upstream. Two that are equal are one and the same link after a reload.
#[derive(Clone, PartialEq, Debug)]
pub enum UpstreamConfig {
    /// A link that needs no carrier: `[simulator]`, but for what is said here.
    Simulator(Simulated),
    Http(Box<HttpConfig>),
    Smpp(Box<SmppConfig>),
}

const KINDS: &str = "\"smpp\", \"http\" and \"simulator\"";

impl UpstreamConfig {
    /// What is written of one upstream.
    ///
    /// # Errors
    /// What is wrong with it, without the value of a secret.
    pub(super) fn read(mut entry: Table) -> Result<Self, String> {
        match entry.remove("kind").as_ref().and_then(Value::as_str) {
            Some("http") => fields(entry).map(|http| Self::Http(Box::new(http))),
            Some("smpp") => fields(entry).map(|smpp| Self::Smpp(Box::new(smpp))),
            Some("simulator") => {
                let simulated: Simulated = fields(entry)?;
                match simulated.not_a_share() {
                    Some(share) => Err(format!("{share} must be between 0 and 1")),
                    None => Ok(Self::Simulator(simulated)),
                }
            }
            Some(_) | None => Err(format!("kind must be one of {KINDS}")),
        }
    }

    /// Whether it can carry codes over `channel` at all.
    pub(super) fn carries(&self, channel: Channel) -> bool {
        match self {
            Self::Simulator(_) | Self::Http(_) => true,
            Self::Smpp(_) => channel == Channel::Sms,
        }
    }

    /// What an operator should know of it although it can be meant.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        match self {
            Self::Http(http) => http.warnings(),
            Self::Simulator(_) | Self::Smpp(_) => Vec::new(),
        }
    }

    /// The name of its kind.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Simulator(_) => "simulator",
            Self::Http(_) => "http",
            Self::Smpp(_) => "smpp",
        }
    }
}

/// The complaint of the first word that stands twice among those of receipts, in either case.
fn stands_twice<'w>(words: impl Iterator<Item = &'w str>) -> Option<String> {
    let mut known: Vec<String> = Vec::new();
    for word in words {
        let word = word.to_ascii_lowercase();
        if known.contains(&word) {
            return Some(format!("{word:?} stands twice among delivered, in_progress and failed"));
        }
        known.push(word);
    }
    None
}

fn fields<T: DeserializeOwned>(entry: Table) -> Result<T, String> {
    entry.try_into().map_err(|error: toml::de::Error| {
        // The message alone: what surrounds it may be a value.
        error.message().to_owned()
    })
}
