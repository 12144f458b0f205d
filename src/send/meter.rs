//! What the use case counts. Handles are made once: a look-up by label for every OTP would cost as much as its parsing.

use std::fmt;
use std::time::Duration;

use dashmap::DashMap;
use metrics::{Counter, Histogram, counter, histogram};

use super::answer::Answer;
use crate::domain::carrier::{Carrier, CarrierSource};
use crate::telemetry::names;

pub(super) struct Meter {
    /// A reload may bring carriers: each is added at its first order.
    by_carrier: DashMap<Carrier, (Counter, Histogram)>,
    by_source: [Counter; 4],
    replayed: Counter,
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Meter({} carriers)", self.by_carrier.len())
    }
}

impl Meter {
    pub(super) fn new() -> Self {
        use CarrierSource::{Learned, LookUp, Override, Prefix};
        let routed = |source: CarrierSource| counter!(names::ORDERS_ROUTED, "source" => source.as_str());
        Self {
            by_carrier: DashMap::new(),
            by_source: [Prefix, Override, Learned, LookUp].map(routed),
            replayed: counter!(names::ORDERS_REPLAYED),
        }
    }

    /// Counts how the carrier of a new order was found.
    pub(super) fn routed(&self, source: CarrierSource) {
        let at = match source {
            CarrierSource::Prefix => 0,
            CarrierSource::Override => 1,
            CarrierSource::Learned => 2,
            CarrierSource::LookUp => 3,
        };
        self.by_source[at].increment(1);
    }

    /// Counts one answer: a replay as such, else a 202 by carrier or a refusal by reason.
    pub(super) fn count(&self, answer: &Answer, took: Duration) {
        match &answer.result {
            _ if answer.replayed => self.replayed.increment(1),
            Ok(sent) => {
                if let Some(known) = self.by_carrier.get(&sent.carrier) {
                    accepted(&known, took);
                } else {
                    accepted(&self.by_carrier.entry(sent.carrier.clone()).or_insert_with(|| of(&sent.carrier)), took);
                }
            }
            Err(error) => counter!(names::ORDERS_REFUSED, "reason" => error.as_str()).increment(1),
        }
    }
}

fn of(carrier: &Carrier) -> (Counter, Histogram) {
    let carrier = carrier.as_str().to_owned();
    let accepted = counter!(names::ORDERS_ACCEPTED, "carrier" => carrier.clone());
    (accepted, histogram!(names::ORDER_ANSWER_SECONDS, "carrier" => carrier))
}

fn accepted((accepted, seconds): &(Counter, Histogram), took: Duration) {
    accepted.increment(1);
    seconds.record(took);
}
