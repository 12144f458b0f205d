//! What operators see of one queue and of one link. The handles are looked up once: a look-up costs more than an attempt.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use tokio::time::Instant;

use crate::carrier::upstream::{Health, Outcome};
use crate::domain::carrier::{Carrier, Channel};
use crate::domain::reference::UpstreamId;
use crate::telemetry::names;

const OUTCOMES: [&str; 5] = ["accepted", "not_sent", "refused", "per_phone", "ambiguous"];

pub(super) struct Meters {
    outcomes: [Counter; 5],
    seconds: Histogram,
    ack_seconds: Histogram,
    pub(super) fallbacks: Counter,
    /// Attempts that went on to another link of the same channel.
    pub(super) tried_again: Counter,
    pub(super) expired: Counter,
    pub(super) breaker_opened: Counter,
    open: Gauge,
    depth: Gauge,
    slots: Gauge,
    oldest_seconds: Gauge,
}

impl Meters {
    pub(super) fn new(carrier: &Carrier, channel: Channel) -> Self {
        let (name, channel) = (|| carrier.as_str().to_owned(), channel.as_str());
        Self {
            outcomes: OUTCOMES.map(
                |outcome| counter!(names::ATTEMPTS, "carrier" => name(), "channel" => channel, "outcome" => outcome),
            ),
            seconds: histogram!(names::ATTEMPT_SECONDS, "carrier" => name(), "channel" => channel),
            ack_seconds: histogram!(names::ACK_SECONDS, "carrier" => name()),
            fallbacks: counter!(names::FALLBACKS, "carrier" => name()),
            tried_again: counter!(names::TRIED_AGAIN, "carrier" => name(), "channel" => channel),
            expired: counter!(names::DISPATCH_EXPIRED, "carrier" => name(), "channel" => channel),
            breaker_opened: counter!(names::BREAKER_OPENED, "carrier" => name(), "channel" => channel),
            open: gauge!(names::QUEUE_OPEN, "carrier" => name(), "channel" => channel),
            depth: gauge!(names::QUEUE_DEPTH, "carrier" => name(), "channel" => channel),
            slots: gauge!(names::QUEUE_SLOTS, "carrier" => name(), "channel" => channel),
            oldest_seconds: gauge!(names::QUEUE_OLDEST_SECONDS, "carrier" => name(), "channel" => channel),
        }
    }

    /// An attempt has its outcome.
    pub(super) fn attempted(&self, outcome: &Outcome, took: Duration) {
        self.outcomes[number(outcome)].increment(1);
        self.seconds.record(took.as_secs_f64());
    }

    /// A delivery is out, `accepted_at` its charge's commit.
    pub(super) fn acknowledged(&self, accepted_at: Instant, now: Instant) {
        self.ack_seconds.record(now.saturating_duration_since(accepted_at).as_secs_f64());
    }

    pub(super) fn queue(&self, depth: usize, slots: u32) {
        self.depth.set(exact(depth));
        self.slots.set(f64::from(slots));
    }

    pub(super) fn oldest(&self, age: Duration) {
        self.oldest_seconds.set(age.as_secs_f64());
    }

    pub(super) fn open(&self, open: bool) {
        self.open.set(f64::from(u8::from(open)));
    }
}

/// What operators see of one link, whoever uses it.
pub(super) struct LinkMeters {
    outcomes: [Counter; 5],
    up: Gauge,
    misconfigured: Gauge,
    paused: Gauge,
    running: Gauge,
}

impl LinkMeters {
    pub(super) fn new(id: &UpstreamId, window: usize) -> Self {
        let name = || id.as_str().to_owned();
        gauge!(names::LINK_WINDOW, "link" => name()).set(exact(window));
        Self {
            outcomes: OUTCOMES.map(|outcome| counter!(names::LINK_ATTEMPTS, "link" => name(), "outcome" => outcome)),
            up: gauge!(names::LINK_UP, "link" => name()),
            misconfigured: gauge!(names::LINK_MISCONFIGURED, "link" => name()),
            paused: gauge!(names::LINK_PAUSED, "link" => name()),
            running: gauge!(names::LINK_RUNNING, "link" => name()),
        }
    }

    pub(super) fn attempted(&self, outcome: &Outcome) {
        self.outcomes[number(outcome)].increment(1);
    }

    pub(super) fn show(&self, health: Health, paused: bool) {
        let told = |gauge: &Gauge, is: bool| gauge.set(f64::from(u8::from(is)));
        told(&self.up, health == Health::Up);
        told(&self.misconfigured, health == Health::Misconfigured);
        told(&self.paused, paused);
    }

    pub(super) fn running(&self, running: usize) {
        self.running.set(exact(running));
    }
}

fn exact(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

/// The outcome's place in [`OUTCOMES`].
const fn number(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Accepted => 0,
        Outcome::NotSent { .. } => 1,
        Outcome::Refused { .. } => 2,
        Outcome::PerPhone { .. } => 3,
        Outcome::Ambiguous { .. } => 4,
    }
}
