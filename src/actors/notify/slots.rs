//! Who may send how much at once: fairness between endpoints, and the limits.
//!
//! Pure. It owns, for each endpoint, how many POSTs are under way or claimed, how many it may have, and whether rows of it
//! are known or suspected to be due. It knows no row and no connection; what it forgets by a restart, the poll finds.
//!
//! Three rules, so that a dead endpoint delays nobody: an endpoint has a limit of its own, which grows with what it accepts
//! and is halved when it does not answer; beyond its first slot nobody holds more than are still free, so that those who stop
//! answering all at once leave some to others; and all that drag — that do not answer, or take long — share at most half.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::ids::EndpointId;

/// Where an endpoint begins.
const LIMIT_AT_FIRST: usize = 8;
/// An answer that took longer makes an endpoint drag: whoever is this slow must not hold everybody's slots.
const SLOW: Duration = Duration::from_secs(1);
/// What is known of an endpoint that has had nothing to do for this long is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(10 * 60);

/// How a POST ended, as far as slots are concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ending {
    Accepted(Duration),
    /// An answer, but not 2xx.
    Answered(Duration),
    /// No answer: time-out, reset, no connection.
    Silent,
    /// Nothing was learned of the endpoint: the POST was not made, or was lost.
    Unlearned,
}

#[derive(Debug)]
struct Lane {
    taken: usize,
    limit: usize,
    drags: bool,
    /// Rows are known or suspected to be due.
    due: bool,
    /// Whether it stands in `turns` or `parked`: it is due and has room of its own.
    queued: bool,
    /// Whether it is in `parked`.
    is_parked: bool,
    /// Nothing is claimed for it before this.
    rests_until: Option<Instant>,
    used: Instant,
}

/// The slots of all endpoints.
#[derive(Debug)]
pub(super) struct Slots {
    lanes: HashMap<EndpointId, Lane>,
    /// Endpoints that are due and below their limit; the first is next.
    turns: VecDeque<EndpointId>,
    /// Endpoints that are due and drag: as many go over to the turns as their half has room for. Thousands may be dead, and
    /// are not to be looked at for every slot of somebody else.
    parked: VecDeque<EndpointId>,
    slots_max: usize,
    per_endpoint_max: usize,
    taken: usize,
    taken_by_dragging: usize,
}

impl Slots {
    pub(super) fn new(slots_max: usize, per_endpoint_max: usize) -> Self {
        Self {
            lanes: HashMap::new(),
            turns: VecDeque::new(),
            parked: VecDeque::new(),
            slots_max,
            per_endpoint_max,
            taken: 0,
            taken_by_dragging: 0,
        }
    }

    /// Rows of `endpoint` are due, or may be.
    pub(super) fn due(&mut self, endpoint: EndpointId, now: Instant) {
        let limit = LIMIT_AT_FIRST.min(self.per_endpoint_max);
        let lane = self.lanes.entry(endpoint).or_insert(Lane {
            taken: 0,
            limit,
            drags: false,
            due: false,
            queued: false,
            is_parked: false,
            rests_until: None,
            used: now,
        });
        lane.due = true;
        self.queue(endpoint);
    }

    /// Takes slots for the next claim: at most `endpoints_max` endpoints and `rows_max` rows, in turns. Each endpoint is no
    /// longer due, until somebody says so again.
    pub(super) fn take(&mut self, endpoints_max: usize, rows_max: usize, now: Instant) -> Vec<(EndpointId, usize)> {
        let mut taken = Vec::new();
        let mut rows_left = rows_max;
        let half = (self.slots_max / 2).max(1);
        self.unpark(half.saturating_sub(self.taken_by_dragging));
        let mut too_many = Vec::new();
        for _ in 0..self.turns.len() {
            if taken.len() == endpoints_max || rows_left == 0 || self.taken == self.slots_max {
                break;
            }
            let Some(endpoint) = self.turns.pop_front() else { break };
            let Some(lane) = self.lanes.get_mut(&endpoint) else { continue };
            let resting = lane.rests_until.is_some_and(|until| until > now);
            let free = self.slots_max - self.taken;
            let fair = (free.saturating_sub(lane.taken) / 2).max(usize::from(lane.taken == 0));
            let mut room = lane.limit.saturating_sub(lane.taken).min(fair).min(rows_left);
            if lane.drags {
                room = room.min(half.saturating_sub(self.taken_by_dragging));
            }
            if lane.drags && self.taken_by_dragging >= half {
                lane.is_parked = true;
                too_many.push(endpoint);
                continue;
            }
            if room == 0 || resting {
                // It keeps its place among those that wait: behind everybody who could go.
                self.turns.push_back(endpoint);
                continue;
            }
            lane.queued = false;
            lane.due = false;
            lane.rests_until = None;
            lane.used = now;
            lane.taken += room;
            self.taken += room;
            self.taken_by_dragging += if lane.drags { room } else { 0 };
            rows_left -= room;
            taken.push((endpoint, room));
        }
        // They are the next ones.
        too_many.into_iter().rev().for_each(|endpoint| self.parked.push_front(endpoint));
        taken
    }

    /// Gives back a slot that was not needed or whose POST has ended, and learns from how it ended.
    pub(super) fn free(&mut self, endpoint: EndpointId, ending: Ending, now: Instant) {
        let Some(lane) = self.lanes.get_mut(&endpoint).filter(|lane| lane.taken > 0) else {
            return;
        };
        lane.taken -= 1;
        lane.used = now;
        self.taken -= 1;
        self.taken_by_dragging -= usize::from(lane.drags);
        let dragged = lane.drags;
        match ending {
            Ending::Accepted(took) => {
                lane.limit = (lane.limit + 1).min(self.per_endpoint_max);
                lane.drags = took >= SLOW;
            }
            Ending::Answered(took) => lane.drags = took >= SLOW,
            Ending::Silent => {
                lane.limit = (lane.limit / 2).max(1);
                lane.drags = true;
            }
            Ending::Unlearned => {}
        }
        match (dragged, lane.drags) {
            (false, true) => self.taken_by_dragging += lane.taken,
            (true, false) => {
                self.taken_by_dragging -= lane.taken;
                if std::mem::take(&mut lane.is_parked) {
                    // Rare: it was out of turns, and answers.
                    self.parked.retain(|parked| *parked != endpoint);
                    self.turns.push_back(endpoint);
                }
            }
            (true, true) | (false, false) => {}
        }
        self.queue(endpoint);
    }

    /// Claims nothing for `endpoint` until `until`; what is due of it stays due.
    pub(super) fn rest(&mut self, endpoint: EndpointId, until: Instant) {
        if let Some(lane) = self.lanes.get_mut(&endpoint) {
            lane.rests_until = Some(until);
        }
    }

    /// POSTs under way, and slots that a claim holds.
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    /// Forgets endpoints that have had nothing to do for a while.
    pub(super) fn forget_idle(&mut self, now: Instant) {
        let busy = |lane: &Lane| lane.taken > 0 || lane.due || now.duration_since(lane.used) < FORGET_AFTER;
        self.lanes.retain(|_, lane| busy(lane));
        if self.lanes.len() < self.lanes.capacity() / 4 {
            self.lanes.shrink_to(self.lanes.len() * 2);
        }
    }

    /// Gives the first of those that are parked a place in the turns.
    fn unpark(&mut self, count: usize) {
        for endpoint in self.parked.drain(..count.min(self.parked.len())) {
            if let Some(lane) = self.lanes.get_mut(&endpoint) {
                lane.is_parked = false;
                self.turns.push_back(endpoint);
            }
        }
    }

    fn queue(&mut self, endpoint: EndpointId) {
        if let Some(lane) = self.lanes.get_mut(&endpoint)
            && lane.due
            && !lane.queued
            && lane.taken < lane.limit
        {
            lane.queued = true;
            lane.is_parked = lane.drags;
            if lane.drags { self.parked.push_back(endpoint) } else { self.turns.push_back(endpoint) }
        }
    }
}

#[cfg(test)]
mod tests;
