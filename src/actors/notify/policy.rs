//! What an answer means for its event and its endpoint: whether and when it is sent again, and when an endpoint is given up.
//!
//! Pure. Without a schedule an event is sent once and an endpoint is never given up (the seeds' default).

use std::time::Duration;

use crate::domain::time::Timestamp;
use crate::domain::webhook::{RETRY_WAIT_MAX, RetrySchedule};
use crate::records::attempts::EndpointChange;

/// An endpoint with a schedule that has accepted nothing for this long is disabled.
pub(super) const GIVE_UP_AFTER: Duration = Duration::from_secs(5 * 24 * 60 * 60);
/// HTTP's way to say that an endpoint is gone for good (RFC 9110 §15.5.11).
const STATUS_GONE: u16 = 410;
/// A wait is this many thousandths shorter or longer than the schedule says, so that what failed together parts.
const JITTER_THOUSANDTHS: u32 = 200;

/// Why an endpoint was disabled by itself: what its owner reads, and a metric's label.
pub(super) const GONE: &str = "gone";
pub(super) const FAILING: &str = "failing";

/// What is known of the endpoint when one of its attempts has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing<'e> {
    pub(super) schedule: &'e RetrySchedule,
    /// Since when it has accepted nothing.
    pub(super) failing_since: Option<Timestamp>,
}

/// How one attempt ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) accepted: bool,
    /// The first attempt of an event is 1.
    pub(super) number: u32,
    pub(super) status: Option<u16>,
    pub(super) retry_after: Option<Duration>,
    pub(super) at: Timestamp,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Consequence {
    /// How long from now the event is due again.
    pub(super) retry: Option<Duration>,
    pub(super) endpoint: EndpointChange,
}

/// `dice` is any random number.
pub(super) fn consequence(standing: Standing<'_>, ended: Ended, dice: u32) -> Consequence {
    if standing.schedule.is_empty() {
        return Consequence { retry: None, endpoint: EndpointChange::None };
    }
    if ended.accepted {
        let was_failing = standing.failing_since.is_some();
        let endpoint = if was_failing { EndpointChange::Working } else { EndpointChange::None };
        return Consequence { retry: None, endpoint };
    }
    if ended.status == Some(STATUS_GONE) {
        return Consequence { retry: None, endpoint: EndpointChange::Disable(GONE) };
    }
    let endpoint = match standing.failing_since {
        None => EndpointChange::Failing,
        Some(since) if ended.at.since(since) >= GIVE_UP_AFTER => {
            return Consequence { retry: None, endpoint: EndpointChange::Disable(FAILING) };
        }
        Some(_) => EndpointChange::None,
    };
    let retry = standing.schedule.after(ended.number).map(|wait| {
        let asked = ended.retry_after.unwrap_or_default();
        jittered(wait, dice).max(asked).min(RETRY_WAIT_MAX)
    });
    Consequence { retry, endpoint }
}

fn jittered(wait: Duration, dice: u32) -> Duration {
    let thousandths = 1_000 - JITTER_THOUSANDTHS + dice % (2 * JITTER_THOUSANDTHS + 1);
    wait * thousandths / 1_000
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_779_703_200_000_000);
    const MIDDLE: u32 = JITTER_THOUSANDTHS;
    const REFUSED: Ended = Ended { accepted: false, number: 1, status: Some(500), retry_after: None, at: NOW };
    const ACCEPTED: Ended = Ended { accepted: true, status: Some(204), ..REFUSED };

    fn schedule() -> RetrySchedule {
        RetrySchedule::parse("10s,5m").expect("valid")
    }

    fn after(ended: Ended, failing_since: Option<Timestamp>) -> Consequence {
        consequence(Standing { schedule: &schedule(), failing_since }, ended, MIDDLE)
    }

    #[test]
    fn without_a_schedule_nothing_follows() {
        let never = RetrySchedule::default();
        let standing = Standing { schedule: &never, failing_since: Some(NOW.minus(2 * GIVE_UP_AFTER)) };
        let nothing = Consequence { retry: None, endpoint: EndpointChange::None };
        for status in [Some(500), Some(STATUS_GONE), None] {
            assert_eq!(consequence(standing, Ended { status, ..REFUSED }, 0), nothing);
        }
        assert_eq!(consequence(standing, ACCEPTED, 0), nothing);
    }

    #[test]
    fn a_schedule_is_followed_to_its_end() {
        let wait = |number| after(Ended { number, ..REFUSED }, Some(NOW)).retry;
        assert_eq!(wait(1), Some(Duration::from_secs(10)));
        assert_eq!(wait(2), Some(Duration::from_secs(300)));
        assert_eq!(wait(3), None);
        assert_eq!(after(ACCEPTED, None).retry, None);
    }

    #[test]
    fn an_endpoint_may_ask_for_a_longer_wait_but_not_for_a_shorter_or_endless_one() {
        let asked = |secs| after(Ended { retry_after: Some(Duration::from_secs(secs)), ..REFUSED }, None).retry;
        assert_eq!(asked(1), Some(Duration::from_secs(10)));
        assert_eq!(asked(60), Some(Duration::from_secs(60)));
        assert_eq!(asked(u64::MAX), Some(RETRY_WAIT_MAX));
        let last = Ended { number: 3, retry_after: Some(Duration::from_secs(60)), ..REFUSED };
        assert_eq!(after(last, None).retry, None, "it cannot ask for more attempts");
    }

    #[test]
    fn an_endpoint_that_says_gone_is_given_up_at_once() {
        let gone = after(Ended { status: Some(STATUS_GONE), ..REFUSED }, None);
        assert_eq!(gone, Consequence { retry: None, endpoint: EndpointChange::Disable(GONE) });
    }

    #[test]
    fn five_days_without_an_accepted_event_are_enough() {
        let at = |ago| after(REFUSED, Some(NOW.minus(ago)));
        assert_eq!(after(REFUSED, None).endpoint, EndpointChange::Failing);
        assert_eq!(at(GIVE_UP_AFTER - Duration::from_micros(1)).endpoint, EndpointChange::None);
        let given_up = Consequence { retry: None, endpoint: EndpointChange::Disable(FAILING) };
        assert_eq!(at(GIVE_UP_AFTER), given_up);
        let accepted = |since| after(ACCEPTED, since).endpoint;
        assert_eq!(accepted(None), EndpointChange::None);
        assert_eq!(accepted(Some(NOW.minus(2 * GIVE_UP_AFTER))), EndpointChange::Working);
    }

    proptest! {
        #[test]
        fn jitter_stays_within_a_fifth(secs in 1_u64..=86_400, dice: u32) {
            let wait = Duration::from_secs(secs);
            let jittered = jittered(wait, dice);
            prop_assert!(jittered >= wait * 4 / 5 && jittered <= wait * 6 / 5, "{wait:?} became {jittered:?}");
        }

        #[test]
        fn no_retry_is_later_than_a_day(secs in 1_u64..=86_400, dice: u32, asked: Option<u32>) {
            let schedule = RetrySchedule::parse(&format!("{secs}s")).expect("valid");
            let standing = Standing { schedule: &schedule, failing_since: None };
            let ended = Ended { retry_after: asked.map(|secs| Duration::from_secs(secs.into())), ..REFUSED };
            let retry = consequence(standing, ended, dice).retry.expect("there is one");
            prop_assert!(retry <= RETRY_WAIT_MAX);
        }
    }
}
