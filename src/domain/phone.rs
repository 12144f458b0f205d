//! Vietnamese mobile numbers in strict E.164.
//!
//! Owns the syntax only: `+84` and nine digits whose first is that of a mobile. Which carrier serves a prefix is data
//! (`domain::carrier`). `Debug` is masked, so that a number in a log is never whole.

use std::fmt;

/// A syntactically valid Vietnamese mobile number. Four bytes; the national significant number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Phone(u32);

/// Why a text is not a phone that can be sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvalidPhone {
    /// Recognisably the national form of a mobile number: `suggestion` is what to send instead.
    NationalForm { suggestion: String },
    /// A Vietnamese number that is not a mobile (a landline, 1900, an old 11-digit number).
    NotMobile,
    /// Not `+84` and nine digits at all.
    Malformed,
}

impl Phone {
    /// # Errors
    /// [`InvalidPhone`] for anything but `+84` followed by nine digits of which the first is 3, 5, 7, 8 or 9.
    pub fn parse(text: &str) -> Result<Self, InvalidPhone> {
        match text.strip_prefix("+84") {
            Some(national) if national.len() == 9 && is_digits(national) => {
                Self::from_national(national).ok_or(InvalidPhone::NotMobile)
            }
            Some(rest) if is_digits(rest) && rest.starts_with('1') => Err(InvalidPhone::NotMobile),
            _ => Err(national_form(text)),
        }
    }

    /// The number from its nine national digits, e.g. `981234567`.
    #[must_use]
    pub fn from_national(digits: &str) -> Option<Self> {
        if digits.len() != 9 || !is_digits(digits) || !digits.starts_with(['3', '5', '7', '8', '9']) {
            return None;
        }
        digits.parse().ok().map(Self)
    }

    /// The nine national digits as a number, e.g. `981_234_567`.
    #[must_use]
    pub const fn national(self) -> u32 {
        self.0
    }

    /// The number from [`Phone::national`]; `None` if that is not a mobile number.
    #[must_use]
    pub fn from_national_number(number: u32) -> Option<Self> {
        Self::from_national(&format!("{number:09}"))
    }

    /// `+84` and the nine digits: for the customer who owns the delivery and for a carrier's wire, never for a log.
    #[must_use]
    pub fn e164(self) -> String {
        format!("+84{:09}", self.0)
    }
}

/// `+8498****567`: enough to recognise, not enough to call.
impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+84{:02}****{:03}", self.0 / 10_000_000, self.0 % 1_000)
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Names the E.164 form where the national form, with or without separators, is recognisable.
fn national_form(text: &str) -> InvalidPhone {
    if text.len() > 24 {
        return InvalidPhone::Malformed;
    }
    let digits: String = text.chars().filter(|c| !matches!(c, ' ' | '-' | '.' | '(' | ')' | '+')).collect();
    if !is_digits(&digits) {
        return InvalidPhone::Malformed;
    }
    let national = digits.strip_prefix("84").unwrap_or(&digits);
    let national = national.strip_prefix('0').unwrap_or(national);
    match Phone::from_national(national) {
        Some(phone) => InvalidPhone::NationalForm { suggestion: phone.e164() },
        None => InvalidPhone::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_e164_mobile_only() {
        let phone = Phone::parse("+84981234567").expect("valid");
        assert_eq!(phone.e164(), "+84981234567");
        assert_eq!(format!("{phone:?}"), "+8498****567");
        assert_eq!(Phone::from_national_number(phone.national()), Some(phone));
    }

    #[test]
    fn names_the_form_to_send_where_it_can() {
        for text in ["0981234567", "84981234567", "+84 981 234 567", "+840981234567", "981234567", "+84-98-123-4567"] {
            assert_eq!(
                Phone::parse(text),
                Err(InvalidPhone::NationalForm { suggestion: "+84981234567".into() }),
                "{text}"
            );
        }
    }

    #[test]
    fn refuses_what_is_not_a_vietnamese_mobile() {
        for (text, why) in [
            ("+842438271234", InvalidPhone::Malformed),
            ("+84243827123", InvalidPhone::NotMobile),
            ("+841212345678", InvalidPhone::NotMobile),
            ("+84190012345", InvalidPhone::NotMobile),
            ("+14155550123", InvalidPhone::Malformed),
            ("", InvalidPhone::Malformed),
            ("+84", InvalidPhone::Malformed),
            ("+8498123456a", InvalidPhone::Malformed),
            ("+84981234567\n", InvalidPhone::Malformed),
            ("+8498123456７", InvalidPhone::Malformed),
        ] {
            assert_eq!(Phone::parse(text), Err(why), "{text}");
        }
    }
}
