//! The body of `POST /send-otp`: from bytes to fields, and from fields to a valid order.
//!
//! Strict where a slip would lose something (duplicate keys, a number for the code, a byte order mark, invalid UTF-8),
//! lenient where customers differ (unknown fields are ignored, `null` is an absent optional field). It never panics and
//! never repeats a value in a message: the body holds the code.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::error::Category;

use crate::domain::carrier::{Carrier, Channel, ChannelChoice, Channels, Unroutable};
use crate::domain::code::OtpCode;
use crate::domain::metadata::Metadata;
use crate::domain::numbering::Routed;
use crate::domain::phone::{InvalidPhone, Phone};
use crate::http::error::ApiError;

mod visitors;

/// What a caller orders; every part is valid.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) phone: Phone,
    pub(crate) code: OtpCode,
    pub(crate) routed: Routed,
    /// What the caller asked for, and what it leaves of the carrier's channels.
    pub(crate) choice: ChannelChoice,
    pub(crate) channels: Channels,
    pub(crate) metadata: Option<Metadata>,
}

impl Order {
    /// Checks in the order of the contract: JSON, phone, code, channel, metadata.
    ///
    /// # Errors
    /// The first that fails.
    pub(crate) fn read(body: &[u8], route: impl FnOnce(Phone) -> Result<Routed, Unroutable>) -> Result<Self, ApiError> {
        let fields = Fields::read(body)?;
        let phone = phone(&fields.phone)?;
        let routed = route(phone).map_err(unroutable)?;
        let code = code(&fields.code)?;
        let choice = choice(&fields.channel)?;
        let route = &routed.route;
        let channels = route.channels.choose(choice).ok_or_else(|| not_reached(&route.carrier))?;
        let metadata = metadata(fields.metadata)?;
        Ok(Self { phone, code, routed, choice, channels, metadata })
    }
}

fn phone(field: &Field<'_>) -> Result<Phone, ApiError> {
    let refused = |message: Cow<'static, str>| ApiError::InvalidPhone { message, reason: None };
    let text = match field {
        Field::Absent => return Err(refused("phone is missing".into())),
        Field::Text(text) => text,
        Field::Null | Field::Other => {
            return Err(refused("phone is a string in E.164 form, for example \"+84981234567\"".into()));
        }
    };
    parse_phone(text)
}

/// # Errors
/// `invalid_phone`; where the national form is recognisable its message says what to send instead.
pub(crate) fn parse_phone(text: &str) -> Result<Phone, ApiError> {
    Phone::parse(text).map_err(|why| {
        let message = match why {
            InvalidPhone::NationalForm { suggestion } => format!("send the E.164 form {suggestion}").into(),
            InvalidPhone::NotMobile => "not a Vietnamese mobile number".into(),
            InvalidPhone::Malformed => "phone is +84 and the nine digits of a Vietnamese mobile number".into(),
        };
        ApiError::InvalidPhone { message, reason: None }
    })
}

pub(crate) fn unroutable(why: Unroutable) -> ApiError {
    match why {
        Unroutable::NotServed(carrier) => ApiError::InvalidPhone {
            message: format!("numbers of {} are not served here", carrier.as_str()).into(),
            reason: Some("carrier_not_served"),
        },
        Unroutable::Unassigned => {
            ApiError::InvalidPhone { message: "no mobile carrier has this prefix".into(), reason: None }
        }
    }
}

fn code(field: &Field<'_>) -> Result<OtpCode, ApiError> {
    let refused = |message| ApiError::InvalidCode { message };
    match field {
        Field::Absent => Err(refused("code is missing")),
        Field::Text(text) => OtpCode::parse(text).map_err(|_| refused("code is 4 to 8 digits")),
        Field::Null | Field::Other => Err(refused("code is a string: a number would lose leading zeros")),
    }
}

/// The refusal of a channel that does not reach the carrier.
pub(crate) fn not_reached(carrier: &Carrier) -> ApiError {
    let message = format!("{} is not reached by this channel", carrier.as_str());
    ApiError::invalid("channel", message)
}

fn choice(field: &Field<'_>) -> Result<ChannelChoice, ApiError> {
    let refused = |message: Cow<'static, str>| ApiError::invalid("channel", message);
    match field {
        Field::Absent | Field::Null => Ok(ChannelChoice::Auto),
        Field::Text(name) if name == "auto" => Ok(ChannelChoice::Auto),
        Field::Text(name) => match Channel::from_name(name) {
            Some(channel) => Ok(ChannelChoice::Only(channel)),
            None => Err(refused("channel is auto, voice or sms".into())),
        },
        Field::Other => Err(refused("channel is a string: auto, voice or sms".into())),
    }
}

fn metadata(field: Option<Pairs>) -> Result<Option<Metadata>, ApiError> {
    let refused = |message: Cow<'static, str>| ApiError::invalid("metadata", message);
    match field {
        None => Ok(None),
        Some(Pairs::Texts(pairs)) => Metadata::new(pairs).map_err(|why| refused(why.to_string().into())),
        Some(Pairs::Other) => Err(refused("metadata is an object of strings".into())),
    }
}

/// The members that we know, as they came.
#[derive(Debug, Default)]
struct Fields<'a> {
    phone: Field<'a>,
    code: Field<'a>,
    channel: Field<'a>,
    metadata: Option<Pairs>,
}

/// A member that should be a string.
#[derive(Debug, Default)]
enum Field<'a> {
    #[default]
    Absent,
    Null,
    Text(Cow<'a, str>),
    Other,
}

/// A member that should be an object of strings.
#[derive(Debug)]
enum Pairs {
    Texts(Vec<(String, String)>),
    Other,
}

impl<'a> Fields<'a> {
    fn read(body: &'a [u8]) -> Result<Self, ApiError> {
        if body.is_empty() {
            return Err(ApiError::malformed("the body is empty: send a JSON object"));
        }
        if body.starts_with(b"\xef\xbb\xbf") {
            return Err(ApiError::malformed("the body starts with a byte order mark: send plain UTF-8"));
        }
        let text = std::str::from_utf8(body).map_err(|_| ApiError::malformed("the body is not UTF-8"))?;
        serde_json::from_str(text).map_err(|error| not_as_expected(&error))
    }
}

/// Says where the syntax breaks, or which rule of ours; never what stood there.
fn not_as_expected(error: &serde_json::Error) -> ApiError {
    let message = match error.classify() {
        Category::Syntax | Category::Eof | Category::Io => {
            format!("the body is not JSON (line {}, column {})", error.line(), error.column())
        }
        Category::Data => {
            let text = error.to_string();
            if text.starts_with("invalid type") { "the body is not a JSON object".to_owned() } else { text }
        }
    };
    ApiError::InvalidRequest { param: None, message: message.into() }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<Fields<'de>, M::Error> {
        let mut fields = Fields::default();
        let mut seen: [bool; 4] = [false; 4];
        let mut unknown: HashSet<Name<'de>> = HashSet::new();
        while let Some(name) = members.next_key::<Name<'de>>()? {
            let known = match &*name.0 {
                "phone" => 0,
                "code" => 1,
                "channel" => 2,
                "metadata" => 3,
                _ => {
                    if !unknown.insert(name) {
                        return Err(M::Error::custom("a field is given twice"));
                    }
                    members.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if std::mem::replace(&mut seen[known], true) {
                return Err(M::Error::custom(format_args!("{} is given twice", name.0)));
            }
            match known {
                0 => fields.phone = members.next_value()?,
                1 => fields.code = members.next_value()?,
                2 => fields.channel = members.next_value()?,
                _ => fields.metadata = members.next_value::<visitors::Optional>()?.0,
            }
        }
        Ok(fields)
    }
}

/// A member's name, borrowed from the body where it holds no escape.
#[derive(PartialEq, Eq, Hash)]
struct Name<'a>(Cow<'a, str>);

#[cfg(test)]
mod tests;
