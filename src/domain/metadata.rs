//! The caller's own string pairs, echoed with the delivery.
//!
//! At most 10 pairs, key 1–40 and value at most 200 characters (contract §2). The order of the caller is kept.

/// Validated pairs; never empty (an empty object is no metadata).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Metadata(Vec<(String, String)>);

/// Why pairs are refused; the message names the limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidMetadata {
    #[error("metadata has at most 10 pairs")]
    TooMany,
    #[error("a metadata key has 1 to 40 characters")]
    Key,
    #[error("a metadata value has at most 200 characters")]
    Value,
}

impl Metadata {
    /// # Errors
    /// [`InvalidMetadata`] if a limit is passed. No pairs give `None`.
    pub fn new(pairs: Vec<(String, String)>) -> Result<Option<Self>, InvalidMetadata> {
        if pairs.len() > 10 {
            return Err(InvalidMetadata::TooMany);
        }
        for (key, value) in &pairs {
            if key.is_empty() || key.chars().count() > 40 {
                return Err(InvalidMetadata::Key);
            }
            if value.chars().count() > 200 {
                return Err(InvalidMetadata::Value);
            }
        }
        Ok((!pairs.is_empty()).then_some(Self(pairs)))
    }

    #[must_use]
    pub fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// The pairs as length-prefixed bytes: what is encrypted and stored.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for text in self.0.iter().flat_map(|(key, value)| [key, value]) {
            let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
            bytes.extend_from_slice(&len.to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes
    }

    /// Reads [`Metadata::to_bytes`]; `None` if the bytes are not that.
    #[must_use]
    pub fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let mut texts = Vec::new();
        while let Some((len, rest)) = bytes.split_first_chunk::<2>() {
            let (text, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
            texts.push(String::from_utf8(text.to_vec()).ok()?);
            bytes = rest;
        }
        let mut texts = texts.into_iter();
        let mut pairs = Vec::new();
        while let Some(key) = texts.next() {
            pairs.push((key, texts.next()?));
        }
        if bytes.is_empty() { Self::new(pairs).ok().flatten() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_those_of_the_contract() {
        let pair = |k: usize, v: usize| ("é".repeat(k), "ü".repeat(v));
        assert_eq!(Metadata::new(vec![]), Ok(None));
        assert!(Metadata::new(vec![pair(40, 200); 10]).is_ok_and(|m| m.is_some()));
        assert_eq!(Metadata::new(vec![pair(1, 1); 11]), Err(InvalidMetadata::TooMany));
        assert_eq!(Metadata::new(vec![pair(0, 1)]), Err(InvalidMetadata::Key));
        assert_eq!(Metadata::new(vec![pair(41, 1)]), Err(InvalidMetadata::Key));
        assert_eq!(Metadata::new(vec![pair(1, 201)]), Err(InvalidMetadata::Value));
    }

    #[test]
    fn bytes_read_back_and_garbage_does_not() {
        let pairs = vec![("order".to_owned(), "42".to_owned()), ("empty".to_owned(), String::new())];
        let metadata = Metadata::new(pairs).expect("valid").expect("some");
        assert_eq!(Metadata::from_bytes(&metadata.to_bytes()), Some(metadata));
        for garbage in [&b"\x00"[..], b"\x00\x05ab", b"\x00\x01a"] {
            assert_eq!(Metadata::from_bytes(garbage), None);
        }
    }
}
