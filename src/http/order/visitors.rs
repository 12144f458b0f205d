//! How one member of the body is read whatever its type is, so that a wrong one is reported in the contract's order and
//! by name, not where the parser meets it.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Field, Name, Pairs};

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_any(FieldVisitor)? {
            Field::Text(text) => Ok(Self(text)),
            Field::Absent | Field::Null | Field::Other => Err(D::Error::custom("a name is a string")),
        }
    }
}

impl<'de> Deserialize<'de> for Field<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor)
    }
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = Field<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Field<'de>, E> {
        Ok(Field::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Field<'de>, E> {
        Ok(Field::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E: Error>(self) -> Result<Field<'de>, E> {
        Ok(Field::Null)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Field<'de>, E> {
        Ok(Field::Other)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Field<'de>, E> {
        Ok(Field::Other)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Field<'de>, E> {
        Ok(Field::Other)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Field<'de>, E> {
        Ok(Field::Other)
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut items: S) -> Result<Field<'de>, S::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::Other)
    }

    fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<Field<'de>, M::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Field::Other)
    }
}

/// `null` is no metadata.
pub(super) struct Optional(pub(super) Option<Pairs>);

impl<'de> Deserialize<'de> for Optional {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PairsVisitor).map(Self)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Option<Pairs>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Option<Pairs>, E> {
        Ok(Some(Pairs::Other))
    }

    fn visit_unit<E: Error>(self) -> Result<Option<Pairs>, E> {
        Ok(None)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Option<Pairs>, E> {
        Ok(Some(Pairs::Other))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Option<Pairs>, E> {
        Ok(Some(Pairs::Other))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Option<Pairs>, E> {
        Ok(Some(Pairs::Other))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Option<Pairs>, E> {
        Ok(Some(Pairs::Other))
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut items: S) -> Result<Option<Pairs>, S::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Some(Pairs::Other))
    }

    fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<Option<Pairs>, M::Error> {
        let mut names: HashSet<String> = HashSet::new();
        let mut pairs = Vec::new();
        let mut all_texts = true;
        while let Some(Name(name)) = members.next_key()? {
            let name = name.into_owned();
            match members.next_value::<Field<'de>>()? {
                Field::Text(value) => pairs.push((name.clone(), value.into_owned())),
                Field::Absent | Field::Null | Field::Other => all_texts = false,
            }
            if !names.insert(name) {
                return Err(M::Error::custom("a key of metadata is given twice"));
            }
        }
        Ok(Some(if all_texts { Pairs::Texts(pairs) } else { Pairs::Other }))
    }
}
