//! What a session does because time has passed, and how it comes to its end.

use std::time::Duration;

use rusmpp::Pdu;
use tokio::time::Instant;

use super::{Leaving, Over, Session};
use crate::config::millis;

/// How long the SMSC has to answer our own unbind.
const UNBIND_MAX: Duration = Duration::from_secs(2);

impl Session {
    pub(super) fn next_timer(&mut self) -> Instant {
        let config = &self.shared.config;
        let enquire_timeout = millis(config.enquire_timeout_ms);
        let alive = match self.enquired {
            Some(at) => at + enquire_timeout,
            None => self.last_read + millis(config.enquire_idle_ms),
        };
        let leaving = match self.leaving {
            Some(Leaving::Unbound { until } | Leaving::Unbinding { until }) => Some(until),
            Some(Leaving::Stopping) | None => None,
        };
        let stalled = self.outbox.stalled_since().map(|since| since + enquire_timeout);
        let others = [self.due, leaving, stalled, self.window.next_timeout(), self.outbox.next_late()];
        others.into_iter().flatten().fold(alive, Instant::min)
    }

    pub(super) fn tick(&mut self, now: Instant) -> Option<Over> {
        for job in self.window.time_out(now) {
            self.shared.meter.ambiguous("timeout");
            job.ambiguous("no answer");
        }
        for sequence in self.outbox.drop_late(now) {
            if let Some(job) = self.window.withdraw(sequence) {
                job.not_sent("too late");
            }
        }
        let config = &self.shared.config;
        let enquire_timeout = millis(config.enquire_timeout_ms);
        if self.outbox.stalled_since().is_some_and(|since| now >= since + enquire_timeout) {
            return Some(Over::Cut("stalled"));
        }
        match self.enquired {
            Some(at) if now >= at + enquire_timeout => return Some(Over::Cut("dead")),
            None if now >= self.last_read + millis(config.enquire_idle_ms) => {
                self.enquired = Some(now);
                self.request(Pdu::EnquireLink);
            }
            _ => {}
        }
        match self.leaving {
            Some(Leaving::Unbound { until }) if now >= until => Some(Over::Unbound),
            Some(Leaving::Unbinding { until }) if now >= until => Some(Over::Stopped),
            _ => None,
        }
    }

    /// What is left to do of an end that has begun.
    pub(super) fn leave(&mut self) -> Option<Over> {
        let is_idle = self.window.is_empty() && self.puts.is_empty() && !self.outbox.has_work();
        match self.leaving {
            Some(Leaving::Unbound { .. }) if is_idle => Some(Over::Unbound),
            Some(Leaving::Stopping) if is_idle => {
                self.request(Pdu::Unbind);
                self.leaving = Some(Leaving::Unbinding { until: Instant::now() + UNBIND_MAX });
                None
            }
            _ => None,
        }
    }
}
