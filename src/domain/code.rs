//! The one-time code: the secret that this product carries and never keeps.
//!
//! It has no `Display`, no serde and a redacting `Debug`; it is wiped when it is dropped. Only a carrier link calls
//! [`OtpCode::expose`], at the moment of sending.

use std::fmt;

use zeroize::Zeroize;

/// 4 to 8 ASCII digits (seed: API reference §03).
#[derive(Clone)]
pub struct OtpCode {
    digits: [u8; 8],
    len: u8,
}

/// The text is not 4–8 ASCII digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a code is 4 to 8 digits")]
pub struct InvalidCode;

impl OtpCode {
    /// # Errors
    /// [`InvalidCode`] unless `text` is 4–8 ASCII digits.
    pub fn parse(text: &str) -> Result<Self, InvalidCode> {
        let bytes = text.as_bytes();
        let len = u8::try_from(bytes.len()).map_err(|_| InvalidCode)?;
        if !(4..=8).contains(&len) || !bytes.iter().all(u8::is_ascii_digit) {
            return Err(InvalidCode);
        }
        let mut digits = [0; 8];
        digits[..bytes.len()].copy_from_slice(bytes);
        Ok(Self { digits, len })
    }

    /// The digits, for the wire of a carrier and nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        std::str::from_utf8(&self.digits[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl fmt::Debug for OtpCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[code]")
    }
}

impl Drop for OtpCode {
    fn drop(&mut self) {
        self.digits.zeroize();
        self.len.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_four_to_eight_ascii_digits_are_a_code() {
        for good in ["1234", "12345678", "0000", "012345"] {
            assert_eq!(OtpCode::parse(good).map(|c| c.expose().to_owned()), Ok(good.to_owned()));
        }
        for bad in ["", "123", "123456789", "12a4", "12 34", "１２３４", "+1234", "-1234", "1234\n"] {
            assert!(OtpCode::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn debug_never_shows_the_digits() {
        let code = OtpCode::parse("482917").expect("valid");
        assert_eq!(format!("{code:?}"), "[code]");
    }
}
