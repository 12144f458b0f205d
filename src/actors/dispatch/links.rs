//! The links of one queue as it sees them now: which of them may take the next attempt, and when one will.
//!
//! Breakers are the queue's own, not the link's: what the connection itself suffers from, its health says to every queue;
//! what is left are faults of one channel or one carrier behind it, and a provider whose voice fails still takes SMS.

use tokio::time::Instant;

use super::breaker::{Breaker, Permit};
use super::lane::Lane;
use super::link::Link;
use super::parts::Member;
use super::speed::Speed;
use crate::carrier::upstream::{FailureClass, Health, Outcome};
use crate::domain::reference::UpstreamId;

struct Seen {
    member: Member,
    breaker: Breaker,
    health: Health,
    paused: bool,
    /// What it is owed by its weight (smooth weighted round robin): the greatest is next.
    credit: i64,
    /// It was asked for the attempt that is being placed, and refused.
    asked: bool,
    /// The last it did for the jobs that are waiting now was to refuse.
    refused: bool,
    /// The link was told that this queue waits.
    waits: bool,
}

/// Every link of a queue with its breaker. Forgotten by a restart; the paces and windows are not.
pub(super) struct Links {
    seen: Vec<Seen>,
}

/// Why no link takes an attempt now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Blocked {
    Until(Instant),
    /// An outcome, a change of health or another queue will tell.
    Unknown,
}

impl Blocked {
    pub(super) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Until(one), Self::Until(other)) => Self::Until(one.min(other)),
            (Self::Until(until), Self::Unknown) | (Self::Unknown, Self::Until(until)) => Self::Until(until),
            (Self::Unknown, Self::Unknown) => Self::Unknown,
        }
    }
}

impl Links {
    pub(super) fn new(members: &[Member], breaker: impl Fn() -> Breaker) -> Self {
        let seen = members.iter().map(|member| {
            // What an earlier incarnation waited for, nobody does.
            member.link.content(member.seat);
            let (health, paused) = (*member.link.upstream().health().borrow(), member.link.is_paused());
            let (member, breaker) = (member.clone(), breaker());
            Seen { member, breaker, health, paused, credit: 0, asked: false, refused: false, waits: false }
        });
        Self { seen: seen.collect() }
    }

    pub(super) fn get(&self, at: usize) -> &Link {
        &self.seen[at].member.link
    }

    /// Chooses the link of the next attempt, by weight among those that can take it and are not `barred`, and takes its
    /// permit and its place.
    ///
    /// # Errors
    /// When to ask again.
    pub(super) fn choose(&mut self, now: Instant, barred: impl Fn(&UpstreamId) -> bool) -> Result<usize, Blocked> {
        let mut blocked = Blocked::Unknown;
        self.seen.iter_mut().for_each(|seen| seen.asked = false);
        loop {
            let mut best: Option<(usize, i64)> = None;
            for (at, seen) in self.seen.iter().enumerate() {
                let owed = seen.credit + i64::from(seen.member.weight);
                if best.is_none_or(|(_, most)| owed > most) && seen.may_take(now, &barred) {
                    best = Some((at, owed));
                }
            }
            let Some((at, _)) = best else { break };
            match self.seen[at].take() {
                Ok(()) => {
                    self.credit(at, now, barred);
                    return Ok(at);
                }
                Err(refused) => blocked = blocked.or(refused),
            }
        }
        for seen in self.seen.iter().filter(|seen| !barred(seen.member.link.id())) {
            if let Permit::At(until) = seen.permit(now) {
                blocked = blocked.or(Blocked::Until(until));
            }
        }
        Err(blocked)
    }

    /// The link `at` was chosen among those that were not asked in vain.
    fn credit(&mut self, at: usize, now: Instant, barred: impl Fn(&UpstreamId) -> bool) {
        if self.seen.len() == 1 {
            return;
        }
        self.seen[at].asked = false;
        let mut shared_out = 0;
        for seen in self.seen.iter_mut().filter(|seen| seen.may_take(now, &barred)) {
            seen.credit += i64::from(seen.member.weight);
            shared_out += i64::from(seen.member.weight);
        }
        self.seen[at].credit -= shared_out;
    }

    /// What waits is placed anew: which links refuse it, is told by [`Links::choose`] from here to [`Links::content`].
    pub(super) fn place(&mut self) {
        self.seen.iter_mut().for_each(|seen| seen.refused = false);
    }

    /// Whether a link that takes work and is not `barred` is there at all, now or when it has room.
    pub(super) fn another(&self, barred: impl Fn(&UpstreamId) -> bool) -> bool {
        self.seen.iter().any(|seen| seen.is_up() && !barred(seen.member.link.id()))
    }

    /// Whether there is any link that is not `barred`, however it is.
    pub(super) fn exists(&self, barred: impl Fn(&UpstreamId) -> bool) -> bool {
        self.seen.iter().any(|seen| !barred(seen.member.link.id()))
    }

    /// An attempt starts on the link `at`. Returns whether it is a probe.
    pub(super) fn started(&mut self, at: usize) -> bool {
        self.seen[at].breaker.started()
    }

    /// An attempt on the link `at` has an outcome. Returns whether its breaker opened.
    pub(super) fn finished(&mut self, at: usize, outcome: &Outcome, now: Instant) -> bool {
        let breaker = &mut self.seen[at].breaker;
        match outcome {
            Outcome::NotSent { .. }
            | Outcome::Ambiguous { .. }
            | Outcome::Refused { class: FailureClass::Misconfigured, .. } => breaker.failed(now),
            Outcome::Accepted | Outcome::Refused { .. } | Outcome::PerPhone { .. } => {
                breaker.reached();
                false
            }
        }
    }

    pub(super) fn health(&mut self, at: usize, health: Health) {
        self.seen[at].health = health;
    }

    /// Looks whether links were paused or resumed. Returns whether any was.
    pub(super) fn look_at_pauses(&mut self) -> bool {
        let mut changed = false;
        for seen in &mut self.seen {
            let paused = seen.member.link.is_paused();
            changed |= seen.paused != paused;
            seen.paused = paused;
        }
        changed
    }

    /// Tells the links that nothing waits for any more so.
    pub(super) fn content(&mut self) {
        for seen in self.seen.iter_mut().filter(|seen| seen.waits && !seen.refused) {
            seen.member.link.content(seen.member.seat);
            seen.waits = false;
        }
    }

    /// How fast jobs leave by the links that take work; while all of those rest, how fast they will.
    fn speed(&self) -> Speed {
        let of = |seen: &dyn Fn(&&Seen) -> bool| {
            self.seen.iter().filter(seen).fold(Speed::default(), |sum, seen| sum.and(seen.speed()))
        };
        let now = of(&|seen| seen.is_up());
        if now.is_zero() { of(&|seen| seen.takes_work()) } else { now }
    }

    /// Whether the link `at` takes work.
    pub(super) fn is_up(&self, at: usize) -> bool {
        self.seen[at].is_up()
    }

    /// Writes on the lane's door whether new jobs may come, and how many. Returns whether.
    pub(super) fn sign(&self, lane: &Lane, now: Instant) -> bool {
        lane.promise(self.speed());
        let mut reopens: Option<Instant> = None;
        for seen in self.seen.iter().filter(|seen| seen.takes_work()) {
            match seen.breaker.permit(now) {
                Permit::Go => {
                    lane.open();
                    return true;
                }
                Permit::At(until) => reopens = Some(reopens.map_or(until, |earlier| earlier.min(until))),
                Permit::Wait => {}
            }
        }
        lane.close(reopens);
        false
    }
}

impl Seen {
    fn speed(&self) -> Speed {
        self.member.speed()
    }

    fn takes_work(&self) -> bool {
        self.health == Health::Up && !self.paused
    }

    fn is_up(&self) -> bool {
        self.takes_work() && self.breaker.is_closed()
    }

    fn permit(&self, now: Instant) -> Permit {
        if self.takes_work() { self.breaker.permit(now) } else { Permit::Wait }
    }

    fn may_take(&self, now: Instant, barred: &impl Fn(&UpstreamId) -> bool) -> bool {
        !self.asked && self.permit(now) == Permit::Go && !barred(self.member.link.id())
    }

    fn take(&mut self) -> Result<(), Blocked> {
        let taken = self.member.link.take(self.member.seat);
        self.asked = true;
        self.refused = taken.is_err();
        self.waits |= self.refused;
        taken
    }
}
