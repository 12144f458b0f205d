//! The carrier table: prefixes, channels and prices as data.
//!
//! `config/carriers.toml` is the manual and the table that is compiled in; an operator's file replaces it whole. A table
//! that does not hold together is refused with the entry that is wrong.

mod simulated;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use self::simulated::Simulated;
use crate::config::SimulatorConfig;
use crate::domain::carrier::{Allotment, Carrier, Channel, Channels, InvalidPlan, NumberingPlan, Route};
use crate::domain::money::{MicroUsd, ParseAmountError};
use crate::domain::phone::Phone;

const BUILT_IN: &str = include_str!("../../config/carriers.toml");

/// The routes of every carrier that is served, and the plan that leads to them.
#[derive(Clone, Debug)]
pub struct CarrierTable {
    pub routes: Vec<Arc<Route>>,
    pub plan: NumberingPlan,
    simulated: HashMap<Carrier, Simulated>,
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
    #[error("carrier.{0}.simulator.{1} must be between 0 and 1")]
    Share(String, &'static str),
    #[error("ported: {0:?} is not +84 and the nine digits of a mobile")]
    PortedPhone(String),
    #[error("ported: {0:?} is neither under carrier nor under not_served")]
    PortedTo(String),
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
    /// Phone → name.
    #[serde(default)]
    ported: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    channels: Vec<String>,
    prefixes: Vec<String>,
    price_usd: Option<String>,
    #[serde(default)]
    simulator: Simulated,
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
        let (mut rows, mut routes) = (Vec::new(), Vec::new());
        let (mut allotments, mut simulated) = (HashMap::new(), HashMap::new());
        for (name, entry) in &file.carrier {
            let route = Arc::new(route(name, entry, &file.price_usd)?);
            if let Some(share) = entry.simulator.not_a_share() {
                return Err(CarrierTableError::Share(name.clone(), share));
            }
            let allotment = Allotment::Served(Arc::clone(&route));
            rows.extend(entry.prefixes.iter().map(|prefix| (prefix.clone(), allotment.clone())));
            allotments.insert(name.as_str(), allotment);
            simulated.insert(route.carrier.clone(), entry.simulator);
            routes.push(route);
        }
        for (name, known) in &file.not_served {
            if file.carrier.contains_key(name) {
                return Err(CarrierTableError::Both(name.clone()));
            }
            let carrier = Carrier::new(name).ok_or_else(|| CarrierTableError::Name(name.clone()))?;
            let allotment = Allotment::NotServed(carrier);
            rows.extend(known.prefixes.iter().map(|prefix| (prefix.clone(), allotment.clone())));
            allotments.insert(name.as_str(), allotment);
        }
        let ported = ported(&file.ported, &allotments)?;
        Ok(Self { routes, plan: NumberingPlan::new(&rows)?.with_ported(ported), simulated })
    }

    /// What the simulated link to `carrier` does: `settings`, but for what the table says of this carrier.
    #[must_use]
    pub fn simulator(&self, carrier: &Carrier, settings: &SimulatorConfig) -> SimulatorConfig {
        self.simulated.get(carrier).copied().unwrap_or_default().over(settings)
    }
}

fn ported(
    phones: &BTreeMap<String, String>,
    allotments: &HashMap<&str, Allotment>,
) -> Result<HashMap<Phone, Allotment>, CarrierTableError> {
    let ported = phones.iter().map(|(text, name)| {
        let phone = Phone::parse(text).map_err(|_| CarrierTableError::PortedPhone(text.clone()))?;
        let allotment = allotments.get(name.as_str()).ok_or_else(|| CarrierTableError::PortedTo(name.clone()))?;
        Ok((phone, allotment.clone()))
    });
    ported.collect()
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
mod tests;
