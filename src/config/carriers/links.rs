//! Which upstreams carry a carrier's codes, and what must hold between the two.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use toml::Table;

use super::{CarrierTableError, Entry};
use crate::config::upstreams::UpstreamConfig;
use crate::domain::carrier::{Carrier, Channel, Route};
use crate::domain::reference::UpstreamId;

/// No link is preferred more than this many times over another.
const WEIGHT_MAX: u32 = 1_000;

/// An upstream as one queue uses it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkConfig {
    pub upstream: UpstreamId,
    /// Its share of the channel's codes, in relation to the others'.
    pub weight: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Link {
    upstream: String,
    #[serde(default = "one")]
    weight: u32,
}

const fn one() -> u32 {
    1
}

/// Every upstream by its name.
pub(super) type Upstreams = BTreeMap<UpstreamId, UpstreamConfig>;
/// The links of every carrier that has any.
pub(super) type Links = HashMap<(Carrier, Channel), Vec<LinkConfig>>;

pub(super) fn upstreams(entries: BTreeMap<String, Table>) -> Result<Upstreams, CarrierTableError> {
    let read = |(name, entry): (String, Table)| {
        let Some(id) = UpstreamId::new(&name) else {
            return Err(CarrierTableError::UpstreamName(name));
        };
        let upstream = UpstreamConfig::read(entry).map_err(|why| CarrierTableError::Upstream(name, why))?;
        Ok((id, upstream))
    };
    entries.into_iter().map(read).collect()
}

/// Adds the links of one carrier: of every one of its channels, or of none.
pub(super) fn of_carrier(
    route: &Route,
    entry: &Entry,
    upstreams: &Upstreams,
    links: &mut Links,
) -> Result<(), CarrierTableError> {
    let written = [(Channel::Voice, &entry.voice), (Channel::Sms, &entry.sms)];
    let refused = |why: String| CarrierTableError::Links(route.carrier.as_str().to_owned(), why);
    if written.iter().all(|(_, links)| links.is_empty()) {
        return Ok(());
    }
    for (channel, written) in written {
        let has = route.channels.contains(channel);
        let channel_name = channel.as_str();
        if has && written.is_empty() {
            return Err(refused(format!("{channel_name} has no link, but another channel has: give both, or neither")));
        }
        if !has && !written.is_empty() {
            return Err(refused(format!("{channel_name} has links and is not one of its channels")));
        }
        let mut read: Vec<LinkConfig> = Vec::with_capacity(written.len());
        for link in written {
            let link = of_link(link, channel, upstreams).map_err(|why| refused(format!("{channel_name}: {why}")))?;
            if read.iter().any(|known| known.upstream == link.upstream) {
                return Err(refused(format!("{channel_name}: upstream {} is given twice", link.upstream.as_str())));
            }
            read.push(link);
        }
        if has {
            links.insert((route.carrier.clone(), channel), read);
        }
    }
    Ok(())
}

fn of_link(link: &Link, channel: Channel, upstreams: &Upstreams) -> Result<LinkConfig, String> {
    let known = UpstreamId::new(&link.upstream).and_then(|id| upstreams.get_key_value(&id));
    let Some((id, upstream)) = known else {
        return Err(format!("there is no upstream {:?}", link.upstream));
    };
    if !upstream.carries(channel) {
        return Err(format!("upstream {} is {} and carries no {}", id.as_str(), upstream.kind(), channel.as_str()));
    }
    if !(1..=WEIGHT_MAX).contains(&link.weight) {
        return Err(format!("upstream {}: weight must be from 1 to {WEIGHT_MAX}, not {}", id.as_str(), link.weight));
    }
    Ok(LinkConfig { upstream: id.clone(), weight: link.weight })
}
