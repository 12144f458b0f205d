//! Money: integer micro-dollars and the three buckets of a wallet.
//!
//! Owns every arithmetic rule about amounts; all of it is checked and none of it is a float. Printing and
//! parsing are exact decimals, because the JSON edge never converts through `f64`.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

const MICROS_PER_USD: i64 = 1_000_000;

/// An amount in millionths of a US dollar; $0.022 is `22_000`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct MicroUsd(i64);

impl MicroUsd {
    pub const ZERO: Self = Self(0);

    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(difference) => Some(Self(difference)),
            None => None,
        }
    }

    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }
}

/// Prints the exact decimal with at least three and at most six places: `0.022`, `9.978`, `0.0225`.
impl fmt::Display for MicroUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.unsigned_abs();
        let per_usd = MICROS_PER_USD.unsigned_abs();
        let (whole, mut fraction) = (micros.div_euclid(per_usd), micros.rem_euclid(per_usd));
        let mut places = 6_usize;
        while places > 3 && fraction.rem_euclid(10) == 0 {
            fraction = fraction.div_euclid(10);
            places = places.saturating_sub(1);
        }
        let sign = if self.is_negative() { "-" } else { "" };
        write!(f, "{sign}{whole}.{fraction:0places$}")
    }
}

/// Why a text is not an amount of dollars.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum ParseAmountError {
    #[error("expected a decimal amount of dollars such as 10 or 0.022")]
    NotDecimal,
    #[error("at most six decimal places: one micro-dollar is the smallest amount")]
    TooPrecise,
    #[error("the amount is too large")]
    TooLarge,
}

/// Parses a non-negative decimal amount of dollars with at most six places.
impl FromStr for MicroUsd {
    type Err = ParseAmountError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return Err(ParseAmountError::NotDecimal);
        }
        if fraction.len() > 6 {
            return Err(ParseAmountError::TooPrecise);
        }
        let whole: i64 = whole.parse().map_err(|_| ParseAmountError::TooLarge)?;
        let fraction: i64 = format!("{fraction:0<6}").parse().map_err(|_| ParseAmountError::TooLarge)?;
        whole
            .checked_mul(MICROS_PER_USD)
            .and_then(|micros| micros.checked_add(fraction))
            .map(Self)
            .ok_or(ParseAmountError::TooLarge)
    }
}

/// One of the three parts of a wallet, in the order in which they are spent (seed: API reference §05).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Bucket {
    Free,
    Bonus,
    Cash,
}

impl Bucket {
    /// The name that customers and operators see.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free_credit",
            Self::Bonus => "bonus_credit",
            Self::Cash => "balance",
        }
    }
}

/// Three amounts, one per bucket: a wallet, the split of a charge, or the split of a refund.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub struct Buckets {
    pub free: MicroUsd,
    pub bonus: MicroUsd,
    pub cash: MicroUsd,
}

impl Buckets {
    /// All of `amount` in one bucket.
    #[must_use]
    pub fn only(bucket: Bucket, amount: MicroUsd) -> Self {
        let mut buckets = Self::default();
        match bucket {
            Bucket::Free => buckets.free = amount,
            Bucket::Bonus => buckets.bonus = amount,
            Bucket::Cash => buckets.cash = amount,
        }
        buckets
    }

    /// What the account can still spend; `None` on overflow.
    #[must_use]
    pub fn total(self) -> Option<MicroUsd> {
        self.free.checked_add(self.bonus)?.checked_add(self.cash)
    }

    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        Some(Self {
            free: self.free.checked_add(other.free)?,
            bonus: self.bonus.checked_add(other.bonus)?,
            cash: self.cash.checked_add(other.cash)?,
        })
    }

    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        Some(Self {
            free: self.free.checked_sub(other.free)?,
            bonus: self.bonus.checked_sub(other.bonus)?,
            cash: self.cash.checked_sub(other.cash)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn prints_at_least_three_places_and_never_rounds() {
        for (micros, text) in [
            (22_000, "0.022"),
            (9_978_000, "9.978"),
            (0, "0.000"),
            (2_000_000, "2.000"),
            (22_500, "0.0225"),
            (1, "0.000001"),
            (-22_000, "-0.022"),
            (i64::MAX, "9223372036854.775807"),
            (i64::MIN, "-9223372036854.775808"),
        ] {
            assert_eq!(MicroUsd::from_micros(micros).to_string(), text);
        }
    }

    #[test]
    fn refuses_what_is_not_an_exact_amount() {
        for (text, error) in [
            ("", ParseAmountError::NotDecimal),
            ("-1", ParseAmountError::NotDecimal),
            ("1e3", ParseAmountError::NotDecimal),
            (".5", ParseAmountError::NotDecimal),
            ("5.", ParseAmountError::NotDecimal),
            ("0.0000001", ParseAmountError::TooPrecise),
            ("99999999999999", ParseAmountError::TooLarge),
        ] {
            assert_eq!(text.parse::<MicroUsd>(), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_parses_back(micros in 0..=i64::MAX) {
            let amount = MicroUsd::from_micros(micros);
            prop_assert_eq!(amount.to_string().parse::<MicroUsd>(), Ok(amount));
        }
    }
}
