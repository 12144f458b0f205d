//! What one shard knows of the deliveries that await their end, and its settle clock.
//!
//! There is no timer per delivery: the table is walked when the earliest settle time it was last seen to hold has come,
//! which is once a minute while receipts come, and at most once a tick while they do not.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::InFlight;
use crate::domain::carrier::{Carrier, Channel};
use crate::domain::ids::DeliveryId;
use crate::domain::money::MicroUsd;
use crate::domain::reference::UpstreamId;
use crate::records::acceptance::WINDOW;

/// How much later than its settle time a delivery ends: a receipt on its way may still win.
pub(super) const SLACK: Duration = Duration::from_millis(500);

/// What the metrics say of a delivery when it has ended.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) carrier: Carrier,
    pub(super) accepted_at: Instant,
    pub(super) price: MicroUsd,
}

#[derive(Debug)]
pub(super) struct Watched<J> {
    pub(super) life: Life,
    /// The channel whose receipt is awaited; `None` while dispatch brings the delivery to its next channel.
    awaited: Option<Channel>,
    /// Whose receipt is awaited: a place in [`Watching::upstreams`].
    by: u16,
    /// Everybody whom an attempt was given to, each a bit.
    tried: u64,
    settle_by: Instant,
    fallback: Option<Box<J>>,
}

/// What a second attempt takes: until it has left, and until its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Needs {
    pub(super) leave: Duration,
    pub(super) attempt: Duration,
}

/// What a failed receipt means.
#[derive(Debug)]
pub(super) enum Failed<J> {
    /// The attempt was the last one: the delivery ends.
    Ends,
    /// There is a channel left.
    FallsBack(Box<J>),
    /// It is of an attempt that nobody awaits any more, or of somebody who was given none.
    Stale,
    /// The delivery is not known here: somebody else may have it on another channel by now.
    Unknown,
}

#[derive(Debug)]
pub(super) struct Watching<J> {
    by_delivery: HashMap<DeliveryId, Watched<J>>,
    /// No delivery settles earlier than this.
    next_due: Option<Instant>,
    /// Everybody whom an attempt was ever given to: as many as there are in the carrier tables of this process's life.
    upstreams: Vec<UpstreamId>,
}

impl<J> Default for Watching<J> {
    fn default() -> Self {
        Self { by_delivery: HashMap::new(), next_due: None, upstreams: Vec::new() }
    }
}

impl<J> Watching<J> {
    pub(super) fn watch(&mut self, new: InFlight<J>) {
        self.next_due = Some(self.next_due.map_or(new.settle_by, |due| due.min(new.settle_by)));
        let life = Life { carrier: new.carrier, accepted_at: new.accepted_at, price: new.price };
        let by = self.place(&new.upstream);
        let before = self.by_delivery.get(&new.delivery).map_or(0, |watched| watched.tried);
        let (awaited, settle_by, fallback) = (Some(new.channel), new.settle_by, new.fallback);
        let watched = Watched { life, awaited, by, tried: before | bit(by), settle_by, fallback };
        self.by_delivery.insert(new.delivery, watched);
    }

    /// Where `upstream` is in the list; from now on, if it was not.
    fn place(&mut self, upstream: &UpstreamId) -> u16 {
        let known = self.upstreams.iter().position(|other| other == upstream);
        let place = known.unwrap_or_else(|| {
            self.upstreams.push(upstream.clone());
            self.upstreams.len() - 1
        });
        u16::try_from(place).unwrap_or(u16::MAX)
    }

    /// Whether an attempt at the delivery may have reached a phone by `upstream`; where it is not known, nobody can tell.
    pub(super) fn may_be_of(&mut self, delivery: DeliveryId, upstream: &UpstreamId) -> bool {
        let by = self.place(upstream);
        self.by_delivery.get(&delivery).is_none_or(|watched| watched.tried & bit(by) != 0)
    }

    /// Forgets a delivery that ends; its code goes with it.
    pub(super) fn end(&mut self, delivery: DeliveryId) -> Option<Life> {
        self.by_delivery.remove(&delivery).map(|watched| watched.life)
    }

    pub(super) fn carrier(&self, delivery: DeliveryId) -> Option<&Carrier> {
        self.by_delivery.get(&delivery).map(|watched| &watched.life.carrier)
    }

    /// Judges a failed receipt by `upstream` of an attempt on a channel. A fallback is only given with time left: before the settle time, and to leave
    /// within the delivery's own window, after which another order may call the phone. It is to be given back if dispatch
    /// does not take it.
    pub(super) fn failed(
        &mut self,
        (delivery, channel): (DeliveryId, Channel),
        upstream: &UpstreamId,
        needs: Needs,
        now: Instant,
    ) -> Failed<J> {
        let by = self.place(upstream);
        let Some(watched) = self.by_delivery.get_mut(&delivery) else {
            return Failed::Unknown;
        };
        if (watched.awaited, watched.by) != (Some(channel), by) {
            return Failed::Stale;
        }
        let too_late = now + needs.attempt > watched.settle_by || now + needs.leave > watched.life.accepted_at + WINDOW;
        if too_late {
            return Failed::Ends;
        }
        let Some(job) = watched.fallback.take() else {
            return Failed::Ends;
        };
        watched.awaited = None;
        Failed::FallsBack(job)
    }

    /// Takes out what no receipt came for, and the channel that it was awaited on.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<(DeliveryId, Option<Channel>, Life)> {
        if self.next_due.is_none_or(|due| due + SLACK > now) {
            return Vec::new();
        }
        let overdue = self.by_delivery.extract_if(|_, watched| watched.settle_by + SLACK <= now);
        let overdue = overdue.map(|(delivery, watched)| (delivery, watched.awaited, watched.life)).collect();
        self.next_due = self.by_delivery.values().map(|watched| watched.settle_by).min();
        if self.by_delivery.len() < self.by_delivery.capacity() / 4 {
            self.by_delivery.shrink_to(self.by_delivery.len() * 2);
        }
        overdue
    }

    pub(super) fn len(&self) -> usize {
        self.by_delivery.len()
    }
}

/// Of more than there are bits, some share one: what they report of each other's is believed.
fn bit(place: u16) -> u64 {
    1 << (u64::from(place) % u64::from(u64::BITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEED: Duration = Duration::from_secs(20);
    fn upstream(name: &str) -> UpstreamId {
        UpstreamId(name.into())
    }

    const NEEDS: Needs = Needs { leave: Duration::from_secs(5), attempt: NEED };

    fn in_flight(number: u8, settle_by: Instant, fallback: Option<char>) -> InFlight<char> {
        InFlight {
            delivery: DeliveryId::from_bytes([number; 16]),
            carrier: Carrier::new("viettel").expect("sane"),
            channel: Channel::Voice,
            upstream: upstream("a"),
            moved: false,
            price: MicroUsd::ZERO,
            accepted_at: Instant::now(),
            settle_by,
            fallback: fallback.map(Box::new),
        }
    }

    #[test]
    fn a_delivery_that_waits_costs_little() {
        assert!(size_of::<(DeliveryId, Watched<()>)>() <= 96);
    }

    #[test]
    fn a_failed_receipt_falls_back_once_and_only_in_time() {
        let (mut watching, now) = (Watching::default(), Instant::now());
        let [one, two, three] = [1, 2, 3].map(|n| DeliveryId::from_bytes([n; 16]));
        watching.watch(in_flight(1, now + NEED, Some('a')));
        watching.watch(in_flight(2, now + NEED - Duration::from_secs(1), Some('b')));
        assert!(matches!(watching.failed((one, Channel::Sms), &upstream("a"), NEEDS, now), Failed::Stale));
        assert!(
            matches!(watching.failed((one, Channel::Voice), &upstream("a"), NEEDS, now), Failed::FallsBack(job) if *job == 'a')
        );
        assert!(
            matches!(watching.failed((one, Channel::Voice), &upstream("a"), NEEDS, now), Failed::Stale),
            "a duplicate"
        );
        assert!(matches!(watching.failed((two, Channel::Voice), &upstream("a"), NEEDS, now), Failed::Ends), "too late");
        assert!(matches!(watching.failed((three, Channel::Voice), &upstream("a"), NEEDS, now), Failed::Unknown));
        let late = Duration::from_secs(26);
        let [four, five] = [4, 5].map(|n| DeliveryId::from_bytes([n; 16]));
        watching.watch(InFlight { accepted_at: now - late, ..in_flight(4, now + NEED, Some('d')) });
        watching.watch(InFlight { accepted_at: now - Duration::from_secs(25), ..in_flight(5, now + NEED, Some('e')) });
        assert!(
            matches!(watching.failed((four, Channel::Voice), &upstream("a"), NEEDS, now), Failed::Ends),
            "its window would be over"
        );
        assert!(matches!(watching.failed((five, Channel::Voice), &upstream("a"), NEEDS, now), Failed::FallsBack(_)));
        let next = InFlight { channel: Channel::Sms, ..in_flight(1, now + NEED, None) };
        watching.watch(next);
        assert!(matches!(watching.failed((one, Channel::Sms), &upstream("a"), NEEDS, now), Failed::Ends));
    }

    #[test]
    fn a_receipt_counts_only_from_whoever_was_given_the_attempt() {
        let (mut watching, now) = (Watching::default(), Instant::now());
        let one = DeliveryId::from_bytes([1; 16]);
        assert!(watching.may_be_of(one, &upstream("stranger")), "not known here");
        watching.watch(in_flight(1, now + NEED, Some('a')));
        // What `a` did not send goes by `b`.
        watching.watch(InFlight { upstream: upstream("b"), ..in_flight(1, now + NEED, Some('a')) });
        for other in ["a", "stranger"] {
            let verdict = watching.failed((one, Channel::Voice), &upstream(other), NEEDS, now);
            assert!(matches!(verdict, Failed::Stale), "{other}");
        }
        let may_be_of = ["a", "b", "stranger"].map(|other| watching.may_be_of(one, &upstream(other)));
        assert_eq!(may_be_of, [true, true, false]);
        let verdict = watching.failed((one, Channel::Voice), &upstream("b"), NEEDS, now);
        assert!(matches!(verdict, Failed::FallsBack(_)));
    }

    #[test]
    fn the_clock_takes_what_is_overdue_whatever_the_order() {
        let (mut watching, now) = (Watching::default(), Instant::now());
        for (number, secs) in [(1, 30), (2, 10), (3, 20)] {
            watching.watch(in_flight(number, now + Duration::from_secs(secs), None));
        }
        let mut due = |secs| {
            let overdue = watching.overdue(now + Duration::from_secs(secs) + SLACK);
            overdue.into_iter().map(|(delivery, ..)| delivery.as_bytes()[0]).collect::<Vec<_>>()
        };
        assert_eq!(due(9), [0; 0]);
        assert_eq!(due(10), [2]);
        let mut rest = due(30);
        rest.sort_unstable();
        assert_eq!(rest, [1, 3]);
        assert_eq!(due(99), [0; 0]);
        assert_eq!(watching.len(), 0);
    }
}
