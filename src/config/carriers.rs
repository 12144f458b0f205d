//! The carrier table: prefixes, channels, prices, upstreams and the links to them as data.
//!
//! `config/carriers.toml` is the manual and the table that is compiled in; an operator's file replaces it whole. A table
//! that does not hold together is refused with the entry that is wrong.

mod links;
mod look_up;
mod outline;
pub mod ported;
mod simulated;
mod times;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

pub use self::links::LinkConfig;
use self::links::{Link, Links};
pub use self::look_up::{LookUpConfig, PHONE_WORDS, SecretHeader};
pub use self::outline::{Outline, Outlined};
use self::ported::PortedError;
pub use self::simulated::Simulated;
use crate::config::upstreams::UpstreamConfig;
use crate::config::{CarriersConfig, SimulatorConfig};
use crate::domain::carrier::{Carrier, Channel, Channels, NetworkCode, Route};
use crate::domain::money::{MicroUsd, ParseAmountError};
use crate::domain::numbering::{Allotment, InvalidPlan, NumberingPlan};
use crate::domain::phone::Phone;
use crate::domain::reference::UpstreamId;

const BUILT_IN: &str = include_str!("../../config/carriers.toml");

/// The routes of every carrier that is served, the plan that leads to them, and the upstreams that carry them.
#[derive(Clone, Debug)]
pub struct CarrierTable {
    pub routes: Vec<Arc<Route>>,
    pub plan: NumberingPlan,
    /// Every upstream that is written down, used or not.
    pub upstreams: BTreeMap<UpstreamId, UpstreamConfig>,
    /// Who is asked for the network of a number, if anybody is.
    pub look_up: Option<LookUpConfig>,
    links: Links,
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
    #[error("carrier.{0}: {1}")]
    Links(String, String),
    #[error("upstream.{0}: a name has 1–32 lowercase letters, digits and _")]
    UpstreamName(String),
    #[error("upstream.{0}: {1}")]
    Upstream(String, String),
    #[error(
        "{0}: networks: {1:?} is not a country code of three digits and a network code of two or three, like 452-04"
    )]
    Network(String, String),
    #[error("{0}: networks: {1:?} is another carrier's already")]
    NetworkTwice(String, String),
    #[error("lookup: {0}")]
    LookUp(String),
    #[error("ported: {0:?} is not +84 and the nine digits of a mobile")]
    PortedPhone(String),
    #[error("ported: {0:?} is neither under carrier nor under not_served")]
    PortedTo(String),
    #[error("no carrier is served")]
    NoCarrier,
    #[error(transparent)]
    Plan(#[from] InvalidPlan),
    #[error("carriers.ported_file: {0}")]
    Ported(#[from] PortedError),
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
    /// Read by kind.
    #[serde(default)]
    upstream: BTreeMap<String, toml::Table>,
    lookup: Option<LookUpConfig>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    channels: Vec<String>,
    prefixes: Vec<String>,
    price_usd: Option<String>,
    #[serde(default)]
    voice: Vec<Link>,
    #[serde(default)]
    sms: Vec<Link>,
    #[serde(default)]
    networks: Vec<String>,
    #[serde(default)]
    simulator: Simulated,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    prefixes: Vec<String>,
    #[serde(default)]
    networks: Vec<String>,
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

    /// The table of `config` with its file of ported numbers. It blocks while it reads: millions of rows take a second.
    ///
    /// # Errors
    /// [`CarrierTableError`] naming the entry, or the line, that is wrong.
    pub fn load_whole(config: &CarriersConfig) -> Result<Self, CarrierTableError> {
        let mut table = config.secret_files.over(|| Self::load(&config.file))?;
        if let Some(times) = config.attempt {
            times::check(&table.upstreams, times)?;
        }
        let ported = ported::load(&config.ported_file, &table.plan)?;
        table.plan = table.plan.with_ported(Arc::new(ported));
        Ok(table)
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
        let upstreams = links::upstreams(file.upstream)?;
        let (mut rows, mut routes, mut links) = (Vec::new(), Vec::new(), HashMap::new());
        let (mut allotments, mut networks, mut simulated) = (HashMap::new(), HashMap::new(), HashMap::new());
        for (name, entry) in &file.carrier {
            let route = Arc::new(route(name, entry, &file.price_usd)?);
            if let Some(share) = entry.simulator.not_a_share() {
                return Err(CarrierTableError::Share(name.clone(), share));
            }
            links::of_carrier(&route, entry, &upstreams, &mut links)?;
            let allotment = Allotment::Served(Arc::clone(&route));
            add_networks(name, &entry.networks, &allotment, &mut networks)?;
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
            add_networks(name, &known.networks, &allotment, &mut networks)?;
            rows.extend(known.prefixes.iter().map(|prefix| (prefix.clone(), allotment.clone())));
            allotments.insert(name.as_str(), allotment);
        }
        let listed = listed(&file.ported, &allotments)?;
        let plan = NumberingPlan::new(&rows)?.with_listed(listed).with_networks(networks);
        if let Some(look_up) = &file.lookup {
            look_up.check(&plan).map_err(CarrierTableError::LookUp)?;
        }
        Ok(Self { routes, plan, upstreams, look_up: file.lookup, links, simulated })
    }

    /// The name of the link that a carrier without any has: simulated.
    #[must_use]
    pub fn simulated_name(carrier: &Carrier) -> UpstreamId {
        // A carrier's name is as sane as an upstream's, if not as short.
        UpstreamId(format!("sim_{}", carrier.as_str()).into())
    }

    /// The links of a carrier's channel; none: it has its simulated one.
    #[must_use]
    pub fn links(&self, carrier: &Carrier, channel: Channel) -> &[LinkConfig] {
        self.links.get(&(carrier.clone(), channel)).map_or(&[], Vec::as_slice)
    }

    /// The upstreams that no carrier uses: written down in vain, or for later.
    pub fn unused(&self) -> impl Iterator<Item = &UpstreamId> {
        self.upstreams.keys().filter(|id| !self.links.values().flatten().any(|link| link.upstream == **id))
    }

    /// What an operator should know of upstreams although it can be meant, each with the upstream.
    pub fn warnings(&self) -> impl Iterator<Item = (&UpstreamId, String)> {
        self.upstreams.iter().flat_map(|(id, upstream)| upstream.warnings().into_iter().map(move |why| (id, why)))
    }

    /// What the simulated link to `carrier` does: `settings`, but for what the table says of this carrier.
    #[must_use]
    pub fn simulator(&self, carrier: &Carrier, settings: &SimulatorConfig) -> SimulatorConfig {
        self.simulated.get(carrier).copied().unwrap_or_default().over(settings)
    }
}

fn add_networks(
    name: &str,
    codes: &[String],
    allotment: &Allotment,
    networks: &mut HashMap<NetworkCode, Allotment>,
) -> Result<(), CarrierTableError> {
    for text in codes {
        let code = NetworkCode::parse(text);
        let code = code.ok_or_else(|| CarrierTableError::Network(name.to_owned(), text.clone()))?;
        if networks.insert(code, allotment.clone()).is_some_and(|before| before != *allotment) {
            return Err(CarrierTableError::NetworkTwice(name.to_owned(), text.clone()));
        }
    }
    Ok(())
}

fn listed(
    phones: &BTreeMap<String, String>,
    allotments: &HashMap<&str, Allotment>,
) -> Result<HashMap<Phone, Allotment>, CarrierTableError> {
    let listed = phones.iter().map(|(text, name)| {
        let phone = Phone::parse(text).map_err(|_| CarrierTableError::PortedPhone(text.clone()))?;
        let allotment = allotments.get(name.as_str()).ok_or_else(|| CarrierTableError::PortedTo(name.clone()))?;
        Ok((phone, allotment.clone()))
    });
    listed.collect()
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
