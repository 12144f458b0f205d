//! The form of an API key: `sk_live_`, 32 random bytes in base62, and a checksum tail.
//!
//! The tail lets a typo be refused without a look-up, and secret scanners match the pattern. The plaintext exists only
//! between its making and its printing; a row and the key list hold its SHA-256.

use std::fmt;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

const PREFIX: &str = "sk_live_";
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 32 bytes need 43 base62 digits; a 32-bit checksum needs 6.
const BODY_LEN: usize = 43;
const TAIL_LEN: usize = 6;

/// The whole length of a key's text in bytes.
pub const KEY_LEN: usize = PREFIX.len() + BODY_LEN + TAIL_LEN;

/// The SHA-256 of a key's text: what is stored and looked up.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Hashes `text` if it has the form and the checksum of a key.
    #[must_use]
    pub fn of_text(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(PREFIX)?;
        let (body, tail) = rest.split_at_checked(BODY_LEN)?;
        let well_formed = tail.len() == TAIL_LEN && rest.bytes().all(|b| b.is_ascii_alphanumeric());
        (well_formed && checksum(body).as_slice() == tail.as_bytes()).then(|| Self(Sha256::digest(text).into()))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[key hash]")
    }
}

/// A freshly made key, to be shown once. Wiped when dropped; its `Debug` shows nothing.
pub struct PlainKey(Zeroizing<String>);

impl PlainKey {
    /// Makes the key of 32 bytes from the operating system's random source.
    #[must_use]
    pub fn from_entropy(entropy: &[u8; 32]) -> Self {
        let body = base62::<BODY_LEN>(entropy);
        let body = std::str::from_utf8(&body).unwrap_or_default();
        let tail = checksum(body);
        let tail = std::str::from_utf8(&tail).unwrap_or_default();
        Self(Zeroizing::new(format!("{PREFIX}{body}{tail}")))
    }

    /// The text, for the one time that it is shown.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    #[must_use]
    pub fn hash(&self) -> KeyHash {
        KeyHash(Sha256::digest(self.0.as_bytes()).into())
    }

    /// `sk_live_8f2e…1c4d`: what a list shows.
    #[must_use]
    pub fn hint(&self) -> String {
        let shown = PREFIX.len() + 4;
        format!("{}…{}", &self.0[..shown], &self.0[KEY_LEN - 4..])
    }
}

impl fmt::Debug for PlainKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[key]")
    }
}

fn checksum(body: &str) -> [u8; TAIL_LEN] {
    base62::<TAIL_LEN>(&crc32fast::hash(body.as_bytes()).to_be_bytes())
}

/// Big-endian base62 of `bytes`, left-padded with `0` to `N` digits.
fn base62<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut number = Zeroizing::new(bytes.to_vec());
    let mut text = [b'0'; N];
    for digit in text.iter_mut().rev() {
        let mut remainder = 0_u32;
        for byte in number.iter_mut() {
            let value = (remainder << 8) | u32::from(*byte);
            *byte = u8::try_from(value / 62).unwrap_or(u8::MAX);
            remainder = value % 62;
        }
        *digit = ALPHABET[usize::try_from(remainder).unwrap_or(0)];
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_typo_is_refused_without_a_look_up() {
        let key = PlainKey::from_entropy(&[7; 32]);
        let text = key.expose().to_owned();
        assert_eq!(text.len(), KEY_LEN);
        assert_eq!(KeyHash::of_text(&text), Some(key.hash()));
        for at in PREFIX.len()..KEY_LEN {
            let mut typo = text.clone().into_bytes();
            typo[at] = if typo[at] == b'a' { b'b' } else { b'a' };
            assert_eq!(KeyHash::of_text(std::str::from_utf8(&typo).expect("ascii")), None);
        }
        for bad in ["", "sk_live_", "sk_test_x", &text[..KEY_LEN - 1], &format!("{text}0"), &format!("{text} ")] {
            assert_eq!(KeyHash::of_text(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_key_is_never_printed_whole() {
        let key = PlainKey::from_entropy(&[9; 32]);
        assert_eq!(format!("{key:?}"), "[key]");
        assert_eq!(format!("{:?}", key.hash()), "[key hash]");
        assert!(key.hint().chars().count() < 20);
    }

    proptest! {
        #[test]
        fn every_entropy_makes_its_own_valid_key(a: [u8; 32], b: [u8; 32]) {
            let (ka, kb) = (PlainKey::from_entropy(&a), PlainKey::from_entropy(&b));
            prop_assert_eq!(KeyHash::of_text(ka.expose()), Some(ka.hash()));
            prop_assert_eq!(a == b, ka.expose() == kb.expose());
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = KeyHash::of_text(&text);
        }
    }
}
