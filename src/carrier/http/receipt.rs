//! Receipts as providers tell them: from the bytes of a callback, or of the answer to a poll, to the house's words.
//!
//! Pure, and for any bytes. A word that the settings do not know is "in progress": it is recorded, and never ends a delivery.

use serde_json::{Map, Value};

use super::answer::{name_at, text_at};
use super::form;
use crate::carrier::upstream::{Receipt, ReceiptState, Subject};
use crate::config::upstreams::http::{CallbackConfig, Form, ReceiptMapping, Source};
use crate::domain::carrier::NetworkCode;
use crate::domain::delivery::CarrierStatus;
use crate::domain::phone::{InvalidPhone, Phone};
use crate::domain::reference::{Reference, UpstreamId};

/// So many digits may be a code (contract §2: 4 to 8).
const CODE_DIGITS_MIN: usize = 4;

/// Why a callback says nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("the body is not what the settings say that it is")]
    Body,
    #[error("neither an attempt nor a reference is where the settings say")]
    Subject,
    #[error("there is no status where the settings say")]
    Status,
}

/// A receipt, and whether the settings know its word.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    pub receipt: Receipt,
    pub word_is_known: bool,
}

/// Reads a callback of `upstream`: what stood behind the `?` of its URL, and its body.
///
/// # Errors
/// [`Unreadable`].
pub fn of_callback(
    config: &CallbackConfig,
    upstream: &UpstreamId,
    query: &str,
    body: &[u8],
) -> Result<Told, Unreadable> {
    let body = match config.form {
        Form::Json => serde_json::from_slice(body).map_err(|_| Unreadable::Body)?,
        Form::Form => form_as_json(body),
    };
    let told = Message { query: Some(query), body: &body };
    let subject = told.subject(config).ok_or(Unreadable::Subject)?;
    told.receipt(&config.mapping, upstream, subject).ok_or(Unreadable::Status)
}

/// Reads the answer to a poll for the attempt `subject`; `None` if it says nothing.
pub(super) fn of_poll(mapping: &ReceiptMapping, upstream: &UpstreamId, subject: Subject, body: &[u8]) -> Option<Told> {
    let body = serde_json::from_slice(body).ok()?;
    Message { query: None, body: &body }.receipt(mapping, upstream, subject)
}

/// The value of a parameter behind a URL's `?`: the first one, if there are several.
#[must_use]
pub fn parameter(query: &str, name: &str) -> Option<String> {
    form::pairs(query.as_bytes()).find(|(known, _)| known == name).map(|(_, value)| value)
}

/// The pairs of a form as the members of an object; of a name that comes twice the first counts.
fn form_as_json(body: &[u8]) -> Value {
    let mut members = Map::new();
    for (name, value) in form::pairs(body) {
        members.entry(name).or_insert(Value::String(value));
    }
    Value::Object(members)
}

struct Message<'a> {
    query: Option<&'a str>,
    body: &'a Value,
}

impl Message<'_> {
    fn text(&self, source: &Source) -> Option<String> {
        match source {
            Source::Body(pointer) => text_at(Some(self.body), pointer),
            Source::Query(name) => parameter(self.query?, name),
        }
    }

    fn name(&self, source: &Source) -> Option<String> {
        match source {
            Source::Body(pointer) => name_at(Some(self.body), pointer),
            Source::Query(_) => self.text(source),
        }
    }

    fn subject(&self, config: &CallbackConfig) -> Option<Subject> {
        let attempt = config.attempt.as_ref().and_then(|source| self.text(source));
        if let Some(subject) = attempt.as_deref().and_then(Subject::of_attempt_id) {
            return Some(subject);
        }
        let reference = Reference::new(&self.name(config.reference.as_ref()?)?)?;
        // A phone that is missing or that nobody can read is nobody's: it does not make the reference anybody's.
        let phone = match &config.phone {
            Some(source) => Some(any_form(&self.text(source)?)?),
            None => None,
        };
        Some(Subject::Reference { references: vec![reference], phone })
    }

    fn receipt(&self, mapping: &ReceiptMapping, upstream: &UpstreamId, subject: Subject) -> Option<Told> {
        let word = self.text(&mapping.status).filter(|word| !word.is_empty())?;
        let is_word = |known: &str| known.eq_ignore_ascii_case(&word);
        let failed = mapping.failed.iter().find(|(known, _)| is_word(known));
        let (state, word_is_known) = match failed {
            Some((_, class)) => (ReceiptState::Failed((*class).into()), true),
            None if mapping.delivered.iter().any(|known| is_word(known)) => (ReceiptState::Delivered, true),
            None => (ReceiptState::InProgress, mapping.in_progress.iter().any(|known| is_word(known))),
        };
        let more = mapping.word.as_ref().and_then(|source| self.text(source));
        let network = mapping.network.as_ref().and_then(|source| NetworkCode::parse(&self.text(source)?));
        let status = match more {
            Some(prose) => CarrierStatus::clean(&without_numbers(&prose)),
            None if word_is_known || !word.contains(' ') => CarrierStatus::clean(&word),
            None => CarrierStatus::clean(&without_numbers(&word)),
        };
        Some(Told { receipt: Receipt { upstream: upstream.clone(), subject, state, status, network }, word_is_known })
    }
}

/// Prose with `#` for each digit of a number that could be a code: it may quote the message, whose code is kept nowhere. Four
/// digits or more are one, also where single characters stand between them.
fn without_numbers(prose: &str) -> String {
    let text: Vec<char> = prose.chars().filter(|c| matches!(c, ' '..='~')).collect();
    let mut cleared = text.clone();
    let mut at = 0;
    while at < text.len() {
        let (mut end, mut digits) = (at, Vec::new());
        while let Some(c) = text.get(end) {
            if c.is_ascii_digit() {
                digits.push(end);
            } else if digits.is_empty()
                || c.is_ascii_alphabetic()
                || !text.get(end + 1).is_some_and(char::is_ascii_digit)
            {
                break;
            }
            end += 1;
        }
        if digits.len() >= CODE_DIGITS_MIN {
            digits.into_iter().for_each(|digit| cleared[digit] = '#');
        }
        at = end.max(at + 1);
    }
    cleared.into_iter().collect()
}

/// A phone in whatever form the provider writes it.
fn any_form(text: &str) -> Option<Phone> {
    match Phone::parse(text.trim()) {
        Ok(phone) => Some(phone),
        Err(InvalidPhone::NationalForm { suggestion }) => Phone::parse(&suggestion).ok(),
        Err(InvalidPhone::NotMobile | InvalidPhone::Malformed) => None,
    }
}
