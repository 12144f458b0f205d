//! Carriers, their networks and channels, and what leads to them.
//!
//! Which of them serves a phone is the numbering plan's rule (`domain::numbering`).

use std::fmt;
use std::sync::Arc;

use crate::domain::money::MicroUsd;

/// Whether a name can be a metric label: 1–32 lowercase ASCII letters, digits and `_`.
pub(super) fn is_label(name: &str) -> bool {
    let sane = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    (1..=32).contains(&name.len()) && name.bytes().all(sane)
}

/// The name of a carrier as the API shows it, e.g. `viettel`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Carrier(Arc<str>);

impl Carrier {
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

impl fmt::Debug for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A mobile network as operators name it: MCC and MNC, e.g. `45204`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub struct NetworkCode(u32);

impl NetworkCode {
    /// Five or six digits, with or without a separator after the first three; `None` otherwise.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: String = text.chars().filter(|c| !matches!(c, '-' | ' ')).collect();
        let sane = (5..=6).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        if sane { digits.parse().ok().map(Self) } else { None }
    }
}

/// How a code reaches a handset.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum Channel {
    Voice,
    Sms,
}

impl Channel {
    /// There are two.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Voice => Self::Sms,
            Self::Sms => Self::Voice,
        }
    }

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Voice => "voice",
            Self::Sms => "sms",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "voice" => Some(Self::Voice),
            "sms" => Some(Self::Sms),
            _ => None,
        }
    }
}

/// What the caller asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ChannelChoice {
    /// The carrier's channels in its order of preference.
    #[default]
    Auto,
    /// This channel and no other; there is no fallback.
    Only(Channel),
}

/// The channels that a delivery may use, in order; never empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Channels {
    first: Channel,
    fallback: Option<Channel>,
}

impl Channels {
    #[must_use]
    pub const fn only(channel: Channel) -> Self {
        Self { first: channel, fallback: None }
    }

    /// The list in `channels`; `None` if it is empty, repeats a channel or has more than two.
    #[must_use]
    pub fn from_list(channels: &[Channel]) -> Option<Self> {
        match *channels {
            [first] => Some(Self::only(first)),
            [first, second] if first != second => Some(Self { first, fallback: Some(second) }),
            _ => None,
        }
    }

    #[must_use]
    pub const fn first(self) -> Channel {
        self.first
    }

    /// What is left after the first channel failed for good.
    #[must_use]
    pub const fn after_first(self) -> Option<Self> {
        match self.fallback {
            Some(channel) => Some(Self::only(channel)),
            None => None,
        }
    }

    /// Every channel, the first one first.
    pub fn iter(self) -> impl Iterator<Item = Channel> {
        std::iter::once(self.first).chain(self.fallback)
    }

    #[must_use]
    pub fn contains(self, channel: Channel) -> bool {
        self.first == channel || self.fallback == Some(channel)
    }

    /// Narrows the list to what the caller asked for; `None` if the carrier does not have it.
    #[must_use]
    pub fn choose(self, choice: ChannelChoice) -> Option<Self> {
        match choice {
            ChannelChoice::Auto => Some(self),
            ChannelChoice::Only(channel) => self.contains(channel).then(|| Self::only(channel)),
        }
    }
}

/// How it became known which carrier serves a phone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Default)]
pub enum CarrierSource {
    /// The carrier to which the number's prefix was allotted.
    #[default]
    Prefix,
    /// The operator's list of ported numbers.
    Override,
    /// What a carrier told of the phone's network lately.
    Learned,
    /// The provider of number look-ups was asked for this order.
    LookUp,
}

impl CarrierSource {
    /// As it is stored; a prefix is nothing to be told.
    #[must_use]
    pub const fn number(self) -> Option<i64> {
        match self {
            Self::Prefix => None,
            Self::Override => Some(1),
            Self::Learned => Some(2),
            Self::LookUp => Some(3),
        }
    }

    /// The name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prefix => "prefix",
            Self::Override => "override",
            Self::Learned => "learned",
            Self::LookUp => "lookup",
        }
    }
}

/// How a carrier is reached and what one OTP to it costs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    pub carrier: Carrier,
    pub channels: Channels,
    pub price: MicroUsd,
}

/// Why no carrier can be named for a phone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unroutable {
    /// The prefix belongs to a carrier that is not configured here.
    NotServed(Carrier),
    /// No mobile carrier has the prefix.
    Unassigned,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_five_or_six_digits() {
        let viettel = NetworkCode::parse("45204");
        assert!(viettel.is_some());
        assert_eq!(NetworkCode::parse("452-04"), viettel);
        assert_eq!(NetworkCode::parse("452 04"), viettel);
        for text in ["", "4520", "452-04-1-23", "viettel", "４５２０４"] {
            assert_eq!(NetworkCode::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_choice_narrows_and_never_widens() {
        let both = Channels::from_list(&[Channel::Voice, Channel::Sms]).expect("valid");
        let sms = Channels::only(Channel::Sms);
        assert_eq!(both.choose(ChannelChoice::Auto), Some(both));
        assert_eq!(both.choose(ChannelChoice::Only(Channel::Sms)), Some(sms));
        assert_eq!(sms.choose(ChannelChoice::Only(Channel::Voice)), None);
        assert_eq!(both.after_first(), Some(sms));
        assert_eq!(sms.after_first(), None);
        assert_eq!(Channels::from_list(&[Channel::Sms, Channel::Sms]), None);
    }
}
