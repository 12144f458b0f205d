//! `[lookup]`: a provider that tells the network of a number now, whatever its prefix says.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::config::{SecretText, trimmed};
use crate::domain::carrier::Carrier;
use crate::domain::numbering::NumberingPlan;

/// The words for a number in the address that is asked.
pub const PHONE_WORDS: [&str; 3] = ["{phone}", "{phone_digits}", "{phone_national}"];

/// An order waits for no look-up longer.
const TIMEOUT_MS_MAX: u64 = 2_000;
const IN_FLIGHT_MAX: usize = 4_096;

/// Who is asked, how, and what the answer means.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookUpConfig {
    /// Asked with GET; one of [`PHONE_WORDS`] stands where the number belongs.
    #[serde(deserialize_with = "trimmed::text")]
    pub url: String,
    /// JSON pointer (RFC 6901) to the network in the answer: MCC-MNC, a carrier of the table, or one of `names`.
    pub pointer: String,
    /// The provider's words for networks → carriers of the table.
    #[serde(default)]
    pub names: BTreeMap<String, String>,
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
    /// Look-ups under way at once; an order that finds no place goes by its prefix.
    #[serde(default = "in_flight_max")]
    pub in_flight_max: usize,
    /// The value of `Authorization: Bearer`.
    pub bearer: Option<SecretText>,
    /// A header of the provider's own that holds the secret.
    pub header: Option<SecretHeader>,
}

/// A header whose value is a secret.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretHeader {
    pub name: String,
    pub value: SecretText,
}

const fn timeout_ms() -> u64 {
    800
}

const fn in_flight_max() -> usize {
    64
}

impl LookUpConfig {
    /// What is wrong with it, beside the address itself.
    pub(super) fn check(&self, plan: &NumberingPlan) -> Result<(), String> {
        let words = PHONE_WORDS.iter().filter(|word| self.url.contains(**word)).count();
        if words != 1 {
            return Err(format!("url must hold one of {}", PHONE_WORDS.join(", ")));
        }
        if !self.pointer.starts_with('/') {
            return Err("pointer must be a JSON pointer, like /network".to_owned());
        }
        if !(1..=TIMEOUT_MS_MAX).contains(&self.timeout_ms) {
            return Err(format!("timeout_ms must be from 1 to {TIMEOUT_MS_MAX}, not {}", self.timeout_ms));
        }
        if !(1..=IN_FLIGHT_MAX).contains(&self.in_flight_max) {
            return Err(format!("in_flight_max must be from 1 to {IN_FLIGHT_MAX}, not {}", self.in_flight_max));
        }
        let unknown = |name: &&String| Carrier::new(name).is_none_or(|carrier| plan.named(&carrier).is_none());
        match self.names.values().find(unknown) {
            Some(name) => Err(format!("names: {name:?} is neither under carrier nor under not_served")),
            None => Ok(()),
        }
    }
}
