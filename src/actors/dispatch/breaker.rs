//! The breaker of one link: after failures in a row it rests, then one attempt probes it.

use std::time::Duration;

use tokio::time::Instant;

/// Whether a link may be given an attempt, as its own attempts tell.
#[derive(Debug)]
pub(super) struct Breaker {
    failures_max: u32,
    rest: Duration,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    Probing,
}

/// What the breaker says of the next attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Permit {
    Go,
    /// The link rests.
    At(Instant),
    /// A probe is on its way.
    Wait,
}

impl Breaker {
    pub(super) fn new(failures_max: u32, rest: Duration) -> Self {
        Self { failures_max: failures_max.max(1), rest, state: State::Closed { failures: 0 } }
    }

    pub(super) fn permit(&self, now: Instant) -> Permit {
        match self.state {
            State::Open { until } if until > now => Permit::At(until),
            State::Closed { .. } | State::Open { .. } => Permit::Go,
            State::Probing => Permit::Wait,
        }
    }

    /// An attempt starts, with a permit to go. Returns whether it is the probe.
    pub(super) fn started(&mut self) -> bool {
        let probes = matches!(self.state, State::Open { .. });
        if probes {
            self.state = State::Probing;
        }
        probes
    }

    /// An attempt reached the carrier, whatever it said. A resting link that is late to answer stays at rest.
    pub(super) fn reached(&mut self) {
        if !matches!(self.state, State::Open { .. }) {
            self.state = State::Closed { failures: 0 };
        }
    }

    /// An attempt did not reach the carrier, got no answer, or the one that nothing of ours is taken as we are configured.
    /// Returns whether the breaker opened.
    pub(super) fn failed(&mut self, now: Instant) -> bool {
        let opens = match &mut self.state {
            State::Closed { failures } => {
                *failures = failures.saturating_add(1);
                *failures >= self.failures_max
            }
            State::Probing => true,
            State::Open { .. } => false,
        };
        if opens {
            self.state = State::Open { until: now + self.rest };
        }
        opens
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_after_failures_in_a_row_and_one_probe_decides() {
        let (rest, now) = (Duration::from_secs(5), Instant::now());
        let mut breaker = Breaker::new(3, rest);
        for _ in 0..2 {
            assert!(!breaker.failed(now));
        }
        breaker.reached();
        assert!(!breaker.failed(now) && !breaker.failed(now), "not in a row");
        assert!(breaker.failed(now));
        assert_eq!(breaker.permit(now), Permit::At(now + rest));
        breaker.reached();
        assert_eq!(breaker.permit(now), Permit::At(now + rest), "an old attempt's answer is no probe");

        let later = now + rest;
        assert_eq!(breaker.permit(later), Permit::Go);
        assert!(breaker.started());
        assert_eq!(breaker.permit(later), Permit::Wait);
        assert!(breaker.failed(later), "the probe failed");
        assert_eq!(breaker.permit(later), Permit::At(later + rest));

        assert!(breaker.started());
        breaker.reached();
        assert!(breaker.is_closed() && !breaker.started());
        assert_eq!(breaker.permit(later), Permit::Go);
    }
}
