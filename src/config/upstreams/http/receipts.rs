//! How a provider's receipts are read: those that it brings (callbacks), and those that are fetched (polling).

mod rules;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde::de::Error;

use super::Hmac;
use super::answers::{Class, Pointer};
use super::template::{Placeholder, Template};
use crate::config::SecretText;
use crate::domain::allowlist::Allowlist;
use crate::domain::endpoint_url::EndpointUrl;

/// Receipts that the provider brings to `/callbacks/NAME`.
#[derive(Clone, PartialEq, Debug)]
pub struct CallbackConfig {
    pub method: CallbackMethod,
    pub proof: Proof,
    /// Who may call; empty: anybody who has the proof.
    pub allow: Allowlist,
    pub form: Form,
    /// The list whose elements are one receipt each; pointers are relative to the element. Without it the body is one receipt.
    pub each: Option<Pointer>,
    /// Where our own name for the attempt is, if the provider echoes it.
    pub attempt: Option<Source>,
    /// Where its own name is.
    pub reference: Option<Source>,
    /// The phone that a reference must be of.
    pub phone: Option<Source>,
    pub mapping: ReceiptMapping,
}

/// How receipts are brought. With `Get` everything stands behind the URL's `?`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum CallbackMethod {
    #[default]
    Post,
    Get,
}

impl CallbackMethod {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Get => "GET",
        }
    }
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
    /// The list whose elements are one receipt each; pointers are relative to the element.
    pub each: Option<Pointer>,
    /// Where an element has the provider's name for its attempt; without it every element is of what was asked for.
    pub reference: Option<Pointer>,
    pub mapping: ReceiptMapping,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenCallback {
    #[serde(default)]
    method: CallbackMethod,
    hmac_sha256: Option<Hmac>,
    header: Option<Named>,
    query: Option<Named>,
    #[serde(default)]
    allow: Vec<String>,
    form: Option<Form>,
    each: Option<ListAt>,
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
        let WrittenCallback { method, hmac_sha256, header, query, allow, form, attempt, reference, phone, .. } =
            written;
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
        if method == CallbackMethod::Get && form.is_some() {
            return Err("callback.form is what a body is, and a GET has none: leave it out".to_owned());
        }
        let (form, each) = (form.unwrap_or_default(), written.each.map(|ListAt(pointer)| pointer));
        let config = Self { method, proof, allow, form, each, attempt, reference, phone, mapping };
        config.check_signed()?;
        config.check_each()?;
        config.check_get()?;
        Ok(config)
    }
}

/// Where a list is; empty: the body itself is the list.
struct ListAt(Pointer);

impl<'de> Deserialize<'de> for ListAt {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let pointer = if text.is_empty() { Some(Pointer::whole()) } else { Pointer::parse(&text) };
        pointer.map(Self).ok_or_else(|| {
            D::Error::custom(format!("{text:?} is no JSON pointer: write \"/results\", or \"\" for the body itself"))
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenPoll {
    path: String,
    every_ms: u64,
    each: Option<ListAt>,
    reference: Option<Pointer>,
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
        let each = written.each.map(|ListAt(pointer)| pointer);
        if each.is_none() && written.reference.is_some() {
            return Err("poll.reference tells the elements of a list apart: it needs poll.each".to_owned());
        }
        let every = Duration::from_millis(written.every_ms);
        Ok(Self { path, every, each, reference: written.reference, mapping })
    }
}
