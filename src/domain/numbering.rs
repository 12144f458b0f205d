//! The numbering plan: which carrier serves a phone.
//!
//! The plan is data (`config/carriers.toml`, and the operator's file of ported numbers); this is the rule that reads it: a
//! number that is known to be ported goes to its new network, otherwise the longest prefix wins, two or three national
//! digits. A prefix names the carrier to which it was allotted; nobody outside the operators can look a ported number up, so
//! those that matter are listed.

use std::collections::HashMap;
use std::sync::Arc;

use crate::domain::carrier::{Carrier, CarrierSource, NetworkCode, Route, Unroutable};
use crate::domain::phone::Phone;
use crate::domain::ported::PortedNumbers;

/// Whose a prefix, a network or a number is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Allotment {
    Served(Arc<Route>),
    NotServed(Carrier),
}

impl Allotment {
    #[must_use]
    pub fn carrier(&self) -> &Carrier {
        match self {
            Self::Served(route) => &route.carrier,
            Self::NotServed(carrier) => carrier,
        }
    }

    /// # Errors
    /// [`Unroutable::NotServed`].
    pub fn route(&self) -> Result<&Arc<Route>, Unroutable> {
        match self {
            Self::Served(route) => Ok(route),
            Self::NotServed(carrier) => Err(Unroutable::NotServed(carrier.clone())),
        }
    }
}

/// The carrier of one phone, and how it became known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Routed {
    pub route: Arc<Route>,
    pub source: CarrierSource,
}

/// A row of the plan that cannot be.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidPlan {
    #[error("prefix {0:?} is not two or three digits that start with 3, 5, 7, 8 or 9")]
    Prefix(String),
    #[error("prefix {0:?} is given twice")]
    Twice(String),
}

/// Phone → carrier, answered by one array look-up, and one in each list of ported numbers if there is any.
#[derive(Clone, Debug)]
pub struct NumberingPlan {
    by_three_digits: Box<[Option<Allotment>]>,
    by_name: HashMap<Carrier, Allotment>,
    by_network: HashMap<NetworkCode, Allotment>,
    /// The few that the carrier table itself lists.
    listed: HashMap<Phone, Allotment>,
    /// The many of the operator's file.
    ported: Arc<PortedNumbers>,
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
        Ok(Self {
            by_three_digits: table.into_iter().map(|e| e.map(|(_, allotment)| allotment)).collect(),
            by_name: rows.iter().map(|(_, allotment)| (allotment.carrier().clone(), allotment.clone())).collect(),
            by_network: HashMap::new(),
            listed: HashMap::new(),
            ported: Arc::default(),
        })
    }

    /// The plan with a few numbers that moved to another network than their prefix says.
    #[must_use]
    pub fn with_listed(mut self, listed: HashMap<Phone, Allotment>) -> Self {
        self.listed = listed;
        self
    }

    /// The plan with the networks of its carriers.
    #[must_use]
    pub fn with_networks(mut self, networks: HashMap<NetworkCode, Allotment>) -> Self {
        self.by_network = networks;
        self
    }

    /// The plan with the many numbers that moved; of a number that [`NumberingPlan::with_listed`] names too, that holds.
    #[must_use]
    pub fn with_ported(mut self, ported: Arc<PortedNumbers>) -> Self {
        self.ported = ported;
        self
    }

    /// The carrier of that name, if the plan has it.
    #[must_use]
    pub fn named(&self, carrier: &Carrier) -> Option<&Allotment> {
        self.by_name.get(carrier)
    }

    /// Every carrier of the plan, served or not.
    pub fn carriers(&self) -> impl Iterator<Item = &Allotment> {
        self.by_name.values()
    }

    /// Whose a mobile network is, if the plan says so.
    #[must_use]
    pub fn network(&self, code: NetworkCode) -> Option<&Allotment> {
        self.by_network.get(&code)
    }

    /// The carrier that the operator's lists name for a phone.
    #[must_use]
    pub fn ported(&self, phone: Phone) -> Option<&Allotment> {
        let listed = if self.listed.is_empty() { None } else { self.listed.get(&phone) };
        listed.or_else(|| self.ported.get(phone))
    }

    /// The carrier to which a phone's prefix was allotted.
    #[must_use]
    pub fn by_prefix(&self, phone: Phone) -> Option<&Allotment> {
        self.by_three_digits.get(usize::try_from(phone.national() / 1_000_000).ok()?)?.as_ref()
    }

    /// Rows of the operator's file of ported numbers.
    #[must_use]
    pub fn ported_rows(&self) -> usize {
        self.ported.len()
    }

    /// Numbers of three digits that have a carrier: what a change of prefixes is told by.
    #[must_use]
    pub fn prefixes(&self) -> usize {
        self.by_three_digits.iter().flatten().count()
    }

    /// What the plan alone knows of a phone.
    ///
    /// # Errors
    /// [`Unroutable`] if the phone's carrier is not configured here, or its prefix has none.
    pub fn route(&self, phone: Phone) -> Result<Routed, Unroutable> {
        self.route_with(phone, |_| None)
    }

    /// The same, with what has been `learned` of a phone between the operator's lists and its prefix.
    ///
    /// # Errors
    /// As [`NumberingPlan::route`].
    pub fn route_with(
        &self,
        phone: Phone,
        learned: impl FnOnce(Phone) -> Option<Carrier>,
    ) -> Result<Routed, Unroutable> {
        let (allotment, source) = match self.ported(phone) {
            Some(allotment) => (allotment, CarrierSource::Override),
            // A carrier that the table does not name any more has been learned in vain.
            None => match learned(phone).and_then(|carrier| self.named(&carrier)) {
                Some(allotment) => (allotment, CarrierSource::Learned),
                None => (self.by_prefix(phone).ok_or(Unroutable::Unassigned)?, CarrierSource::Prefix),
            },
        };
        Ok(Routed { route: Arc::clone(allotment.route()?), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::carrier::{Channel, Channels};
    use crate::domain::money::MicroUsd;

    fn carrier(name: &str) -> Carrier {
        Carrier::new(name).expect("a sane name")
    }

    fn served(name: &str) -> Allotment {
        Allotment::Served(Arc::new(Route {
            carrier: carrier(name),
            channels: Channels::only(Channel::Sms),
            price: MicroUsd::from_micros(22_000),
        }))
    }

    fn phone(text: &str) -> Phone {
        Phone::parse(text).expect("valid")
    }

    fn told(plan: &NumberingPlan, text: &str, learned: Option<&str>) -> (String, CarrierSource) {
        let routed = plan.route_with(phone(text), |_| learned.map(carrier)).expect("served");
        (routed.route.carrier.as_str().to_owned(), routed.source)
    }

    #[test]
    fn the_longest_prefix_wins_in_any_order() {
        let two = ("99".to_owned(), served("viettel"));
        let three = ("993".to_owned(), Allotment::NotServed(carrier("gmobile")));
        for rows in [[two.clone(), three.clone()], [three, two]] {
            let plan = NumberingPlan::new(&rows).expect("valid");
            assert_eq!(told(&plan, "+84992000000", None), ("viettel".into(), CarrierSource::Prefix));
            assert_eq!(plan.route(phone("+84993000000")), Err(Unroutable::NotServed(carrier("gmobile"))));
            assert_eq!(plan.route(phone("+84981234567")), Err(Unroutable::Unassigned));
        }
    }

    #[test]
    fn the_operators_list_goes_before_what_was_learned_and_that_before_the_prefix() {
        let rows = [("98".to_owned(), served("viettel")), ("90".to_owned(), served("mobifone"))];
        let plan = NumberingPlan::new(&rows).expect("valid");
        let (moved, other) = ("+84981234567", "+84981234568");
        let away = plan.clone().with_listed(HashMap::from([(phone(moved), Allotment::NotServed(carrier("gmobile")))]));
        assert_eq!(away.route(phone(moved)), Err(Unroutable::NotServed(carrier("gmobile"))));
        let over = plan.with_listed(HashMap::from([(phone(moved), served("mobifone"))]));
        assert_eq!(told(&over, moved, Some("viettel")), ("mobifone".into(), CarrierSource::Override));
        assert_eq!(told(&over, other, Some("mobifone")), ("mobifone".into(), CarrierSource::Learned));
        assert_eq!(told(&over, other, Some("gone")), ("viettel".into(), CarrierSource::Prefix));
        assert_eq!(told(&over, other, None), ("viettel".into(), CarrierSource::Prefix));
        // What was learned serves a number whose prefix nobody has.
        assert_eq!(told(&over, "+84711234567", Some("viettel")), ("viettel".into(), CarrierSource::Learned));
    }

    #[test]
    fn networks_and_names_lead_to_their_carriers() {
        let code = |text| NetworkCode::parse(text).expect("valid");
        let networks = HashMap::from([(code("452-04"), served("viettel"))]);
        let plan = NumberingPlan::new(&[("98".to_owned(), served("viettel"))]).expect("valid").with_networks(networks);
        assert_eq!(plan.network(code("45204")).map(|a| a.carrier().as_str()), Some("viettel"));
        assert_eq!(plan.network(code("45201")), None);
        assert_eq!(plan.named(&carrier("viettel")), Some(&served("viettel")));
        assert_eq!(plan.prefixes(), 10);
    }

    #[test]
    fn refuses_impossible_and_repeated_prefixes() {
        for bad in ["", "9", "24", "9999", "9a"] {
            let refused = NumberingPlan::new(&[(bad.into(), served("viettel"))]).err();
            assert_eq!(refused, Some(InvalidPlan::Prefix(bad.into())));
        }
        let twice = [("98".to_owned(), served("viettel")), ("98".to_owned(), served("viettel"))];
        assert_eq!(NumberingPlan::new(&twice).err(), Some(InvalidPlan::Twice("98".into())));
    }
}
