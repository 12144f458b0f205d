//! What one listener counts: answers by route and status, their time, its connections.
//!
//! Every handle is registered once and found by index afterwards: the hot path hashes no label. Labels are routes and
//! statuses of our own tables, so they are bounded.

use std::sync::OnceLock;
use std::time::Duration;

use hyper::StatusCode;
use metrics::{Counter, Gauge, Histogram};

use crate::telemetry::names;

/// Every status that we answer, and the place of its counter.
const STATUSES: [u16; 18] = [200, 202, 204, 400, 401, 402, 403, 404, 405, 409, 413, 415, 422, 429, 431, 500, 502, 503];

/// Why a connection was refused or cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cut {
    /// The cap over all connections.
    Full,
    /// The cap of one address.
    FullForAddress,
    /// Nobody who may ask anything here.
    Forbidden,
    /// A time-out of the edge.
    TimedOut,
    /// The head could not be parsed.
    Malformed,
    /// No descriptor is left but those that are kept back.
    NoFile,
}

impl Cut {
    const NAMES: [&'static str; 6] = ["full", "full_for_address", "forbidden", "timed_out", "malformed", "no_file"];
}

/// The metrics of one listener.
#[derive(Debug)]
pub(crate) struct Meter {
    routes: Vec<OfRoute>,
    connections: Gauge,
    cuts: [Counter; Cut::NAMES.len()],
    internal: Counter,
}

#[derive(Debug)]
struct OfRoute {
    name: &'static str,
    /// Registered when the status is first answered, so that `/metrics` lists what happened.
    answers: [OnceLock<Counter>; STATUSES.len()],
    seconds: Histogram,
}

impl Meter {
    pub(crate) fn new(listener: &'static str, routes: &'static [&'static str]) -> Self {
        let of_route = |name: &&'static str| OfRoute {
            name,
            answers: std::array::from_fn(|_| OnceLock::new()),
            seconds: metrics::histogram!(names::HTTP_REQUEST_SECONDS, "route" => *name),
        };
        Self {
            routes: routes.iter().map(of_route).collect(),
            connections: metrics::gauge!(names::HTTP_CONNECTIONS, "listener" => listener),
            cuts: Cut::NAMES.map(
                |reason| metrics::counter!(names::HTTP_CONNECTIONS_CUT, "listener" => listener, "reason" => reason),
            ),
            internal: metrics::counter!(names::INTERNAL_ERRORS),
        }
    }

    pub(crate) fn answered(&self, route: usize, status: StatusCode, took: Duration) {
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            self.internal.increment(1);
        }
        let Some(route) = self.routes.get(route) else { return };
        route.seconds.record(took.as_secs_f64());
        if let Some(index) = STATUSES.iter().position(|known| *known == status.as_u16()) {
            let register = || {
                let status = STATUSES[index].to_string();
                metrics::counter!(names::HTTP_REQUESTS, "route" => route.name, "status" => status)
            };
            route.answers[index].get_or_init(register).increment(1);
        }
    }

    /// Counts an open connection until the guard is dropped.
    pub(crate) fn open(&self) -> OpenConnection<'_> {
        self.connections.increment(1.0);
        OpenConnection(&self.connections)
    }

    pub(crate) fn cut(&self, why: Cut) {
        self.cuts[why as usize].increment(1);
    }
}

/// One open connection in the gauge.
#[derive(Debug)]
pub(crate) struct OpenConnection<'a>(&'a Gauge);

impl Drop for OpenConnection<'_> {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
