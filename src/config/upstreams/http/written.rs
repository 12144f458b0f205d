//! What stands in the file, before it is held together.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use toml::Table;

use super::answers::AnswerRule;
use super::receipts::{WrittenCallback, WrittenPoll};
use super::template::{JsonTemplate, Placeholder, Template};
use super::{Auth, Content, HttpConfig, Method, Proof, Worth};
use crate::config::trimmed;
use crate::domain::endpoint_url::EndpointUrl;

/// The code first, and nothing that an SMS would need more than 7 bits for.
const TEXT: &str = "{code} la ma xac thuc cua ban.";
/// Headers that are written from other settings, or that say where a message ends.
const OURS: [&str; 9] = [
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "accept-encoding",
    "expect",
    "te",
    "upgrade",
];
const ANSWERS_MAX: usize = 100;
const HEADERS_MAX: usize = 32;
/// Each attempt is asked for during some 70 s, and a link awaits 100,000 at once.
const POLLED_RATE_MAX: u32 = 1_400;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    #[serde(deserialize_with = "trimmed::text")]
    url: String,
    #[serde(default)]
    method: Method,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    auth: Option<Auth>,
    json: Option<Table>,
    form: Option<BTreeMap<String, String>>,
    query: Option<BTreeMap<String, String>>,
    text: Option<String>,
    #[serde(default, deserialize_with = "trimmed::any")]
    callback_url: Option<String>,
    idempotency_header: Option<String>,
    #[serde(default)]
    answers: Vec<AnswerRule>,
    callback: Option<WrittenCallback>,
    poll: Option<WrittenPoll>,
    #[serde(default)]
    receipts: Worth,
    connect_timeout_ms: Option<u64>,
    answer_timeout_ms: Option<u64>,
    keep_alive_ms: Option<u64>,
    in_flight_max: Option<usize>,
    rate_per_second: Option<u32>,
    per_phone_gap_s: Option<u32>,
    #[serde(default, deserialize_with = "trimmed::any")]
    extra_ca_file: Option<String>,
}

impl TryFrom<Written> for HttpConfig {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let url = EndpointUrl::parse(&written.url).map_err(|why| format!("url: {why}"))?;
        let content = content(written.json, written.form, written.query)?;
        if written.method == Method::Get && matches!(content, Content::Json(_) | Content::Form(_)) {
            return Err("method \"GET\" has no body: use query".to_owned());
        }
        if matches!((&written.auth, &content), (Some(Auth::HmacSha256(_)), Content::Nothing | Content::Query(_))) {
            return Err("auth.hmac_sha256 signs a body: use json or form".to_owned());
        }
        let callback_url =
            written.callback_url.map(|text| Template::parse(&text, Placeholder::OF_A_CALLBACK_URL)).transpose();
        let callback_url = callback_url.map_err(|why| format!("callback_url: {why}"))?;
        if content.uses(Placeholder::CallbackUrl) && callback_url.is_none() {
            return Err("{callback_url} is used, and callback_url is not set".to_owned());
        }
        if !content.uses(Placeholder::Code) && !content.uses(Placeholder::Text) {
            return Err("neither {code} nor {text} is sent: json, form or query must have one of them".to_owned());
        }
        let text = written.text.as_deref().unwrap_or(TEXT);
        let text = Template::parse(text, &[Placeholder::Code]).map_err(|why| format!("text: {why}"))?;
        if !text.uses(Placeholder::Code) {
            return Err("text has no {code}".to_owned());
        }
        let answers = answers(written.answers)?;
        let poll = written.poll.map(super::PollConfig::try_from).transpose()?;
        if poll.is_some() && !answers.iter().any(|rule| rule.reference.is_some()) {
            return Err("poll asks by reference, and no rule of answers has one".to_owned());
        }
        if poll.is_some() && written.rate_per_second.is_some_and(|rate| rate > POLLED_RATE_MAX) {
            return Err(format!(
                "poll follows at most {POLLED_RATE_MAX} attempts a second: rate_per_second is above that"
            ));
        }
        let config = Self {
            url,
            method: written.method,
            headers: headers(written.headers)?,
            auth: written.auth,
            content,
            text,
            callback_url,
            idempotency_header: written.idempotency_header,
            answers,
            callback: written.callback.map(super::CallbackConfig::try_from).transpose()?,
            poll,
            receipts: written.receipts,
            connect_timeout: ms("connect_timeout_ms", written.connect_timeout_ms, 2_000, 10_000)?,
            answer_timeout: ms("answer_timeout_ms", written.answer_timeout_ms, 6_000, 30_000)?,
            keep_alive: ms("keep_alive_ms", written.keep_alive_ms, 4_000, 300_000)?,
            in_flight_max: between("in_flight_max", written.in_flight_max.unwrap_or(32), 1, 10_000)?,
            rate_per_second: written
                .rate_per_second
                .map(|rate| between("rate_per_second", rate, 1, 100_000))
                .transpose()?,
            per_phone_gap: written
                .per_phone_gap_s
                .map(|gap| between("per_phone_gap_s", gap, 1, 3_600))
                .transpose()?
                .map(|gap| Duration::from_secs(gap.into())),
            extra_ca_file: written.extra_ca_file,
        };
        config.check_headers()?;
        config.check_receipts()?;
        config.check_callback_url()?;
        Ok(config)
    }
}

impl HttpConfig {
    /// Names and values that can be headers, and each name once.
    fn check_headers(&self) -> Result<(), String> {
        let auth = match &self.auth {
            Some(Auth::Bearer(_) | Auth::Basic { .. }) => Some("authorization"),
            Some(Auth::Header { name, .. }) => Some(name.as_str()),
            Some(Auth::HmacSha256(hmac)) => Some(hmac.header.as_str()),
            None => None,
        };
        let mut names: Vec<String> = Vec::new();
        let all = self.headers.iter().map(|(name, _)| name.as_str());
        for name in all.chain(auth).chain(self.idempotency_header.as_deref()) {
            let name = name.to_ascii_lowercase();
            let sane = (1..=64).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
            if !sane || OURS.contains(&name.as_str()) {
                return Err(format!("{name:?} cannot be a header of a request"));
            }
            if names.contains(&name) {
                return Err(format!("the header {name} is written twice"));
            }
            names.push(name);
        }
        let (secret, prefix) = match &self.auth {
            Some(Auth::Bearer(value) | Auth::Header { value, .. }) => (value.expose(), ""),
            Some(Auth::HmacSha256(hmac)) => ("", hmac.prefix.as_str()),
            Some(Auth::Basic { .. }) | None => ("", ""),
        };
        let visible = |text: &str| text.bytes().all(|b| matches!(b, b' '..=b'~'));
        if !visible(secret) {
            return Err("auth: the secret has a character that no header can have".to_owned());
        }
        if !visible(prefix) {
            return Err("auth.hmac_sha256.prefix is not visible ASCII".to_owned());
        }
        let wrong = self.headers.iter().find(|(_, value)| !visible(value));
        wrong.map_or(Ok(()), |(name, _)| Err(format!("headers.{name} is not visible ASCII")))
    }

    fn check_receipts(&self) -> Result<(), String> {
        let come = self.callback.is_some() || self.poll.is_some();
        match self.receipts {
            Worth::Handset | Worth::Network if !come => {
                Err("no receipt can come: set callback or poll, or say what that means with receipts = \"refunded\" or \
                     \"charged\""
                    .to_owned())
            }
            Worth::Refunded | Worth::Charged if come => {
                Err("receipts = \"refunded\" and \"charged\" are for providers that send none, and there is callback or poll"
                    .to_owned())
            }
            _ if self.needs_reference() && !self.answers.iter().any(|rule| rule.reference.is_some()) => {
                Err("callback knows attempts by reference, and no rule of answers has one: no receipt would find its attempt"
                    .to_owned())
            }
            _ => Ok(()),
        }
    }

    /// The secret of a callback stands nowhere in the clear: settings are printed.
    fn check_callback_url(&self) -> Result<(), String> {
        let Some(url) = &self.callback_url else { return Ok(()) };
        let secret = self.callback.as_ref().and_then(|callback| match &callback.proof {
            Proof::Query { value, .. } => Some(value.expose()),
            Proof::Hmac(_) | Proof::Header { .. } => None,
        });
        match secret {
            None if url.uses(Placeholder::CallbackSecret) => {
                Err("callback_url: {callback_secret} is the secret of callback.query, and there is none".to_owned())
            }
            Some(secret) if url.render(|_| "".into()).contains(secret) => {
                Err("callback_url: the secret of callback.query is written as {callback_secret}".to_owned())
            }
            // A provider that cannot read it brings no receipt at all.
            _ => match EndpointUrl::parse(&url.render(|_| "x".into())) {
                Ok(_) => Ok(()),
                Err(why) => Err(format!("callback_url: {why}")),
            },
        }
    }
}

impl Content {
    fn uses(&self, placeholder: Placeholder) -> bool {
        match self {
            Self::Nothing => false,
            Self::Json(json) => json.uses(placeholder),
            Self::Form(pairs) | Self::Query(pairs) => pairs.iter().any(|(_, template)| template.uses(placeholder)),
        }
    }
}

fn content(
    json: Option<Table>,
    form: Option<BTreeMap<String, String>>,
    query: Option<BTreeMap<String, String>>,
) -> Result<Content, String> {
    match (json, form, query) {
        (None, None, None) => Ok(Content::Nothing),
        (Some(json), None, None) => JsonTemplate::of_table(json).map(Content::Json),
        (None, Some(form), None) => pairs(form).map(Content::Form),
        (None, None, Some(query)) => pairs(query).map(Content::Query),
        _ => Err("there is one of json, form and query".to_owned()),
    }
}

fn pairs(written: BTreeMap<String, String>) -> Result<Vec<(String, Template)>, String> {
    let parse = |(name, text): (String, String)| {
        Template::parse(&text, Placeholder::OF_A_REQUEST).map(|template| (name, template))
    };
    written.into_iter().map(parse).collect()
}

fn answers(rules: Vec<AnswerRule>) -> Result<Vec<AnswerRule>, String> {
    if rules.len() > ANSWERS_MAX {
        return Err(format!("there are at most {ANSWERS_MAX} answers"));
    }
    for (number, rule) in (1_usize..).zip(&rules) {
        rule.check().map_err(|why| format!("answers, rule {number}: {why}"))?;
    }
    Ok(rules)
}

fn headers(written: BTreeMap<String, String>) -> Result<Vec<(String, String)>, String> {
    if written.len() > HEADERS_MAX {
        return Err(format!("there are at most {HEADERS_MAX} headers"));
    }
    Ok(written.into_iter().collect())
}

fn ms(name: &str, written: Option<u64>, default: u64, most: u64) -> Result<Duration, String> {
    between(name, written.unwrap_or(default), 1, most).map(Duration::from_millis)
}

fn between<T: PartialOrd + Copy + std::fmt::Display>(name: &str, value: T, least: T, most: T) -> Result<T, String> {
    if value >= least && value <= most {
        Ok(value)
    } else {
        Err(format!("{name} must be from {least} to {most}, not {value}"))
    }
}
