//! Instants of the database's clock.
//!
//! A [`Timestamp`] is what a row holds: microseconds since the Unix epoch as the *database* saw them. It is never
//! read from this node's wall clock; who needs one gets it from a transaction or from `clock::DatabaseClock`.

use std::time::Duration;

/// Microseconds since the Unix epoch on the database's clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration_micros(duration)))
    }

    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration_micros(duration)))
    }

    /// Reads RFC 3339, with any offset; finer than microseconds is cut off.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|at| Self(at.as_microsecond()))
    }

    /// How long after `earlier` this instant is; zero if it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// RFC 3339 in UTC with milliseconds and `Z`; what no calendar holds (a year past 9999) becomes 1970.
    #[must_use]
    pub fn rfc3339(self) -> String {
        format!("{:.3}", jiff::Timestamp::from_millisecond(self.millis()).unwrap_or_default())
    }
}

/// A duration as whole microseconds, saturating; the unit of every duration that SQL sees.
#[must_use]
pub fn duration_micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds() {
        assert_eq!(Timestamp::from_micros(1_780_000_000_120_999).rfc3339(), "2026-05-28T20:26:40.120Z");
        assert_eq!(Timestamp::from_micros(i64::MAX).rfc3339(), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn times_are_read_with_their_offset() {
        let at = Some(Timestamp::from_micros(1_780_000_000_120_999));
        assert_eq!(Timestamp::parse_rfc3339("2026-05-28T20:26:40.120999Z"), at);
        assert_eq!(Timestamp::parse_rfc3339("2026-05-29T03:26:40.1209999+07:00"), at);
        for text in ["", "yesterday", "2026-05-28", "2026-05-28T20:26:40", "2026-13-28T20:26:40Z", "1780000000"] {
            assert_eq!(Timestamp::parse_rfc3339(text), None, "{text}");
        }
    }
}
