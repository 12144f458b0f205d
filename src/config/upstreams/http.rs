//! A provider that is spoken to over HTTP: what is sent to it, what its answers mean, and how receipts come back.
//!
//! Configured, not coded: `config/upstreams/tkc.toml` is the worked example. The values are read and checked here, pointers
//! and placeholders among them, so that a link never meets one that it does not know.

mod answers;
mod receipts;
mod template;
mod written;

use std::time::Duration;

use serde::Deserialize;

pub use answers::{AnswerRule, Answered, Class, OneOrMany, Pointer, Scalar, StatusRange};
pub use receipts::{CallbackConfig, CallbackMethod, Form, PollConfig, Proof, ReceiptMapping, Source};
pub use template::{JsonTemplate, Placeholder, Template};

use crate::config::SecretText;
use crate::domain::endpoint_url::EndpointUrl;

/// One provider's account.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(try_from = "written::Written")]
pub struct HttpConfig {
    pub url: EndpointUrl,
    pub method: Method,
    pub headers: Vec<(String, String)>,
    pub auth: Option<Auth>,
    pub content: Content,
    /// What `{text}` becomes.
    pub text: Template,
    /// What `{callback_url}` becomes.
    pub callback_url: Option<Template>,
    /// The header in which the provider takes our key for an attempt, and for which it promises to take each once.
    pub idempotency_header: Option<String>,
    /// The first that matches an answer says what it means.
    pub answers: Vec<AnswerRule>,
    pub callback: Option<CallbackConfig>,
    pub poll: Option<PollConfig>,
    pub receipts: Worth,
    /// From the look-up of the name to the end of TLS.
    pub connect_timeout: Duration,
    /// From there to the last byte of the answer.
    pub answer_timeout: Duration,
    /// How long an idle connection is kept.
    pub keep_alive: Duration,
    pub in_flight_max: usize,
    pub rate_per_second: Option<u32>,
    pub per_phone_gap: Option<Duration>,
    /// PEM with certificate authorities to trust besides the public ones.
    pub extra_ca_file: Option<String>,
}

impl HttpConfig {
    /// Whether receipts can come by the provider's own names for attempts alone.
    #[must_use]
    pub fn needs_reference(&self) -> bool {
        match &self.callback {
            Some(callback) => callback.attempt.is_none(),
            None => self.poll.is_some(),
        }
    }

    /// What an operator should know although it can be meant.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let callback = self.callback.as_ref().and_then(CallbackConfig::warning);
        callback.into_iter().chain(self.poll.as_ref().and_then(PollConfig::warning)).collect()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    #[default]
    Post,
    Put,
    Get,
}

/// How the provider knows that it is us.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Auth {
    /// `Authorization: Bearer …`
    Bearer(SecretText),
    /// `Authorization: Basic …`
    Basic { user: String, password: SecretText },
    /// A header of the provider's own.
    Header { name: String, value: SecretText },
    /// A signature of the raw body.
    HmacSha256(Hmac),
}

/// HMAC-SHA256 over the raw bytes of a body, in a header.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hmac {
    pub header: String,
    pub key: SecretText,
    /// What stands before the signature.
    #[serde(default)]
    pub prefix: String,
    #[serde(default)]
    pub encoding: Encoding,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    #[default]
    Hex,
    Base64,
}

/// What a request carries besides its URL and headers.
#[derive(Clone, PartialEq, Debug)]
pub enum Content {
    Nothing,
    Json(JsonTemplate),
    Form(Vec<(String, Template)>),
    /// Behind the URL's `?`.
    Query(Vec<(String, Template)>),
}

/// What a receipt that says "delivered" has seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Worth {
    #[default]
    Handset,
    Network,
    /// None come: what was accepted fails at its settle time and is refunded.
    Refunded,
    /// None come: what was accepted counts as delivered.
    Charged,
}

#[cfg(test)]
mod tests;
