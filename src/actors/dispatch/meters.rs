//! What operators see of one carrier's queue. The handles are looked up once: a look-up costs more than an attempt.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use tokio::time::Instant;

use crate::carrier::upstream::Outcome;
use crate::domain::carrier::{Carrier, Channel};
use crate::domain::reference::UpstreamId;
use crate::telemetry::names;

const OUTCOMES: [&str; 5] = ["accepted", "not_sent", "refused", "per_phone", "ambiguous"];

struct ByChannel {
    outcomes: [Counter; 5],
    seconds: Histogram,
}

pub(super) struct Meters {
    voice: ByChannel,
    sms: ByChannel,
    ack_seconds: Histogram,
    pub(super) fallbacks: Counter,
    pub(super) expired: Counter,
    pub(super) breaker_opened: Counter,
    pub(super) links_up: Vec<Gauge>,
    depth: Gauge,
    slots: Gauge,
    oldest_seconds: Gauge,
}

impl Meters {
    pub(super) fn new<'a>(carrier: &Carrier, links: impl Iterator<Item = &'a UpstreamId>) -> Self {
        let name = || carrier.as_str().to_owned();
        Self {
            voice: by_channel(carrier, Channel::Voice),
            sms: by_channel(carrier, Channel::Sms),
            ack_seconds: histogram!(names::ACK_SECONDS, "carrier" => name()),
            fallbacks: counter!(names::FALLBACKS, "carrier" => name()),
            expired: counter!(names::DISPATCH_EXPIRED, "carrier" => name()),
            breaker_opened: counter!(names::BREAKER_OPENED, "carrier" => name()),
            links_up: links.map(|id| gauge!(names::LINK_UP, "link" => id.0.to_string())).collect(),
            depth: gauge!(names::QUEUE_DEPTH, "carrier" => name()),
            slots: gauge!(names::QUEUE_SLOTS, "carrier" => name()),
            oldest_seconds: gauge!(names::QUEUE_OLDEST_SECONDS, "carrier" => name()),
        }
    }

    /// An attempt has its outcome.
    pub(super) fn attempted(&self, channel: Channel, outcome: &Outcome, took: Duration) {
        let by_channel = match channel {
            Channel::Voice => &self.voice,
            Channel::Sms => &self.sms,
        };
        by_channel.outcomes[number(outcome)].increment(1);
        by_channel.seconds.record(took.as_secs_f64());
    }

    /// A delivery is out, `accepted_at` its charge's commit.
    pub(super) fn acknowledged(&self, accepted_at: Instant, now: Instant) {
        self.ack_seconds.record(now.saturating_duration_since(accepted_at).as_secs_f64());
    }

    pub(super) fn queue(&self, depth: usize, slots: u32) {
        self.depth.set(f64::from(u32::try_from(depth).unwrap_or(u32::MAX)));
        self.slots.set(f64::from(slots));
    }

    pub(super) fn oldest(&self, age: Duration) {
        self.oldest_seconds.set(age.as_secs_f64());
    }
}

fn by_channel(carrier: &Carrier, channel: Channel) -> ByChannel {
    let (carrier, channel) = (carrier.as_str().to_owned(), channel.as_str());
    let outcomes = OUTCOMES.map(
        |outcome| counter!(names::ATTEMPTS, "carrier" => carrier.clone(), "channel" => channel, "outcome" => outcome),
    );
    ByChannel { outcomes, seconds: histogram!(names::ATTEMPT_SECONDS, "carrier" => carrier, "channel" => channel) }
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
