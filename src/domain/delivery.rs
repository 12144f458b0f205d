//! The life of one OTP: `sent → delivered | failed`, and how it may end.
//!
//! Terminal states never change (contract §3). The numbers of [`Status`] are what a row holds.

use std::time::Duration;

/// Where a delivery is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Status {
    Sent,
    Delivered,
    Failed,
}

impl Status {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Sent, Self::Delivered, Self::Failed].into_iter().find(|s| s.as_str() == name)
    }

    /// The value in the `status` column.
    #[must_use]
    pub const fn number(self) -> i64 {
        match self {
            Self::Sent => 0,
            Self::Delivered => 1,
            Self::Failed => 2,
        }
    }

    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        [Self::Sent, Self::Delivered, Self::Failed].into_iter().find(|s| s.number() == number)
    }
}

/// Why a delivery failed: the `error_code` that a customer sees and a bounded metric label.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum FailureCode {
    /// No receipt came by the settle time.
    Timeout,
    /// The carrier refused this phone for now.
    RateLimited,
    /// Refused on the last channel, or it could not leave in time.
    NoRoute,
    /// The handset is off, out of reach, busy or does not answer.
    Unreachable,
    /// The carrier knows no such number.
    InvalidNumber,
    /// The carrier refused or dropped the message.
    Rejected,
    /// The carrier gave up within its own validity period.
    Expired,
    /// The commit of the charge became known too late to send (never dispatched).
    Unavailable,
}

impl FailureCode {
    pub const ALL: [Self; 8] = [
        Self::Timeout,
        Self::RateLimited,
        Self::NoRoute,
        Self::Unreachable,
        Self::InvalidNumber,
        Self::Rejected,
        Self::Expired,
        Self::Unavailable,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::RateLimited => "rate_limited",
            Self::NoRoute => "no_route",
            Self::Unreachable => "unreachable",
            Self::InvalidNumber => "invalid_number",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Unavailable => "unavailable",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == name)
    }
}

/// The carrier's own word for what happened, cleaned and cut: at most 64 visible ASCII characters.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CarrierStatus(String);

impl CarrierStatus {
    /// Keeps visible ASCII and spaces, drops the rest and everything past 64 characters.
    #[must_use]
    pub fn clean(text: &str) -> Self {
        Self(text.chars().filter(|c| matches!(c, ' '..='~')).take(64).collect())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How a delivery ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// The charge becomes final.
    Delivered { carrier_status: CarrierStatus },
    /// The charge goes back to the buckets that it came from.
    Failed { code: FailureCode, carrier_status: Option<CarrierStatus> },
}

impl End {
    #[must_use]
    pub const fn status(&self) -> Status {
        match self {
            Self::Delivered { .. } => Status::Delivered,
            Self::Failed { .. } => Status::Failed,
        }
    }
}

/// What becomes of the phone's window when the delivery that owns it ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WindowAfter {
    /// Some attempt was accepted or is ambiguous: the phone may have been called.
    Keep,
    /// No attempt was accepted or is ambiguous: the phone is free again.
    Release,
    /// The carrier named its own remainder for this phone, and nobody was called.
    Hold(Duration),
    /// The same, but an earlier attempt may have called the phone: its window is never made shorter.
    Extend(Duration),
}

/// The longest remainder that a carrier is believed.
pub const HOLD_MAX: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_unique_and_read_back() {
        for status in [Status::Sent, Status::Delivered, Status::Failed] {
            assert_eq!(Status::from_name(status.as_str()), Some(status));
            assert_eq!(Status::from_number(status.number()), Some(status));
        }
        for code in FailureCode::ALL {
            assert_eq!(FailureCode::from_name(code.as_str()), Some(code));
        }
    }

    #[test]
    fn a_carriers_word_is_cut_and_cleaned() {
        assert_eq!(CarrierStatus::clean("DELIVRD\r\n\u{1b}[0m é").as_str(), "DELIVRD[0m ");
        assert_eq!(CarrierStatus::clean(&"x".repeat(100)).as_str().len(), 64);
    }
}
