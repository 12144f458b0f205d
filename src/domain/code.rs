//! The one-time code: the secret that this product carries and never keeps.
//!
//! It has no `Display`, no serde and a redacting `Debug`. Only a carrier link calls [`OtpCode::expose`], at the moment of
//! sending. The digits lie in one place on the heap, where they were written when the request was read: what moves through
//! futures, mailboxes and boxes is a pointer, clones share it, and the last of them wipes the place.
//!
//! Not covered: the bytes of the request itself (hyper's read buffer, the collected body, the text of a JSON string that
//! held escapes), what a link copies out for its wire, and what the operating system does with memory (swap, core dumps).

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroize;

/// 4 to 8 ASCII digits (seed: API reference §03).
#[derive(Clone)]
pub struct OtpCode(Arc<Digits>);

/// The place of the digits.
#[derive(Default)]
struct Digits {
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
        // The place comes first and is filled where it is: built on the stack, the digits would stay there too.
        let mut place = Arc::new(Digits::default());
        let written = Arc::get_mut(&mut place).ok_or(InvalidCode)?;
        written.digits[..bytes.len()].copy_from_slice(bytes);
        written.len = len;
        Ok(Self(place))
    }

    /// The digits, for the wire of a carrier and nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        std::str::from_utf8(&self.0.digits[..usize::from(self.0.len)]).unwrap_or_default()
    }
}

impl fmt::Debug for OtpCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[code]")
    }
}

impl Zeroize for Digits {
    fn zeroize(&mut self) {
        self.digits.zeroize();
        self.len.zeroize();
    }
}

impl Drop for Digits {
    fn drop(&mut self) {
        self.zeroize();
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

    #[test]
    fn the_digits_lie_in_one_place_however_the_code_moves() {
        let code = OtpCode::parse("482917").expect("valid");
        let place = code.expose().as_ptr();
        let moved = Box::new((code.clone(), Some(code)));
        let (clone, code) = *moved;
        assert_eq!([clone.expose().as_ptr(), code.expect("moved").expose().as_ptr()], [place; 2]);
        assert_eq!(clone.expose(), "482917");
        assert_eq!(size_of::<OtpCode>(), size_of::<usize>());
    }

    #[test]
    fn the_place_is_wiped_whole() {
        let mut digits = Digits { digits: *b"48291734", len: 8 };
        digits.zeroize();
        assert_eq!((digits.digits, digits.len), ([0; 8], 0));
    }
}
