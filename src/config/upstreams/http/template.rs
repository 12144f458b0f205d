//! Texts with placeholders, read once and filled in for each attempt.
//!
//! A value is put where its placeholder stood and is never read again: nothing in a value can become a placeholder, and in a
//! JSON template it stays inside its string. Braces that are meant as such are doubled.

use std::borrow::Cow;

use toml::{Table, Value};
use zeroize::Zeroizing;

/// The longest template, and the deepest JSON.
const CHARACTERS_MAX: usize = 2_000;
const DEPTH_MAX: usize = 8;

/// What a template can stand for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Placeholder {
    /// `+84981234567`
    Phone,
    /// `0981234567`
    PhoneNational,
    /// `84981234567`
    PhoneDigits,
    Code,
    Text,
    Channel,
    AttemptId,
    CallbackUrl,
    /// The secret of `callback.query`, escaped for a URL.
    CallbackSecret,
    /// The provider's own name for an attempt.
    Reference,
}

impl Placeholder {
    /// What a request to send may say.
    pub(super) const OF_A_REQUEST: &[Self] = &[
        Self::Phone,
        Self::PhoneNational,
        Self::PhoneDigits,
        Self::Code,
        Self::Text,
        Self::Channel,
        Self::AttemptId,
        Self::CallbackUrl,
    ];

    /// What the URL for callbacks may say.
    pub(super) const OF_A_CALLBACK_URL: &[Self] = &[Self::AttemptId, Self::CallbackSecret];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Phone => "phone",
            Self::PhoneNational => "phone_national",
            Self::PhoneDigits => "phone_digits",
            Self::Code => "code",
            Self::Text => "text",
            Self::Channel => "channel",
            Self::AttemptId => "attempt_id",
            Self::CallbackUrl => "callback_url",
            Self::CallbackSecret => "callback_secret",
            Self::Reference => "reference",
        }
    }
}

/// A text with placeholders.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Template(Vec<Piece>);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Piece {
    Literal(String),
    Placeholder(Placeholder),
}

impl Template {
    /// # Errors
    /// Why `text` is none: a placeholder that is not among `allowed`, a brace that stands alone, or its length.
    pub(super) fn parse(text: &str, allowed: &[Placeholder]) -> Result<Self, String> {
        if text.len() > CHARACTERS_MAX {
            return Err(format!("a template has at most {CHARACTERS_MAX} bytes"));
        }
        let (mut pieces, mut literal, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let (brace, after) = rest[at..].split_at(1);
            if let Some(after) = after.strip_prefix(brace) {
                literal.push_str(brace);
                rest = after;
                continue;
            }
            let inside = after.split_once('}').filter(|_| brace == "{");
            let (name, after) = inside.ok_or_else(|| format!("{text:?}: a brace that is no placeholder is doubled"))?;
            let known = allowed.iter().find(|known| known.as_str() == name);
            let placeholder = known.ok_or_else(|| unknown(name, allowed))?;
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Placeholder(*placeholder));
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Self(pieces))
    }

    /// The text, with `value` asked for what stands in the place of each placeholder; wiped when it is dropped.
    pub fn render<'v>(&'v self, value: impl Fn(Placeholder) -> Cow<'v, str>) -> Zeroizing<String> {
        let parts: Vec<Cow<'_, str>> = self.0.iter().map(|piece| piece.render(&value)).collect();
        // In one piece from the start: a text that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(parts.iter().map(|part| part.len()).sum()));
        for part in parts {
            text.push_str(&part);
        }
        text
    }

    pub(super) fn uses(&self, placeholder: Placeholder) -> bool {
        self.0.contains(&Piece::Placeholder(placeholder))
    }
}

impl Piece {
    fn render<'p>(&'p self, value: &impl Fn(Placeholder) -> Cow<'p, str>) -> Cow<'p, str> {
        match self {
            Self::Literal(text) => Cow::Borrowed(text),
            Self::Placeholder(placeholder) => value(*placeholder),
        }
    }
}

fn unknown(name: &str, allowed: &[Placeholder]) -> String {
    let names: Vec<String> = allowed.iter().map(|known| format!("{{{}}}", known.as_str())).collect();
    let known = Placeholder::OF_A_REQUEST
        .iter()
        .chain(&[Placeholder::Reference, Placeholder::CallbackSecret])
        .any(|known| known.as_str() == name);
    let what = if known { "cannot stand here" } else { "is no placeholder" };
    format!("{{{}}} {what}; there is {}", name.chars().take(40).collect::<String>(), names.join(" "))
}

/// A JSON value whose texts are templates.
#[derive(Clone, PartialEq, Debug)]
pub enum JsonTemplate {
    Text(Template),
    Whole(i64),
    Fraction(f64),
    Truth(bool),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl JsonTemplate {
    pub(super) fn of_table(table: Table) -> Result<Self, String> {
        Self::parse(Value::Table(table), 0)
    }

    fn parse(value: Value, depth: usize) -> Result<Self, String> {
        if depth > DEPTH_MAX {
            return Err(format!("json is more than {DEPTH_MAX} deep"));
        }
        Ok(match value {
            Value::String(text) => Self::Text(Template::parse(&text, Placeholder::OF_A_REQUEST)?),
            Value::Integer(number) => Self::Whole(number),
            Value::Float(number) if number.is_finite() => Self::Fraction(number),
            Value::Boolean(truth) => Self::Truth(truth),
            Value::Array(list) => {
                Self::List(list.into_iter().map(|value| Self::parse(value, depth + 1)).collect::<Result<_, _>>()?)
            }
            Value::Table(table) => {
                let member = |(name, value)| Self::parse(value, depth + 1).map(|value| (name, value));
                Self::Object(table.into_iter().map(member).collect::<Result<_, _>>()?)
            }
            Value::Float(_) | Value::Datetime(_) => {
                return Err("json holds texts, numbers, true, false, lists and tables".to_owned());
            }
        })
    }

    pub(super) fn uses(&self, placeholder: Placeholder) -> bool {
        match self {
            Self::Text(template) => template.uses(placeholder),
            Self::List(list) => list.iter().any(|value| value.uses(placeholder)),
            Self::Object(members) => members.iter().any(|(_, value)| value.uses(placeholder)),
            Self::Whole(_) | Self::Fraction(_) | Self::Truth(_) => false,
        }
    }
}
