//! The links of one carrier as its queue sees them now: which of them may take the next attempt, and when one will.

use std::sync::Arc;

use tokio::time::Instant;

use super::attempt::Link;
use super::breaker::{Breaker, Permit};
use super::lane::Lane;
use crate::carrier::upstream::{Health, Outcome};

struct Seen {
    link: Arc<Link>,
    breaker: Breaker,
    health: Health,
}

/// Every link of a carrier with its breaker. Forgotten by a restart; the paces and windows are not.
pub(super) struct Links {
    seen: Vec<Seen>,
    /// Where the search for a link starts, so that the load is spread.
    next: usize,
}

/// Why no link takes an attempt now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Blocked {
    Until(Instant),
    /// An outcome or a change of health will tell.
    Unknown,
}

impl Links {
    pub(super) fn new(links: &[Arc<Link>], breaker: impl Fn() -> Breaker) -> Self {
        let seen = links.iter().map(|link| {
            let health = *link.upstream.health().borrow();
            Seen { link: Arc::clone(link), breaker: breaker(), health }
        });
        Self { seen: seen.collect(), next: 0 }
    }

    pub(super) fn get(&self, at: usize) -> &Arc<Link> {
        &self.seen[at].link
    }

    /// Chooses the link of the next attempt and takes a permit of its pace.
    pub(super) fn choose(&mut self, now: Instant) -> Result<usize, Blocked> {
        let mut blocked = Blocked::Unknown;
        for offset in 0..self.seen.len() {
            let at = (self.next + offset) % self.seen.len();
            let until = match self.seen[at].permit(now) {
                Permit::Go => match self.seen[at].link.pace.as_ref().map_or(Ok(()), |pace| pace.take()) {
                    Ok(()) => {
                        self.next = at + 1;
                        return Ok(at);
                    }
                    Err(until) => until,
                },
                Permit::At(until) => until,
                Permit::Wait => continue,
            };
            blocked = match blocked {
                Blocked::Until(earlier) => Blocked::Until(earlier.min(until)),
                Blocked::Unknown => Blocked::Until(until),
            };
        }
        Err(blocked)
    }

    /// An attempt starts on the link `at`. Returns whether it is a probe.
    pub(super) fn started(&mut self, at: usize) -> bool {
        self.seen[at].breaker.started()
    }

    /// An attempt on the link `at` has an outcome. Returns whether its breaker opened.
    pub(super) fn finished(&mut self, at: usize, outcome: &Outcome, now: Instant) -> bool {
        let breaker = &mut self.seen[at].breaker;
        match outcome {
            Outcome::NotSent { .. } | Outcome::Ambiguous { .. } => breaker.failed(now),
            Outcome::Accepted | Outcome::Refused { .. } | Outcome::PerPhone { .. } => {
                breaker.reached();
                false
            }
        }
    }

    pub(super) fn health(&mut self, at: usize, health: Health) {
        self.seen[at].health = health;
    }

    /// Whether the link `at` takes work.
    pub(super) fn is_up(&self, at: usize) -> bool {
        self.seen[at].health == Health::Up && self.seen[at].breaker.is_closed()
    }

    /// Writes on the lane's door whether new jobs may come.
    pub(super) fn sign(&self, lane: &Lane, now: Instant) {
        let mut reopens: Option<Instant> = None;
        for seen in self.seen.iter().filter(|seen| seen.health == Health::Up) {
            match seen.breaker.permit(now) {
                Permit::Go => return lane.open(),
                Permit::At(until) => reopens = Some(reopens.map_or(until, |earlier| earlier.min(until))),
                Permit::Wait => {}
            }
        }
        lane.close(reopens);
    }
}

impl Seen {
    fn permit(&self, now: Instant) -> Permit {
        if self.health != Health::Up || self.link.window_is_full() { Permit::Wait } else { self.breaker.permit(now) }
    }
}
