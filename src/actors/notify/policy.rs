//! What an answer means for its event and its endpoint: whether and when it is sent again, and what is said of the endpoint.
//!
//! Pure. Without a schedule an event is sent once and an endpoint is never given up (the seeds' default). Whether one has
//! failed for too long is decided where results are written: what was read at the claim is out of date by then.

use std::time::Duration;

use crate::domain::webhook::{RETRY_WAIT_MAX, RetrySchedule};
use crate::records::attempts::EndpointChange;

/// HTTP's way to say that an endpoint is gone for good (RFC 9110 §15.5.11).
const STATUS_GONE: u16 = 410;
/// A wait is this many thousandths shorter or longer than the schedule says, so that what failed together parts.
const JITTER_THOUSANDTHS: u32 = 200;

/// How one attempt ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) accepted: bool,
    /// The first attempt of an event is 1.
    pub(super) number: u32,
    pub(super) status: Option<u16>,
    pub(super) retry_after: Option<Duration>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Consequence {
    /// How long from now the event is due again.
    pub(super) retry: Option<Duration>,
    pub(super) endpoint: EndpointChange,
}

/// `dice` is any random number.
pub(super) fn consequence(schedule: &RetrySchedule, ended: Ended, dice: u32) -> Consequence {
    let so = |endpoint| Consequence { retry: None, endpoint };
    if schedule.is_empty() {
        return so(EndpointChange::None);
    }
    if ended.accepted {
        return so(EndpointChange::Working);
    }
    if ended.status == Some(STATUS_GONE) {
        return so(EndpointChange::Gone);
    }
    let retry = schedule.after(ended.number).map(|wait| {
        let asked = ended.retry_after.unwrap_or_default();
        jittered(wait, dice).max(asked).min(RETRY_WAIT_MAX)
    });
    Consequence { retry, endpoint: EndpointChange::Failing }
}

fn jittered(wait: Duration, dice: u32) -> Duration {
    let thousandths = 1_000 - JITTER_THOUSANDTHS + dice % (2 * JITTER_THOUSANDTHS + 1);
    wait * thousandths / 1_000
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIDDLE: u32 = JITTER_THOUSANDTHS;
    const REFUSED: Ended = Ended { accepted: false, number: 1, status: Some(500), retry_after: None };
    const ACCEPTED: Ended = Ended { accepted: true, status: Some(204), ..REFUSED };

    fn after(ended: Ended) -> Consequence {
        consequence(&RetrySchedule::parse("10s,5m").expect("valid"), ended, MIDDLE)
    }

    #[test]
    fn without_a_schedule_nothing_follows() {
        let nothing = Consequence { retry: None, endpoint: EndpointChange::None };
        for status in [Some(500), Some(STATUS_GONE), None] {
            assert_eq!(consequence(&RetrySchedule::default(), Ended { status, ..REFUSED }, 0), nothing);
        }
        assert_eq!(consequence(&RetrySchedule::default(), ACCEPTED, 0), nothing);
    }

    #[test]
    fn a_schedule_is_followed_to_its_end() {
        let wait = |number| after(Ended { number, ..REFUSED }).retry;
        assert_eq!(wait(1), Some(Duration::from_secs(10)));
        assert_eq!(wait(2), Some(Duration::from_secs(300)));
        assert_eq!(wait(3), None);
        assert_eq!(after(ACCEPTED).retry, None);
    }

    #[test]
    fn an_endpoint_may_ask_for_a_longer_wait_but_not_for_a_shorter_or_endless_one() {
        let asked = |secs| after(Ended { retry_after: Some(Duration::from_secs(secs)), ..REFUSED }).retry;
        assert_eq!(asked(1), Some(Duration::from_secs(10)));
        assert_eq!(asked(60), Some(Duration::from_secs(60)));
        assert_eq!(asked(u64::MAX), Some(RETRY_WAIT_MAX));
        let last = Ended { number: 3, retry_after: Some(Duration::from_secs(60)), ..REFUSED };
        assert_eq!(after(last).retry, None, "it cannot ask for more attempts");
    }

    #[test]
    fn every_answer_says_how_the_endpoint_is() {
        let gone = after(Ended { status: Some(STATUS_GONE), ..REFUSED });
        assert_eq!(gone, Consequence { retry: None, endpoint: EndpointChange::Gone });
        assert_eq!(after(REFUSED).endpoint, EndpointChange::Failing);
        assert_eq!(after(Ended { number: 9, status: None, ..REFUSED }).endpoint, EndpointChange::Failing);
        assert_eq!(after(ACCEPTED).endpoint, EndpointChange::Working);
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
            let ended = Ended { retry_after: asked.map(|secs| Duration::from_secs(secs.into())), ..REFUSED };
            let retry = consequence(&schedule, ended, dice).retry.expect("there is one");
            prop_assert!(retry <= RETRY_WAIT_MAX);
        }
    }
}
