//! What a provider's answers mean: rules in order, each over a status and a value of the body.

use serde::Deserialize;
use serde::de::Error;

/// One rule. It matches if the status does, and the value at its pointer if it has one.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerRule {
    #[serde(default)]
    pub status: StatusRange,
    /// Where in the JSON body the value is. An answer that is no JSON has no value.
    pub at: Option<Pointer>,
    /// What the value is; without it, it is enough that there is one.
    pub is: Option<OneOrMany>,
    pub means: Answered,
    /// What was wrong, where it means `refused`.
    #[serde(default)]
    pub class: Class,
    /// Where the seconds to wait are, where it means `per_phone` or `throttled`; without it, in `Retry-After`.
    pub retry_after: Option<Pointer>,
    /// The seconds to wait where the answer does not say.
    pub retry_after_s: Option<u32>,
    /// Where the provider's own name for the attempt is, where it means `accepted`.
    pub reference: Option<Pointer>,
    /// Where the provider says in words what happened.
    pub word: Option<Pointer>,
}

/// What an answer says of an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answered {
    Accepted,
    Refused,
    /// This phone is refused for now.
    PerPhone,
    /// Everything is refused for now.
    Throttled,
    /// It certainly went nowhere.
    NotSent,
    Ambiguous,
}

/// Why a provider refuses, or why a delivery failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    Unreachable,
    InvalidNumber,
    #[default]
    Rejected,
    Congestion,
    Misconfigured,
    Expired,
    WrongNetwork,
}

/// A status (`202`), or all of its hundred (`"2xx"`); any without it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StatusRange {
    first: u16,
    last: u16,
}

impl Default for StatusRange {
    fn default() -> Self {
        Self { first: 100, last: 599 }
    }
}

impl StatusRange {
    #[must_use]
    pub const fn contains(self, status: u16) -> bool {
        self.first <= status && status <= self.last
    }

    fn of_text(text: &str) -> Option<Self> {
        let hundred: u16 = text.strip_suffix("xx")?.parse().ok().filter(|hundred| (1..=5).contains(hundred))?;
        Some(Self { first: hundred * 100, last: hundred * 100 + 99 })
    }
}

impl<'de> Deserialize<'de> for StatusRange {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            One(u16),
            Hundred(String),
        }
        let range = match Written::deserialize(deserializer)? {
            Written::One(status) => Some(Self { first: status, last: status }).filter(|_| (100..600).contains(&status)),
            Written::Hundred(text) => Self::of_text(&text),
        };
        range.ok_or_else(|| D::Error::custom("a status is a number from 100 to 599, or \"2xx\" for a whole hundred"))
    }
}

/// A JSON pointer (RFC 6901).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pointer(String);

impl Pointer {
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let escapes_hold = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        (text.len() <= 200 && text.starts_with('/') && escapes_hold).then(|| Self(text.to_owned()))
    }

    /// To the whole document.
    #[must_use]
    pub fn whole() -> Self {
        Self(String::new())
    }

    /// The list that it looks into, as far as its text tells: what stands before a token that is a number.
    #[must_use]
    pub fn list(&self) -> Option<&str> {
        let is_number = |token: &str| !token.is_empty() && token.bytes().all(|b| b.is_ascii_digit());
        self.steps().find(|(_, token)| is_number(token)).map(|(before, _)| before)
    }

    /// Whether it leads to the member `name` of the document itself.
    #[must_use]
    pub fn is_to_member(&self, name: &str) -> bool {
        self.0.strip_prefix('/').is_some_and(|token| !token.contains('/') && unescaped(token) == name)
    }

    /// Its tokens, as they are written, each with the pointer to what it is looked up in.
    pub fn steps(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.match_indices('/').map(|(at, _)| {
            let token = &self.0[at + 1..];
            (&self.0[..at], token.split('/').next().unwrap_or_default())
        })
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn unescaped(token: &str) -> String {
    token.replace("~1", "/").replace("~0", "~")
}

impl<'de> Deserialize<'de> for Pointer {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom(format!("{text:?} is no JSON pointer: write \"/result/id\"")))
    }
}

/// A value that an answer is compared with.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    Truth(bool),
    Whole(i64),
    Text(String),
}

/// One value, or a list of which any is meant.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    One(Scalar),
    Many(Vec<Scalar>),
}

impl OneOrMany {
    #[must_use]
    pub fn values(&self) -> &[Scalar] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }
}

impl AnswerRule {
    /// # Errors
    /// What contradicts itself in the rule.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let waits = matches!(self.means, Answered::PerPhone | Answered::Throttled);
        match self {
            Self { at: None, is: Some(_), .. } => Err("`is` needs `at`, the pointer to what is compared"),
            Self { retry_after: Some(_), .. } | Self { retry_after_s: Some(_), .. } if !waits => {
                Err("`retry_after` is for what means \"per_phone\" or \"throttled\"")
            }
            Self { retry_after_s: Some(0), .. } => Err("`retry_after_s` is at least 1"),
            Self { reference: Some(_), .. } if self.means != Answered::Accepted => {
                Err("`reference` is for what means \"accepted\"")
            }
            _ => Ok(()),
        }
    }
}
