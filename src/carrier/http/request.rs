//! Requests to a provider, made of a template and an attempt. The same attempt makes the same bytes.
//!
//! What stands in a template's place is escaped for where it stands: in a string of JSON, in a form, in a URL.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT,
};
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Uri};
use zeroize::Zeroizing;

use super::form;
use crate::carrier::upstream::Attempt;
use crate::config::upstreams::http::{
    Auth, Content, Encoding, Hmac, HttpConfig, JsonTemplate, Method, Placeholder, Proof, Template,
};
use crate::domain::json::write_string;
use crate::domain::reference::Reference;
use crate::domain::signature::{hex, hmac_sha256};

/// What stands in the place of placeholders.
struct Values<'a> {
    attempt: &'a Attempt,
    id: &'a str,
    phone: String,
    text: Zeroizing<String>,
    callback_url: Zeroizing<String>,
}

impl<'a> Values<'a> {
    fn new(config: &HttpConfig, attempt: &'a Attempt, id: &'a str) -> Self {
        let secret = callback_secret(config);
        let callback_url = config.callback_url.as_ref().map(|template| {
            template.render(|placeholder| match placeholder {
                Placeholder::CallbackSecret => Cow::Borrowed(&secret),
                _ => Cow::Borrowed(id),
            })
        });
        Self {
            attempt,
            id,
            phone: attempt.phone.e164(),
            text: config.text.render(|_| Cow::Borrowed(attempt.code.expose())),
            callback_url: callback_url.unwrap_or_default(),
        }
    }

    fn of(&self, placeholder: Placeholder) -> Cow<'_, str> {
        match placeholder {
            Placeholder::Phone => Cow::Borrowed(&self.phone),
            Placeholder::PhoneDigits => Cow::Borrowed(self.phone.trim_start_matches('+')),
            Placeholder::PhoneNational => Cow::Owned(format!("0{:09}", self.attempt.phone.national())),
            Placeholder::Code => Cow::Borrowed(self.attempt.code.expose()),
            Placeholder::Text => Cow::Borrowed(&self.text),
            Placeholder::Channel => Cow::Borrowed(self.attempt.channel.as_str()),
            Placeholder::AttemptId => Cow::Borrowed(self.id),
            Placeholder::CallbackUrl => Cow::Borrowed(&self.callback_url),
            // No template of a request has them.
            Placeholder::Reference | Placeholder::CallbackSecret => Cow::Borrowed(""),
        }
    }

    fn fill(&self, template: &Template) -> Zeroizing<String> {
        template.render(|placeholder| self.of(placeholder))
    }
}

/// What proves a callback in its URL, as a URL holds it.
fn callback_secret(config: &HttpConfig) -> Zeroizing<String> {
    let Some(Proof::Query { value, .. }) = config.callback.as_ref().map(|callback| &callback.proof) else {
        return Zeroizing::default();
    };
    let mut escaped = Zeroizing::new(Vec::with_capacity(3 * value.expose().len()));
    form::escape(&mut escaped, value.expose(), false);
    Zeroizing::new(String::from_utf8_lossy(&escaped).into_owned())
}

/// A request that can be made as often as it must be sent.
#[derive(Clone)]
pub(super) struct Prepared {
    method: Method,
    target: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

impl Prepared {
    /// What `attempt` is sent as.
    pub(super) fn of_attempt(config: &HttpConfig, attempt: &Attempt) -> Self {
        let id = attempt.id();
        let values = Values::new(config, attempt, &id);
        let mut target = Zeroizing::new(config.url.target().to_owned());
        let (body, media_type) = match &config.content {
            Content::Nothing => (Vec::new(), None),
            Content::Json(template) => (json(template, &values), Some("application/json")),
            Content::Form(pairs) => (form_of(pairs, &values), Some("application/x-www-form-urlencoded")),
            Content::Query(pairs) => {
                let joint = if target.contains('?') { '&' } else { '?' };
                target.push(joint);
                target.push_str(&String::from_utf8_lossy(&form_of(pairs, &values)));
                (Vec::new(), None)
            }
        };
        let mut headers = head(config, &body);
        if let Some(media_type) = media_type {
            headers.push((CONTENT_TYPE, HeaderValue::from_static(media_type)));
        }
        if config.method != Method::Get {
            headers.push((CONTENT_LENGTH, HeaderValue::from(body.len())));
        }
        if let Some(name) = &config.idempotency_header {
            headers.push((name_of(name), value_of(&id, false)));
        }
        Self { method: config.method, target: target_of(&target), headers, body: Bytes::from(body) }
    }

    /// How a receipt is asked for.
    pub(super) fn of_poll(config: &HttpConfig, path: &Template, reference: &Reference) -> Self {
        let mut escaped = Vec::new();
        form::escape(&mut escaped, reference.as_str(), false);
        let escaped = String::from_utf8_lossy(&escaped).into_owned();
        let target = path.render(|_| Cow::Borrowed(&escaped));
        Self { method: Method::Get, target: target_of(&target), headers: head(config, b""), body: Bytes::new() }
    }

    pub(super) fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = match self.method {
            Method::Post => hyper::Method::POST,
            Method::Put => hyper::Method::PUT,
            Method::Get => hyper::Method::GET,
        };
        *request.uri_mut() = self.target.clone();
        request.headers_mut().extend(self.headers.iter().cloned());
        request
    }
}

fn head(config: &HttpConfig, body: &[u8]) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = vec![
        (HOST, value_of(&config.url.host_header(), false)),
        (USER_AGENT, HeaderValue::from_static("NEXO-ROUTE/1.0")),
        (ACCEPT, HeaderValue::from_static("application/json")),
        (ACCEPT_ENCODING, HeaderValue::from_static("identity")),
    ];
    for (name, value) in &config.headers {
        let name = name_of(name);
        headers.retain(|(known, _)| *known != name);
        headers.push((name, value_of(value, false)));
    }
    headers.extend(config.auth.as_ref().map(|auth| proof(auth, body)));
    headers
}

fn proof(auth: &Auth, body: &[u8]) -> (HeaderName, HeaderValue) {
    match auth {
        Auth::Bearer(token) => (AUTHORIZATION, value_of(&Zeroizing::new(format!("Bearer {}", token.expose())), true)),
        Auth::Basic { user, password } => {
            let pair = Zeroizing::new(format!("{user}:{}", password.expose()));
            let pair = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
            (AUTHORIZATION, value_of(&Zeroizing::new(format!("Basic {}", *pair)), true))
        }
        Auth::Header { name, value } => (name_of(name), value_of(value.expose(), true)),
        Auth::HmacSha256(hmac) => (name_of(&hmac.header), value_of(&signature(hmac, body), true)),
    }
}

/// What stands in the header of a signed body.
pub fn signature(hmac: &Hmac, body: &[u8]) -> String {
    let mac = hmac_sha256(hmac.key.expose().as_bytes(), &[body]);
    match hmac.encoding {
        Encoding::Hex => format!("{}{}", hmac.prefix, *hex(&mac)),
        Encoding::Base64 => format!("{}{}", hmac.prefix, STANDARD.encode(mac)),
    }
}

fn json(template: &JsonTemplate, values: &Values<'_>) -> Vec<u8> {
    let mut text = Vec::with_capacity(512);
    write(template, values, &mut text);
    text
}

fn write(template: &JsonTemplate, values: &Values<'_>, text: &mut Vec<u8>) {
    match template {
        JsonTemplate::Text(template) => write_string(text, &values.fill(template)),
        JsonTemplate::Whole(number) => text.extend_from_slice(number.to_string().as_bytes()),
        JsonTemplate::Fraction(number) => text.extend_from_slice(number.to_string().as_bytes()),
        JsonTemplate::Truth(truth) => text.extend_from_slice(truth.to_string().as_bytes()),
        JsonTemplate::List(list) => {
            text.push(b'[');
            for (index, value) in list.iter().enumerate() {
                if index > 0 {
                    text.push(b',');
                }
                write(value, values, text);
            }
            text.push(b']');
        }
        JsonTemplate::Object(members) => {
            text.push(b'{');
            for (index, (name, value)) in members.iter().enumerate() {
                if index > 0 {
                    text.push(b',');
                }
                write_string(text, name);
                text.push(b':');
                write(value, values, text);
            }
            text.push(b'}');
        }
    }
}

fn form_of(pairs: &[(String, Template)], values: &Values<'_>) -> Vec<u8> {
    let mut text = Vec::with_capacity(256);
    for (name, template) in pairs {
        if !text.is_empty() {
            text.push(b'&');
        }
        form::escape(&mut text, name, true);
        text.push(b'=');
        form::escape(&mut text, &values.fill(template), true);
    }
    text
}

/// What settings and escaping have made visible ASCII.
fn target_of(text: &str) -> Uri {
    Uri::from(PathAndQuery::try_from(text).expect("a target has only what a target may have"))
}

fn name_of(name: &str) -> HeaderName {
    HeaderName::try_from(name).expect("checked when the settings were read")
}

fn value_of(text: &str, is_secret: bool) -> HeaderValue {
    let mut value = HeaderValue::from_str(text).expect("checked when the settings were read");
    value.set_sensitive(is_secret);
    value
}
