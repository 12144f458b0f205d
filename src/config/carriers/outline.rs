//! What a carrier table names, read by somebody who may know no secret and in an hour in which half of it may be edited.
//!
//! Nothing of it is checked: what leads a daemon is [`CarrierTable`](super::CarrierTable) alone.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::{BUILT_IN, CarrierTable, CarrierTableError};
use crate::domain::carrier::{Carrier, Channel};
use crate::domain::reference::UpstreamId;

/// The links that a table would make, by name; those of unused upstreams too.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outline(pub BTreeMap<UpstreamId, Outlined>);

/// One of them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outlined {
    /// As it is written.
    pub kind: String,
    /// `CARRIER/CHANNEL:WEIGHT`, by carrier.
    pub carries: Vec<String>,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    carrier: BTreeMap<String, Entry>,
    #[serde(default)]
    upstream: BTreeMap<String, Upstream>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    channels: Vec<String>,
    #[serde(default)]
    voice: Vec<Link>,
    #[serde(default)]
    sms: Vec<Link>,
}

#[derive(Deserialize)]
struct Link {
    upstream: String,
    weight: Option<u32>,
}

#[derive(Deserialize)]
struct Upstream {
    #[serde(default)]
    kind: String,
}

impl Outline {
    /// The outline of the table in `file`, or of the one that is compiled in if the path is empty.
    ///
    /// # Errors
    /// [`CarrierTableError`]: it cannot be read, or is no TOML.
    pub fn load(file: &Path) -> Result<Self, CarrierTableError> {
        if file.as_os_str().is_empty() {
            return Self::parse(BUILT_IN);
        }
        let unreadable = |source| CarrierTableError::Unreadable { path: file.display().to_string(), source };
        Self::parse(&std::fs::read_to_string(file).map_err(unreadable)?)
    }

    /// The outline of the table that is written in `text`.
    ///
    /// # Errors
    /// [`CarrierTableError::Syntax`]; it repeats nothing but names.
    pub fn parse(text: &str) -> Result<Self, CarrierTableError> {
        let file: File = toml::from_str(text)?;
        let mut outline = Self::default();
        for (name, upstream) in &file.upstream {
            if let Some(id) = UpstreamId::new(name) {
                outline.0.entry(id).or_default().kind.clone_from(&upstream.kind);
            }
        }
        for (name, entry) in &file.carrier {
            let Some(carrier) = Carrier::new(name) else { continue };
            for (channel, links) in [(Channel::Voice, &entry.voice), (Channel::Sms, &entry.sms)] {
                if entry.channels.iter().any(|written| written == channel.as_str()) {
                    outline.carry(&carrier, channel, links, entry.voice.is_empty() && entry.sms.is_empty());
                }
            }
        }
        Ok(outline)
    }

    fn carry(&mut self, carrier: &Carrier, channel: Channel, links: &[Link], simulated: bool) {
        let carries = |weight: u32| format!("{}/{}:{weight}", carrier.as_str(), channel.as_str());
        for link in links {
            let known = UpstreamId::new(&link.upstream).and_then(|id| self.0.get_mut(&id));
            if let Some(known) = known {
                known.carries.push(carries(link.weight.unwrap_or(1)));
            }
        }
        if simulated {
            let link = self.0.entry(CarrierTable::simulated_name(carrier)).or_default();
            "simulator".clone_into(&mut link.kind);
            link.carries.push(carries(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outlined(text: &str) -> Vec<(String, String, String)> {
        let outline = Outline::parse(text).expect("names");
        let line = |(id, link): (UpstreamId, Outlined)| (id.as_str().to_owned(), link.kind, link.carries.join(" "));
        outline.0.into_iter().map(line).collect()
    }

    #[test]
    fn names_need_no_secret_and_no_table_that_holds() {
        let text = "[carrier.viettel]\nchannels = [\"voice\", \"sms\"]\nvoice = [{ upstream = \"tkc\" }]\n\
                    sms = [{ upstream = \"vt\", weight = 0 }, { upstream = \"nobody\" }]\n\
                    [carrier.mobifone]\nchannels = [\"sms\", \"fax\"]\nunheard = \"of\"\n\
                    [upstream.vt]\nkind = \"smpp\"\npassword = { env = \"NEXO_NOT_THERE\" }\n\
                    [upstream.tkc]\nkind = \"http\"\nauth = { bearer = { file = \"/nowhere\" } }\n[upstream.new]\n";
        assert!(CarrierTable::parse(text).is_err());
        let expected = [
            ("new", "", ""),
            ("sim_mobifone", "simulator", "mobifone/sms:1"),
            ("tkc", "http", "viettel/voice:1"),
            ("vt", "smpp", "viettel/sms:0"),
        ];
        let expected = expected.map(|(id, kind, carries)| (id.to_owned(), kind.to_owned(), carries.to_owned()));
        assert_eq!(outlined(text), expected);
        assert!(Outline::parse("[carrier.viettel\n").is_err());
        assert!(Outline::load(Path::new("/nowhere/carriers.toml")).is_err());
        assert!(Outline::load(Path::new("")).is_ok_and(|built_in| !built_in.0.is_empty()));
    }
}
