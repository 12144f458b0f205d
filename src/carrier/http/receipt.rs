//! Receipts as providers tell them: from the bytes of a callback, or of the answer to a poll, to the house's words.
//!
//! One callback may hold many receipts (`each`); without that, what the pointers do not see of a list is found out. Pure, and
//! for any bytes. A word that the settings do not know is "in progress": it is recorded, and never ends a delivery.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::answer::{json, name_at, text_at, without_mark};
use super::form;
use crate::carrier::upstream::{Receipt, ReceiptState, Subject};
use crate::config::upstreams::http::{CallbackConfig, Form, Pointer, PollConfig, ReceiptMapping, Source};
use crate::domain::carrier::NetworkCode;
use crate::domain::delivery::CarrierStatus;
use crate::domain::phone::{InvalidPhone, Phone};
use crate::domain::reference::{Reference, UpstreamId};

/// So many digits may be a code (contract §2: 4 to 8).
const CODE_DIGITS_MIN: usize = 4;

/// The most receipts that one callback, or one answer, may hold.
pub const EACH_MAX: usize = 1_000;

/// Why a callback says nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("the body is not what the settings say that it is")]
    Body,
    #[error("there is no list where the settings say")]
    List,
    #[error("it has more than {EACH_MAX} receipts")]
    TooMany,
    #[error("a value that the settings name stands in it twice")]
    Twice,
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

/// All that one callback says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Heard {
    pub told: Vec<Told>,
    /// Elements that cannot be read.
    pub unreadable: usize,
    /// The list of which the pointers of the settings do not see every element.
    pub unseen: Option<String>,
}

/// Reads a callback of `upstream`: what stood behind the `?` of its URL, and its body, which a GET has none of.
///
/// # Errors
/// [`Unreadable`], where nothing of it can be read.
pub fn of_callback(
    config: &CallbackConfig,
    upstream: &UpstreamId,
    query: &str,
    body: &[u8],
) -> Result<Heard, Unreadable> {
    let parameters: Vec<(String, String)> = form::pairs(query.as_bytes()).collect();
    let reads_body = config.each.is_some() || config.sources().any(|(_, source)| matches!(source, Source::Body(_)));
    let body = match config.form {
        _ if !reads_body => Value::Null,
        Form::Json => json(body).ok_or(Unreadable::Body)?,
        Form::Form => form_as_json(config, body)?,
    };
    let is_twice = |(_, source): (_, &Source)| match source {
        Source::Query(name) => parameters.iter().filter(|(known, _)| known == name).count() > 1,
        Source::Body(_) => false,
    };
    if config.sources().any(is_twice) {
        return Err(Unreadable::Twice);
    }
    let one = |element: &Value| {
        let message = Message { parameters: &parameters, body: element };
        let subject = message.subject(config).ok_or(Unreadable::Subject)?;
        message.receipt(&config.mapping, upstream, subject).ok_or(Unreadable::Status)
    };
    let Some(each) = &config.each else {
        let unseen = unseen(config.pointers_of_one(), &body);
        return match one(&body) {
            Ok(told) => Ok(Heard { told: vec![told], unreadable: 0, unseen }),
            Err(_) if unseen.is_some() => Ok(Heard { told: Vec::new(), unreadable: 1, unseen }),
            Err(why) => Err(why),
        };
    };
    let mut heard = Heard { unseen: unseen([each].into_iter(), &body), ..Heard::default() };
    for element in elements(each, &body)? {
        match one(element) {
            Ok(told) => {
                heard.told.push(told);
                let deeper = || unseen(config.pointers_of_one(), element);
                heard.unseen = heard.unseen.or_else(|| Some(format!("{}/*{}", each.as_str(), deeper()?)));
            }
            Err(_unreadable) => heard.unreadable += 1,
        }
    }
    Ok(heard)
}

/// Reads the answer to a poll for the attempt `subject`, which the provider calls `asked`. Nothing, if it says nothing.
pub(super) fn of_poll(
    config: &PollConfig,
    upstream: &UpstreamId,
    subject: &Subject,
    asked: &Reference,
    body: &[u8],
) -> Heard {
    let Some(body) = json(body) else { return Heard::default() };
    let read = |element: &Value| {
        let message = Message { parameters: &[], body: element };
        let subject = match &config.reference {
            None => subject.clone(),
            Some(pointer) => match Reference::new(&name_at(Some(element), pointer)?)? {
                reference if reference == *asked => subject.clone(),
                reference => Subject::Reference { references: vec![reference], phone: None },
            },
        };
        message.receipt(&config.mapping, upstream, subject)
    };
    let Some(each) = &config.each else {
        let pointer = match &config.mapping.status {
            Source::Body(pointer) => Some(pointer),
            Source::Query(_) => None,
        };
        let unseen = unseen(pointer.into_iter(), &body);
        return Heard { told: read(&body).into_iter().collect(), unreadable: 0, unseen };
    };
    let elements = match elements(each, &body) {
        Ok(elements) => elements,
        Err(Unreadable::TooMany) => return Heard { unreadable: 1, ..Heard::default() },
        // No list yet.
        Err(_) => &[],
    };
    let told: Vec<Told> = elements.iter().filter_map(read).collect();
    Heard { unreadable: elements.len() - told.len(), told, unseen: unseen([each].into_iter(), &body) }
}

/// The value of a parameter behind a URL's `?`; one that stands there twice has none.
#[must_use]
pub fn parameter(query: &str, name: &str) -> Option<String> {
    let mut values = form::pairs(query.as_bytes()).filter(|(known, _)| known == name).map(|(_, value)| value);
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

fn elements<'a>(each: &Pointer, body: &'a Value) -> Result<&'a [Value], Unreadable> {
    let list = body.pointer(each.as_str()).and_then(Value::as_array).ok_or(Unreadable::List)?;
    if list.len() > EACH_MAX { Err(Unreadable::TooMany) } else { Ok(list) }
}

/// The first list that `pointers` look into without seeing all its elements.
fn unseen<'a>(pointers: impl Iterator<Item = &'a Pointer>, body: &Value) -> Option<String> {
    let mut seen: BTreeMap<&str, (usize, BTreeSet<usize>)> = BTreeMap::new();
    for (list, token) in pointers.flat_map(Pointer::steps) {
        let elements = body.pointer(list).and_then(Value::as_array);
        if let (Some(elements), Ok(index)) = (elements, token.parse()) {
            seen.entry(list).or_insert((elements.len(), BTreeSet::new())).1.insert(index);
        }
    }
    let blind = seen.into_iter().find(|(_, (length, seen))| (0..*length).any(|index| !seen.contains(&index)));
    blind.map(|(list, _)| list.to_owned())
}

/// The pairs of a form as the members of an object. A field that the settings name stands in it once: of two, one would be
/// another receipt's.
fn form_as_json(config: &CallbackConfig, body: &[u8]) -> Result<Value, Unreadable> {
    let mut members = Map::new();
    for (name, value) in form::pairs(without_mark(body)) {
        let is_read =
            |(_, source): (_, &Source)| matches!(source, Source::Body(pointer) if pointer.is_to_member(&name));
        if members.contains_key(&name) && config.sources().any(is_read) {
            return Err(Unreadable::Twice);
        }
        members.entry(name).or_insert(Value::String(value));
    }
    Ok(Value::Object(members))
}

struct Message<'a> {
    parameters: &'a [(String, String)],
    body: &'a Value,
}

impl Message<'_> {
    fn text(&self, source: &Source) -> Option<String> {
        match source {
            Source::Body(pointer) => text_at(Some(self.body), pointer),
            Source::Query(name) => {
                self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
            }
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
