//! What an answer means: the first rule that matches it, or its status where none does.
//!
//! An answer that nobody foresaw is never taken for a yes: where the operator has said what a yes looks like, any other answer
//! of success is ambiguous, and so is whatever came instead of the API (HTML). What repeats the code is withheld here, before
//! anybody can log or keep it.

use std::time::Duration;

use serde_json::Value;
use zeroize::Zeroizing;

use super::exchange::Answer;
use crate::carrier::upstream::FailureClass;
use crate::config::upstreams::http::{AnswerRule, Answered, Class, HttpConfig, OneOrMany, Pointer, Scalar};
use crate::domain::code::OtpCode;
use crate::domain::delivery::{CarrierStatus, HOLD_MAX};
use crate::domain::reference::Reference;

/// How long a phone is refused where neither the answer nor the settings say.
const PER_PHONE: Duration = Duration::from_secs(30);
/// The longest that a provider is believed of one phone, which nobody else can then send to either: so many times the gap of the
/// settings, or so long. One that counts in milliseconds, or names an instant, would block a phone for a day.
const GAPS_MAX: u32 = 4;
const PER_PHONE_MAX: Duration = Duration::from_secs(600);

/// What became of one sending.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Accepted { reference: Option<Reference> },
    Refused { class: FailureClass },
    PerPhone { retry_after: Duration },
    Throttled { retry_after: Option<Duration> },
    NotSent,
    Ambiguous,
}

/// A verdict, with the provider's own word for it, which does not hold the code.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    pub(super) status: CarrierStatus,
    /// A rule of the settings said so, and what it found there can be.
    pub(super) foreseen: bool,
}

/// What `answer` to a request with `code` means.
pub(super) fn judge(config: &HttpConfig, answer: &Answer, code: &OtpCode) -> Judged {
    let body = json(&answer.body);
    let plain = CarrierStatus::clean(&format!("HTTP {}", answer.status));
    // A page that came instead of the API is no yes, unless the rule looks into it: HTML is no JSON, so none that does matches.
    let is_page = |rule: &AnswerRule| rule.means == Answered::Accepted && rule.at.is_none() && answer.is_html;
    let rule = config.answers.iter().find(|rule| matches(rule, answer.status, body.as_ref()));
    let Some(rule) = rule.filter(|rule| !is_page(rule)) else {
        return Judged { verdict: by_status(config, answer), status: plain, foreseen: false };
    };
    let at = |pointer: &Option<Pointer>| text_at(body.as_ref(), pointer.as_ref()?);
    let asked = rule.retry_after.as_ref().and_then(|pointer| seconds_at(body.as_ref(), pointer));
    let asked = asked.or(answer.retry_after).or(rule.retry_after_s.map(|s| Duration::from_secs(s.into())));
    let mut foreseen = true;
    let verdict = match rule.means {
        Answered::Accepted => {
            let name = rule.reference.as_ref().and_then(|pointer| name_at(body.as_ref(), pointer));
            let name = name.filter(|text| text != code.expose());
            Verdict::Accepted { reference: name.and_then(|text| Reference::new(&text)) }
        }
        Answered::Refused => Verdict::Refused { class: rule.class.into() },
        Answered::PerPhone => {
            let asked = asked.or(config.per_phone_gap).unwrap_or(PER_PHONE).max(Duration::from_secs(1));
            let longest = config.per_phone_gap.map_or(PER_PHONE_MAX, |gap| gap * GAPS_MAX).min(HOLD_MAX);
            foreseen = asked <= longest;
            Verdict::PerPhone { retry_after: asked.min(longest) }
        }
        Answered::Throttled => Verdict::Throttled { retry_after: asked },
        Answered::NotSent => Verdict::NotSent,
        Answered::Ambiguous => Verdict::Ambiguous,
    };
    let status = at(&rule.word).map_or(plain, |word| without_code(&word, code));
    Judged { verdict, status, foreseen }
}

/// The provider's word, unless it repeats the code, in one piece or digit by digit: that is kept nowhere.
fn without_code(word: &str, code: &OtpCode) -> CarrierStatus {
    let digits: Zeroizing<String> = Zeroizing::new(word.chars().filter(char::is_ascii_digit).collect());
    CarrierStatus::clean(if digits.contains(code.expose()) { "[withheld]" } else { word })
}

fn by_status(config: &HttpConfig, answer: &Answer) -> Verdict {
    match answer.status {
        200..=299 if answer.is_html => Verdict::Ambiguous,
        200..=299 if config.answers.iter().any(|rule| rule.means == Answered::Accepted) => Verdict::Ambiguous,
        200..=299 => Verdict::Accepted { reference: None },
        429 => Verdict::Throttled { retry_after: answer.retry_after },
        // A time-out of the provider's own, or a request that it may have read early (RFC 9110 §15.5.9, RFC 8470).
        408 | 425 | 500..=599 | 100..=199 => Verdict::Ambiguous,
        400 | 402 | 409 | 413 | 422 => Verdict::Refused { class: FailureClass::Rejected },
        // A redirect, a wrong path, wrong credentials: it is not what it was configured to be.
        _ => Verdict::Refused { class: FailureClass::Misconfigured },
    }
}

fn matches(rule: &AnswerRule, status: u16, body: Option<&Value>) -> bool {
    if !rule.status.contains(status) {
        return false;
    }
    let Some(pointer) = &rule.at else { return true };
    let Some(value) = body.and_then(|body| body.pointer(pointer.as_str())) else { return false };
    match rule.is.as_ref().map(OneOrMany::values) {
        None => true,
        Some(wanted) => wanted.iter().any(|wanted| is(value, wanted)),
    }
}

/// A number that is written as a text is that number: providers change their minds about it.
fn is(value: &Value, wanted: &Scalar) -> bool {
    match (value, wanted) {
        (Value::Bool(value), Scalar::Truth(wanted)) => value == wanted,
        (Value::Number(value), Scalar::Whole(wanted)) => value.as_i64() == Some(*wanted),
        (Value::String(value), Scalar::Text(wanted)) => value == wanted,
        (Value::String(value), Scalar::Whole(wanted)) => *value == wanted.to_string(),
        (Value::Number(value), Scalar::Text(wanted)) => value.to_string() == *wanted,
        _ => false,
    }
}

/// What `body` is as JSON.
pub(in crate::carrier) fn json(body: &[u8]) -> Option<Value> {
    serde_json::from_slice(without_mark(body)).ok()
}

/// `body` without the byte order mark that some servers put before it (RFC 8259 §8.1 lets a reader skip one).
pub(super) fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

/// A text or a number, as text.
pub(super) fn text_at(body: Option<&Value>, pointer: &Pointer) -> Option<String> {
    match body?.pointer(pointer.as_str())? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The provider's name for an attempt. A number too long to be read exactly is none: it would be many attempts' name.
pub(super) fn name_at(body: Option<&Value>, pointer: &Pointer) -> Option<String> {
    let is_whole = body?.pointer(pointer.as_str()).is_some_and(|value| !value.is_f64());
    is_whole.then(|| text_at(body, pointer)).flatten()
}

/// Seconds, rounded up, as a number or its text.
fn seconds_at(body: Option<&Value>, pointer: &Pointer) -> Option<Duration> {
    let seconds: f64 = text_at(body, pointer)?.trim().parse().ok()?;
    let sane = seconds.is_finite() && seconds >= 0.0;
    sane.then(|| Duration::from_secs_f64(seconds.ceil().min(HOLD_MAX.as_secs_f64())))
}

impl From<Class> for FailureClass {
    fn from(class: Class) -> Self {
        match class {
            Class::Unreachable => Self::Unreachable,
            Class::InvalidNumber => Self::InvalidNumber,
            Class::Rejected => Self::Rejected,
            Class::Congestion => Self::Congestion,
            Class::Misconfigured => Self::Misconfigured,
            Class::Expired => Self::Expired,
            Class::WrongNetwork => Self::WrongNetwork,
        }
    }
}
