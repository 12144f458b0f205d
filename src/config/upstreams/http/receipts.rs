//! How a provider's receipts are read: those that it brings (callbacks), and those that are fetched (polling).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde::de::Error;

use super::Hmac;
use super::answers::{Class, Pointer};
use super::template::{Placeholder, Template};
use crate::config::SecretText;
use crate::config::upstreams::stands_twice;
use crate::domain::allowlist::Allowlist;
use crate::domain::endpoint_url::EndpointUrl;

/// Receipts that the provider POSTs to `/callbacks/NAME`.
#[derive(Clone, PartialEq, Debug)]
pub struct CallbackConfig {
    pub proof: Proof,
    /// Who may call; empty: anybody who has the proof.
    pub allow: Allowlist,
    pub form: Form,
    /// Where our own name for the attempt is, if the provider echoes it.
    pub attempt: Option<Source>,
    /// Where its own name is.
    pub reference: Option<Source>,
    /// The phone that a reference must be of.
    pub phone: Option<Source>,
    pub mapping: ReceiptMapping,
}

/// How a caller proves that it is the provider.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Proof {
    Hmac(Hmac),
    /// A header with a secret in it; `Authorization: Bearer …` if it is called `authorization`.
    Header {
        name: String,
        value: SecretText,
    },
    /// A parameter behind the `?` of the URL that the provider was given.
    Query {
        name: String,
        value: SecretText,
    },
}

/// What the bytes of a receipt are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    #[default]
    Json,
    Form,
}

/// Where a value of a callback is: in its body (`/a/b`) or behind its URL's `?` (`?a`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    Body(Pointer),
    Query(String),
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let query = text.strip_prefix('?').filter(|name| !name.is_empty());
        let source = query.map(|name| Self::Query(name.to_owned())).or_else(|| Pointer::parse(&text).map(Self::Body));
        source.ok_or_else(|| {
            D::Error::custom(format!("{text:?} is neither a JSON pointer (\"/a\") nor a parameter (\"?a\")"))
        })
    }
}

/// What the provider's words say of a delivery, in either case. A word that stands nowhere is taken for "in progress", and
/// counted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReceiptMapping {
    pub status: Source,
    pub delivered: Vec<String>,
    pub in_progress: Vec<String>,
    pub failed: Vec<(String, Class)>,
    /// Where the network of the handset is, as MCC and MNC.
    pub network: Option<Source>,
    /// Where the provider says more of it; kept without the digits of whatever could be a code.
    pub word: Option<Source>,
}

/// Receipts that are asked for.
#[derive(Clone, PartialEq, Debug)]
pub struct PollConfig {
    /// With `{reference}`; on the host that attempts are sent to.
    pub path: Template,
    pub every: Duration,
    pub mapping: ReceiptMapping,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenCallback {
    hmac_sha256: Option<Hmac>,
    header: Option<Named>,
    query: Option<Named>,
    #[serde(default)]
    allow: Vec<String>,
    #[serde(default)]
    form: Form,
    attempt: Option<Source>,
    reference: Option<Source>,
    phone: Option<Source>,
    status: Source,
    delivered: Vec<String>,
    #[serde(default)]
    in_progress: Vec<String>,
    #[serde(default)]
    failed: BTreeMap<String, Class>,
    network: Option<Source>,
    word: Option<Source>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
    value: SecretText,
}

impl TryFrom<WrittenCallback> for CallbackConfig {
    type Error = String;

    fn try_from(written: WrittenCallback) -> Result<Self, String> {
        let WrittenCallback { hmac_sha256, header, query, allow, form, attempt, reference, phone, .. } = written;
        let proof = match (hmac_sha256, header, query) {
            (Some(hmac), None, None) => Proof::Hmac(hmac),
            (None, Some(Named { name, value }), None) => Proof::Header { name: name.to_ascii_lowercase(), value },
            (None, None, Some(Named { name, value })) => Proof::Query { name, value },
            _ => return Err("callback has one of hmac_sha256, header and query: nobody else may report".to_owned()),
        };
        if attempt.is_none() && reference.is_none() {
            return Err("callback has attempt or reference: a receipt is of something".to_owned());
        }
        if phone.is_some() && reference.is_none() {
            return Err("callback.phone narrows a reference down, and there is none".to_owned());
        }
        let allow =
            Allowlist::parse(allow.iter().map(String::as_str)).map_err(|why| format!("callback.allow: {why}"))?;
        let mapping = ReceiptMapping {
            status: written.status,
            delivered: written.delivered,
            in_progress: written.in_progress,
            failed: written.failed.into_iter().collect(),
            network: written.network,
            word: written.word,
        };
        mapping.check("callback")?;
        let config = Self { proof, allow, form, attempt, reference, phone, mapping };
        config.check_signed()?;
        Ok(config)
    }
}

impl CallbackConfig {
    /// A signature is of the body: what stands behind the URL's `?` is not signed, and a captured callback would be one of any
    /// delivery.
    fn check_signed(&self) -> Result<(), String> {
        if !matches!(self.proof, Proof::Hmac(_)) {
            return Ok(());
        }
        let Self { attempt, reference, phone, mapping, .. } = self;
        for (name, source) in [
            ("attempt", attempt.as_ref()),
            ("reference", reference.as_ref()),
            ("phone", phone.as_ref()),
            ("status", Some(&mapping.status)),
            ("network", mapping.network.as_ref()),
            ("word", mapping.word.as_ref()),
        ] {
            if let Some(Source::Query(parameter)) = source {
                return Err(format!(
                    "callback.{name}: hmac_sha256 signs the body, and ?{parameter} is not in it: give a JSON pointer (our \
                     own name for an attempt is what was sent as {{attempt_id}})"
                ));
            }
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenPoll {
    path: String,
    every_ms: u64,
    status: Pointer,
    delivered: Vec<String>,
    #[serde(default)]
    in_progress: Vec<String>,
    #[serde(default)]
    failed: BTreeMap<String, Class>,
    network: Option<Pointer>,
    word: Option<Pointer>,
}

impl TryFrom<WrittenPoll> for PollConfig {
    type Error = String;

    fn try_from(written: WrittenPoll) -> Result<Self, String> {
        let path =
            Template::parse(&written.path, &[Placeholder::Reference]).map_err(|why| format!("poll.path: {why}"))?;
        if !path.uses(Placeholder::Reference) {
            return Err("poll.path has no {reference}".to_owned());
        }
        let example = path.render(|_| "x".into());
        if !example.starts_with('/') {
            return Err("poll.path starts with /".to_owned());
        }
        EndpointUrl::parse(&format!("https://localhost{}", *example)).map_err(|why| format!("poll.path: {why}"))?;
        if !(100..=60_000).contains(&written.every_ms) {
            return Err("poll.every_ms must be from 100 to 60000".to_owned());
        }
        let mapping = ReceiptMapping {
            status: Source::Body(written.status),
            delivered: written.delivered,
            in_progress: written.in_progress,
            failed: written.failed.into_iter().collect(),
            network: written.network.map(Source::Body),
            word: written.word.map(Source::Body),
        };
        mapping.check("poll")?;
        Ok(Self { path, every: Duration::from_millis(written.every_ms), mapping })
    }
}

impl ReceiptMapping {
    fn check(&self, section: &str) -> Result<(), String> {
        if self.delivered.is_empty() {
            return Err(format!("{section}.delivered is empty: nothing would ever be delivered"));
        }
        let failed = self.failed.iter().map(|(word, _)| word);
        let words = self.delivered.iter().chain(&self.in_progress).chain(failed);
        stands_twice(words.map(String::as_str)).map_or(Ok(()), |why| Err(format!("{section}: {why}")))
    }
}
