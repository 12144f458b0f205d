//! What the use case counts. Handles are made once: a look-up by label for every OTP would cost as much as its parsing.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};

use super::answer::Answer;
use crate::domain::carrier::{Carrier, Route};
use crate::telemetry::names;

pub(super) struct Meter {
    by_carrier: HashMap<Carrier, (Counter, Histogram)>,
    replayed: Counter,
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Meter({} carriers)", self.by_carrier.len())
    }
}

impl Meter {
    pub(super) fn new(routes: &[Arc<Route>]) -> Self {
        let of = |route: &Arc<Route>| {
            let carrier = route.carrier.as_str().to_owned();
            let accepted = counter!(names::ORDERS_ACCEPTED, "carrier" => carrier.clone());
            (route.carrier.clone(), (accepted, histogram!(names::ORDER_ANSWER_SECONDS, "carrier" => carrier)))
        };
        Self { by_carrier: routes.iter().map(of).collect(), replayed: counter!(names::ORDERS_REPLAYED) }
    }

    /// Counts one answer: a replay as such, else a 202 by carrier or a refusal by reason.
    pub(super) fn count(&self, carrier: &Carrier, answer: &Answer, took: Duration) {
        match &answer.result {
            _ if answer.replayed => self.replayed.increment(1),
            Ok(_) => {
                if let Some((accepted, seconds)) = self.by_carrier.get(carrier) {
                    accepted.increment(1);
                    seconds.record(took);
                }
            }
            Err(error) => counter!(names::ORDERS_REFUSED, "reason" => error.as_str()).increment(1),
        }
    }
}
