//! Carriers, channels and the numbering plan that leads from a phone to them.
//!
//! The plan is data (`config/carriers.toml`); this is the rule that reads it: a number that is known to be ported goes to
//! its new network, otherwise the longest prefix wins, two or three national digits. A prefix names the carrier to which it
//! was allotted; nobody outside the operators can look a ported number up, so those that matter are listed.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::domain::money::MicroUsd;
use crate::domain::phone::Phone;

/// The name of a carrier as the API shows it, e.g. `viettel`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Carrier(Arc<str>);

impl Carrier {
    /// A name of 1–32 lowercase ASCII letters, digits and `_`; `None` otherwise (it becomes a metric label).
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let sane = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        ((1..=32).contains(&name.len()) && name.bytes().all(sane)).then(|| Self(name.into()))
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

/// Whose a prefix is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Allotment {
    Served(Arc<Route>),
    NotServed(Carrier),
}

/// A row of the plan that cannot be.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidPlan {
    #[error("prefix {0:?} is not two or three digits that start with 3, 5, 7, 8 or 9")]
    Prefix(String),
    #[error("prefix {0:?} is given twice")]
    Twice(String),
}

/// Phone → carrier, answered by one array look-up, and one in the list of ported numbers if there is any.
#[derive(Clone, Debug)]
pub struct NumberingPlan {
    by_three_digits: Box<[Option<Allotment>]>,
    ported: HashMap<Phone, Allotment>,
}

impl NumberingPlan {
    /// Builds the plan from rows of (national prefix, allotment).
    ///
    /// # Errors
    /// [`InvalidPlan`] for a prefix that no mobile can have or that is given twice.
    pub fn new(rows: &[(String, Allotment)]) -> Result<Self, InvalidPlan> {
        let mut table: Vec<Option<(usize, Allotment)>> = vec![None; 1_000];
        for (prefix, allotment) in rows {
            let len = prefix.len();
            let valid = (2..=3).contains(&len) && prefix.bytes().all(|b| b.is_ascii_digit());
            if !valid || !prefix.starts_with(['3', '5', '7', '8', '9']) {
                return Err(InvalidPlan::Prefix(prefix.clone()));
            }
            let number: usize = prefix.parse().map_err(|_| InvalidPlan::Prefix(prefix.clone()))?;
            let covered = if len == 2 { number * 10..number * 10 + 10 } else { number..number + 1 };
            for entry in &mut table[covered] {
                match entry {
                    Some((known, _)) if *known == len => return Err(InvalidPlan::Twice(prefix.clone())),
                    Some((known, _)) if *known > len => {}
                    _ => *entry = Some((len, allotment.clone())),
                }
            }
        }
        let by_three_digits = table.into_iter().map(|e| e.map(|(_, allotment)| allotment)).collect();
        Ok(Self { by_three_digits, ported: HashMap::new() })
    }

    /// The plan with numbers that moved to another network than their prefix says.
    #[must_use]
    pub fn with_ported(mut self, ported: HashMap<Phone, Allotment>) -> Self {
        self.ported = ported;
        self
    }

    /// # Errors
    /// [`Unroutable`] if the prefix has no carrier or one that is not configured here.
    pub fn route(&self, phone: Phone) -> Result<&Arc<Route>, Unroutable> {
        let index = usize::try_from(phone.national() / 1_000_000).unwrap_or(usize::MAX);
        let ported = if self.ported.is_empty() { None } else { self.ported.get(&phone) };
        match ported.or_else(|| self.by_three_digits.get(index)?.as_ref()) {
            Some(Allotment::Served(route)) => Ok(route),
            Some(Allotment::NotServed(carrier)) => Err(Unroutable::NotServed(carrier.clone())),
            None => Err(Unroutable::Unassigned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carrier(name: &str) -> Carrier {
        Carrier::new(name).expect("a sane name")
    }

    fn route(name: &str, channels: &[Channel]) -> Arc<Route> {
        Arc::new(Route {
            carrier: carrier(name),
            channels: Channels::from_list(channels).expect("a sane list"),
            price: MicroUsd::from_micros(22_000),
        })
    }

    #[test]
    fn the_longest_prefix_wins_in_any_order() {
        let two = ("99".to_owned(), Allotment::Served(route("viettel", &[Channel::Voice])));
        let three = ("993".to_owned(), Allotment::NotServed(carrier("gmobile")));
        for rows in [[two.clone(), three.clone()], [three, two]] {
            let plan = NumberingPlan::new(&rows).expect("valid");
            let phone = |text| Phone::parse(text).expect("valid");
            assert_eq!(plan.route(phone("+84992000000")).map(|r| r.carrier.as_str()), Ok("viettel"));
            assert_eq!(plan.route(phone("+84993000000")), Err(Unroutable::NotServed(carrier("gmobile"))));
            assert_eq!(plan.route(phone("+84981234567")), Err(Unroutable::Unassigned));
        }
    }

    #[test]
    fn a_ported_number_goes_to_its_new_network_whatever_its_prefix() {
        let rows = [("98".to_owned(), Allotment::Served(route("viettel", &[Channel::Voice])))];
        let phone = |text| Phone::parse(text).expect("valid");
        let moved = |to| HashMap::from([(phone("+84981234567"), to)]);
        let plan = NumberingPlan::new(&rows).expect("valid");
        let away = plan.clone().with_ported(moved(Allotment::NotServed(carrier("gmobile"))));
        assert_eq!(away.route(phone("+84981234567")), Err(Unroutable::NotServed(carrier("gmobile"))));
        let over = plan.with_ported(moved(Allotment::Served(route("mobifone", &[Channel::Sms]))));
        assert_eq!(over.route(phone("+84981234567")).map(|r| r.carrier.as_str()), Ok("mobifone"));
        assert_eq!(over.route(phone("+84981234568")).map(|r| r.carrier.as_str()), Ok("viettel"));
    }

    #[test]
    fn refuses_impossible_and_repeated_prefixes() {
        let served = Allotment::Served(route("viettel", &[Channel::Sms]));
        for bad in ["", "9", "24", "9999", "9a"] {
            assert_eq!(
                NumberingPlan::new(&[(bad.into(), served.clone())]).err(),
                Some(InvalidPlan::Prefix(bad.into()))
            );
        }
        let twice = [("98".to_owned(), served.clone()), ("98".to_owned(), served)];
        assert_eq!(NumberingPlan::new(&twice).err(), Some(InvalidPlan::Twice("98".into())));
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
