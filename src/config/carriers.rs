//! The carrier table: prefixes, channels and prices as data.
//!
//! `config/carriers.toml` is the manual and the table that is compiled in; an operator's file replaces it whole. A table
//! that does not hold together is refused with the entry that is wrong.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use crate::domain::carrier::{Allotment, Carrier, Channel, Channels, InvalidPlan, NumberingPlan, Route};
use crate::domain::money::{MicroUsd, ParseAmountError};

const BUILT_IN: &str = include_str!("../../config/carriers.toml");

/// The routes of every carrier that is served, and the plan that leads to them.
#[derive(Clone, Debug)]
pub struct CarrierTable {
    pub routes: Vec<Arc<Route>>,
    pub plan: NumberingPlan,
}

/// Why a carrier table is refused.
#[derive(Debug, thiserror::Error)]
pub enum CarrierTableError {
    #[error("cannot read {path}: {source}")]
    Unreadable { path: String, source: std::io::Error },
    #[error("{0}")]
    Syntax(#[from] toml::de::Error),
    #[error("carrier.{0}: a name has 1–32 lowercase letters, digits and _")]
    Name(String),
    #[error("carrier.{0}: channels must be one or two different ones of \"voice\" and \"sms\"")]
    Channels(String),
    #[error("carrier.{0}: price_usd: {1}")]
    Price(String, ParseAmountError),
    #[error("carrier.{0}: prefixes is empty")]
    NoPrefix(String),
    #[error("{0} is both under carrier and under not_served")]
    Both(String),
    #[error("no carrier is served")]
    NoCarrier,
    #[error(transparent)]
    Plan(#[from] InvalidPlan),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    price_usd: String,
    carrier: BTreeMap<String, Entry>,
    #[serde(default)]
    not_served: BTreeMap<String, Known>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    channels: Vec<String>,
    prefixes: Vec<String>,
    price_usd: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    prefixes: Vec<String>,
}

impl CarrierTable {
    /// The table of `file`, or the one that is compiled in if the path is empty.
    ///
    /// # Errors
    /// [`CarrierTableError`] naming the entry that is wrong.
    pub fn load(file: &Path) -> Result<Self, CarrierTableError> {
        if file.as_os_str().is_empty() {
            return Self::parse(BUILT_IN);
        }
        let unreadable = |source| CarrierTableError::Unreadable { path: file.display().to_string(), source };
        Self::parse(&std::fs::read_to_string(file).map_err(unreadable)?)
    }

    /// The table that is written in `text`.
    ///
    /// # Errors
    /// [`CarrierTableError`] naming the entry that is wrong.
    pub fn parse(text: &str) -> Result<Self, CarrierTableError> {
        let file: File = toml::from_str(text)?;
        if file.carrier.is_empty() {
            return Err(CarrierTableError::NoCarrier);
        }
        let mut rows = Vec::new();
        let mut routes = Vec::new();
        for (name, entry) in &file.carrier {
            let route = Arc::new(route(name, entry, &file.price_usd)?);
            let allotments = entry.prefixes.iter().map(|p| (p.clone(), Allotment::Served(Arc::clone(&route))));
            rows.extend(allotments);
            routes.push(route);
        }
        for (name, known) in &file.not_served {
            if file.carrier.contains_key(name) {
                return Err(CarrierTableError::Both(name.clone()));
            }
            let carrier = Carrier::new(name).ok_or_else(|| CarrierTableError::Name(name.clone()))?;
            rows.extend(known.prefixes.iter().map(|p| (p.clone(), Allotment::NotServed(carrier.clone()))));
        }
        Ok(Self { routes, plan: NumberingPlan::new(&rows)? })
    }
}

fn route(name: &str, entry: &Entry, price_usd: &str) -> Result<Route, CarrierTableError> {
    let channels: Option<Vec<Channel>> = entry.channels.iter().map(|channel| Channel::from_name(channel)).collect();
    let price = entry.price_usd.as_deref().unwrap_or(price_usd);
    if entry.prefixes.is_empty() {
        return Err(CarrierTableError::NoPrefix(name.to_owned()));
    }
    Ok(Route {
        carrier: Carrier::new(name).ok_or_else(|| CarrierTableError::Name(name.to_owned()))?,
        channels: channels
            .and_then(|channels| Channels::from_list(&channels))
            .ok_or_else(|| CarrierTableError::Channels(name.to_owned()))?,
        price: price.parse::<MicroUsd>().map_err(|error| CarrierTableError::Price(name.to_owned(), error))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::phone::Phone;

    #[test]
    fn the_built_in_table_is_that_of_the_contract() {
        let table = CarrierTable::parse(BUILT_IN).expect("valid");
        let of = |text: &str| {
            let route = table.plan.route(Phone::parse(text).expect("valid")).cloned().expect("served");
            (route.carrier.as_str().to_owned(), route.channels, route.price.to_string())
        };
        let both = Channels::from_list(&[Channel::Voice, Channel::Sms]).expect("valid");
        let price = || "0.022".to_owned();
        assert_eq!(of("+84981234567"), ("viettel".into(), both, price()));
        assert_eq!(of("+84911234567"), ("vinaphone".into(), both, price()));
        assert_eq!(of("+84921234567"), ("vietnamobile".into(), both, price()));
        assert_eq!(of("+84901234567"), ("mobifone".into(), Channels::only(Channel::Sms), price()));
        assert_eq!(table.routes.len(), 4);
    }

    #[test]
    fn a_wrong_entry_is_named() {
        let with = |carrier: &str| CarrierTable::parse(&format!("price_usd = \"0.022\"\n{carrier}")).map(drop);
        let refused = |carrier: &str| with(carrier).expect_err("refused").to_string();
        assert!(refused("[carrier.a]\nchannels = [\"fax\"]\nprefixes = [\"98\"]").starts_with("carrier.a: channels"));
        assert!(refused("[carrier.a]\nchannels = []\nprefixes = [\"98\"]").starts_with("carrier.a: channels"));
        assert!(refused("[carrier.A]\nchannels = [\"sms\"]\nprefixes = [\"98\"]").starts_with("carrier.A: a name"));
        assert!(refused("[carrier.a]\nchannels = [\"sms\"]\nprefixes = []").contains("prefixes is empty"));
        assert!(refused("[carrier.a]\nchannels = [\"sms\"]\nprefixes = [\"24\"]").contains("\"24\""));
        assert!(
            refused("[carrier.a]\nchannels = [\"sms\"]\nprefixes = [\"98\"]\nprice_usd = \"-1\"")
                .starts_with("carrier.a: price_usd")
        );
        assert!(refused("[carrier.a]\nchannels = [\"sms\"]\nprefixes = [\"98\"]\ncolour = 1").contains("colour"));
        let both = "[carrier.a]\nchannels = [\"sms\"]\nprefixes = [\"98\"]\n[not_served.a]\nprefixes = [\"97\"]";
        assert!(refused(both).contains("both"));
        assert!(refused("[carrier]").contains("no carrier"));
    }
}
