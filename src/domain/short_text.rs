//! The text of a short message around its code: which alphabet it needs, that it fits into one message, and its bytes.
//!
//! The alphabet of GSM (3GPP TS 23.038 §6.2.1) is written unpacked, an octet a character, as SMPP carries it. A text is checked
//! when it is configured, with the longest code, so that no order can fail for its text.

use std::fmt;

use zeroize::Zeroizing;

use crate::domain::code::OtpCode;

/// Where the code stands in a text.
const PLACE: &str = "{code}";
/// The most characters that a code has.
const CODE_LEN_MAX: usize = 8;
/// Septets of one message.
const SEPTETS_MAX: usize = 160;
/// UTF-16 units of one message.
const UNITS_MAX: usize = 70;
const ESCAPE: u8 = 0x1B;
/// The basic table: the place of a character is its code. The escape has no character of its own.
const BASIC: &str = concat!(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\u{1b}ÆæßÉ",
    " !\"#¤%&'()*+,-./0123456789:;<=>?",
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§",
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
);
/// What follows an escape.
const EXTENDED: &[(char, u8)] = &[
    ('^', 0x14),
    ('{', 0x28),
    ('}', 0x29),
    ('\\', 0x2F),
    ('[', 0x3C),
    ('~', 0x3D),
    (']', 0x3E),
    ('|', 0x40),
    ('€', 0x65),
];

/// What may be used for a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AlphabetChoice {
    /// The alphabet of GSM if it has all characters, otherwise UCS-2.
    #[default]
    Auto,
    /// Only characters that have the same code in ASCII and in the alphabet of GSM: whatever the carrier takes the octets for,
    /// they read the same.
    Ascii,
    Gsm7,
    Ucs2,
}

/// How the octets of a message are to be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Alphabet {
    /// The alphabet of GSM, unpacked.
    Gsm7,
    /// UTF-16, most significant octet first, without surrogates.
    Ucs2,
}

/// Why a text cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidText {
    #[error("must hold {PLACE} once")]
    NoCode,
    #[error("{0:?} is not in the alphabet that may be used")]
    Character(char),
    #[error("needs {needed} characters of this alphabet with the longest code; one message has {max}")]
    TooLong { needed: usize, max: usize },
}

/// A text with a place for the code, known to fit into one message.
#[derive(Clone, PartialEq, Eq)]
pub struct ShortText {
    before: String,
    after: String,
    alphabet: Alphabet,
}

impl fmt::Debug for ShortText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({}{PLACE}{})", self.alphabet, self.before, self.after)
    }
}

impl ShortText {
    /// Reads a text that holds `{code}` once.
    ///
    /// # Errors
    /// [`InvalidText`] if a character is not in the chosen alphabet, or if the text with a code of eight digits needs more than
    /// one message.
    pub fn parse(text: &str, choice: AlphabetChoice) -> Result<Self, InvalidText> {
        let (before, after) = text.split_once(PLACE).ok_or(InvalidText::NoCode)?;
        if after.contains(PLACE) {
            return Err(InvalidText::NoCode);
        }
        let outside = |has: fn(char) -> bool| before.chars().chain(after.chars()).find(|c| !has(*c));
        let alphabet = match choice {
            AlphabetChoice::Auto if outside(is_gsm7).is_none() => Alphabet::Gsm7,
            AlphabetChoice::Auto | AlphabetChoice::Ucs2 => {
                refuse(outside(is_ucs2))?;
                Alphabet::Ucs2
            }
            AlphabetChoice::Ascii => {
                refuse(outside(is_same_in_ascii))?;
                Alphabet::Gsm7
            }
            AlphabetChoice::Gsm7 => {
                refuse(outside(is_gsm7))?;
                Alphabet::Gsm7
            }
        };
        let (around, max) = match alphabet {
            Alphabet::Gsm7 => (gsm7(before).len() + gsm7(after).len(), SEPTETS_MAX),
            Alphabet::Ucs2 => (before.chars().count() + after.chars().count(), UNITS_MAX),
        };
        let needed = around + CODE_LEN_MAX;
        if needed > max {
            return Err(InvalidText::TooLong { needed, max });
        }
        Ok(Self { before: before.to_owned(), after: after.to_owned(), alphabet })
    }

    #[must_use]
    pub const fn alphabet(&self) -> Alphabet {
        self.alphabet
    }

    /// The octets of the message with `code`, at most 160; wiped when dropped.
    #[must_use]
    pub fn with_code(&self, code: &OtpCode) -> Zeroizing<Vec<u8>> {
        let mut octets = Zeroizing::new(Vec::with_capacity(SEPTETS_MAX));
        for piece in [self.before.as_str(), code.expose(), self.after.as_str()] {
            match self.alphabet {
                Alphabet::Gsm7 => octets.extend(piece.chars().flat_map(gsm7_char)),
                Alphabet::Ucs2 => octets.extend(piece.encode_utf16().flat_map(u16::to_be_bytes)),
            }
        }
        octets
    }
}

fn refuse(outside: Option<char>) -> Result<(), InvalidText> {
    outside.map_or(Ok(()), |character| Err(InvalidText::Character(character)))
}

fn gsm7(text: &str) -> Vec<u8> {
    text.chars().flat_map(gsm7_char).collect()
}

/// The octets of one character: none if the alphabet does not have it.
fn gsm7_char(character: char) -> impl Iterator<Item = u8> {
    let basic = BASIC.chars().position(|c| c == character && c != char::from(ESCAPE));
    let extended = EXTENDED.iter().find(|(c, _)| *c == character).map(|(_, octet)| *octet);
    let last = basic.and_then(|place| u8::try_from(place).ok()).or(extended);
    let escape = if basic.is_none() && extended.is_some() { Some(ESCAPE) } else { None };
    escape.into_iter().chain(last)
}

fn is_gsm7(character: char) -> bool {
    gsm7_char(character).next().is_some()
}

fn is_same_in_ascii(character: char) -> bool {
    gsm7_char(character).map(char::from).eq([character])
}

/// One UTF-16 unit, and not a control character but the line's end.
fn is_ucs2(character: char) -> bool {
    character.len_utf16() == 1 && (character == '\n' || !character.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets(text: &str, choice: AlphabetChoice, code: &str) -> Vec<u8> {
        let text = ShortText::parse(text, choice).expect("fits");
        text.with_code(&OtpCode::parse(code).expect("a code")).to_vec()
    }

    #[test]
    fn the_basic_table_has_128_places() {
        assert_eq!(BASIC.chars().count(), 128);
        assert_eq!(octets("A{code}", AlphabetChoice::Auto, "1234"), b"A1234");
        assert_eq!(octets("@$_{code}{}€\\", AlphabetChoice::Gsm7, "1234"), {
            let mut wanted = vec![0x00, 0x02, 0x11];
            wanted.extend(b"1234");
            wanted.extend([0x1B, 0x28, 0x1B, 0x29, 0x1B, 0x65, 0x1B, 0x2F]);
            wanted
        });
    }

    #[test]
    fn ascii_means_what_reads_the_same_in_both() {
        assert_eq!(octets("{code} la ma cua ban.", AlphabetChoice::Ascii, "482917"), b"482917 la ma cua ban.");
        for character in ['@', '$', '_', '{', '[', '`', 'é', '\t'] {
            let refused = ShortText::parse(&format!("{character}{{code}}"), AlphabetChoice::Ascii);
            assert_eq!(refused, Err(InvalidText::Character(character)), "{character:?}");
        }
    }

    #[test]
    fn an_accent_that_gsm_lacks_makes_it_ucs2() {
        let text = ShortText::parse("mã {code}", AlphabetChoice::Auto).expect("fits");
        assert_eq!(text.alphabet(), Alphabet::Ucs2);
        let octets = text.with_code(&OtpCode::parse("1234").expect("a code"));
        assert_eq!(octets[..6], [0, b'm', 0, 0xE3, 0, b' ']);
        assert_eq!(ShortText::parse("mã {code}", AlphabetChoice::Gsm7), Err(InvalidText::Character('ã')));
        assert_eq!(ShortText::parse("😀{code}", AlphabetChoice::Auto), Err(InvalidText::Character('😀')));
    }

    #[test]
    fn one_message_and_not_a_character_more() {
        let with = |filler: &str, count: usize| {
            ShortText::parse(&format!("{}{{code}}", filler.repeat(count)), AlphabetChoice::Auto)
        };
        assert!(with("a", 152).is_ok() && with("ã", 62).is_ok() && with("€", 76).is_ok());
        assert_eq!(with("a", 153), Err(InvalidText::TooLong { needed: 161, max: 160 }));
        assert_eq!(with("€", 77), Err(InvalidText::TooLong { needed: 162, max: 160 }));
        assert_eq!(with("ã", 63), Err(InvalidText::TooLong { needed: 71, max: 70 }));
    }

    #[test]
    fn the_code_stands_once_and_is_never_printed() {
        for text in ["no code", "", "{code} {code}", "{ code }"] {
            assert_eq!(ShortText::parse(text, AlphabetChoice::Auto), Err(InvalidText::NoCode), "{text}");
        }
        let text = ShortText::parse("{code} la ma", AlphabetChoice::Auto).expect("fits");
        assert_eq!(format!("{text:?}"), "Gsm7({code} la ma)");
    }
}
