//! How upstreams are called, and what they call our attempts.

use std::fmt;
use std::sync::Arc;

use super::carrier::is_label;

/// The name of an upstream in settings, logs, metrics and rows; cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct UpstreamId(pub Arc<str>);

impl UpstreamId {
    /// A name of 1–32 lowercase ASCII letters, digits and `_`; `None` otherwise (it becomes a metric label).
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        is_label(name).then(|| Self(name.into()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An upstream's own name for an attempt, as its link normalised it. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference(Arc<str>);

impl Reference {
    pub const LEN_MAX: usize = 80;
    /// Before the value of a number that was given in hexadecimal and may be reported in decimal.
    pub const GIVEN_HEX: &str = "hex:";
    /// Before the value of a number that was given in decimal and may be reported in hexadecimal.
    pub const GIVEN_DEC: &str = "dec:";

    /// 1–80 visible ASCII characters; `None` otherwise.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let visible = text.bytes().all(|b| b.is_ascii_graphic());
        ((1..=Self::LEN_MAX).contains(&text.len()) && visible).then(|| Self(text.into()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is a guess at the base in which a name is reported: by itself, it may be another attempt's.
    #[must_use]
    pub fn is_guess(&self) -> bool {
        self.0.starts_with(Self::GIVEN_HEX) || self.0.starts_with(Self::GIVEN_DEC)
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_visible_ascii_of_a_bounded_length() {
        for text in ["1", "bc614e", "7f3e-41!~"] {
            assert_eq!(Reference::new(text).expect("sane").as_str(), text);
        }
        for text in ["", "a b", "a\n", "\0", "é", &"9".repeat(81)] {
            assert_eq!(Reference::new(text), None, "{text:?}");
        }
    }

    #[test]
    fn an_upstream_has_a_name_that_can_be_a_label() {
        assert_eq!(UpstreamId::new("tkc_1").expect("sane").as_str(), "tkc_1");
        for name in ["", "TKC", "a-b", &"a".repeat(33)] {
            assert_eq!(UpstreamId::new(name), None, "{name:?}");
        }
    }
}
