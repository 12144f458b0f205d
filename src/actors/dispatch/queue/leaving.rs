//! How jobs leave a queue, and what becomes of them after their attempt.

use tokio::time::Instant;

use super::State;
use crate::actors::dispatch::attempt::{Begun, Finished, UnderWay, announce, begin, follow};
use crate::actors::dispatch::ending::Owed;
use crate::actors::dispatch::links::Blocked;
use crate::actors::dispatch::waiting::{Next, Waiting};
use crate::carrier::upstream::Outcome;
use crate::domain::reference::UpstreamId;

/// Of jobs that some links must not take, so many are looked at for one that may leave.
const AGAIN_MAX: usize = 16;

impl State {
    /// Lets jobs leave, one account after the other, until no link takes another one.
    pub(super) fn leave(&mut self) -> Option<Blocked> {
        self.links.place();
        let (barred, blocked) = loop {
            self.another_again = false;
            let still = (self.leave_again(), self.leave_in_turn());
            // What a link did not send at once goes by another at once.
            if !self.another_again {
                break still;
            }
        };
        self.links.content();
        match (barred, blocked) {
            (Some(one), Some(other)) => Some(one.or(other)),
            (one, other) => one.or(other),
        }
    }

    /// Those first that not every link may take. One that no link may take for now holds up nobody else.
    fn leave_again(&mut self) -> Option<Blocked> {
        let (mut at, mut still) = (0, None::<Blocked>);
        while let Some(waiting) = self.again.get(at).filter(|_| at < AGAIN_MAX).map(Owed::waiting) {
            let now = Instant::now();
            let is_late = waiting.is_late(now, self.parts.times);
            let chosen = if is_late { None } else { Some(self.links.choose(now, |upstream| waiting.bars(upstream))) };
            // A link that it waited for may have gone down since. One that has not been tried yet may come back in time.
            let barred = |upstream: &UpstreamId| waiting.bars(upstream);
            let hopeless = !self.links.another(barred) && (!waiting.tried.is_empty() || !self.links.exists(barred));
            if let Some(Err(blocked)) = chosen
                && !hopeless
            {
                still = Some(still.map_or(blocked, |other| other.or(blocked)));
                at += 1;
                continue;
            }
            let Some(owed) = self.again.remove(at) else { break };
            match chosen {
                None => self.too_late(owed),
                Some(Ok(link)) => self.start(owed.leave(), link, now),
                Some(Err(_)) => {
                    let next = owed.give_up_channel(self.parts.times);
                    self.go_on(next);
                }
            }
        }
        still
    }

    fn leave_in_turn(&mut self) -> Option<Blocked> {
        loop {
            let now = Instant::now();
            let waiting = self.queue.peek(now)?.waiting();
            if waiting.is_late(now, self.parts.times) {
                if let Some(owed) = self.queue.pop(now) {
                    self.too_late(owed);
                }
                continue;
            }
            match self.links.choose(now, |_| false) {
                Ok(link) => {
                    if let Some(owed) = self.queue.pop(now) {
                        self.start(owed.leave(), link, now);
                    }
                }
                Err(blocked) => {
                    self.divert();
                    return Some(blocked);
                }
            }
        }
    }

    /// While no link takes work, what waits goes on to its next channel, as new orders do: if that takes work.
    fn divert(&mut self) {
        if !self.may_divert || self.links.another(|_| false) || !self.is_other_channel_open() {
            return;
        }
        self.may_divert = false;
        for owed in self.queue.take_if(|owed| owed.waiting().job.channels.after_first().is_some()) {
            let next = owed.give_up_channel(self.parts.times);
            self.go_on(next);
        }
    }

    fn is_other_channel_open(&self) -> bool {
        let other = self.parts.channel.other();
        let lanes = self.parts.lanes.upgrade();
        lanes.is_some_and(|lanes| {
            lanes.current().lane(&self.parts.carrier, other).is_some_and(|parts| parts.lane.is_open())
        })
    }

    /// Starts an attempt on a link that was chosen for it.
    fn start(&mut self, mut waiting: Box<Waiting>, at: usize, now: Instant) {
        let attempt = announce(&self.parts, &mut waiting, at, now);
        if self.links.started(at) {
            self.show_links(now);
        }
        let departed = self.parts.depart(at);
        match begin(&**self.links.get(at).upstream(), attempt) {
            Begun::Done(outcome) => {
                departed.heard();
                self.conclude(waiting, at, outcome, now, Instant::now());
            }
            Begun::Pending(future) => {
                // The place is the right to leave in time.
                waiting.job.slot.free();
                follow(&self.parts, UnderWay { waiting, link: at, started: now, departed }, future);
            }
        }
    }

    pub(super) fn finished(&mut self, finished: Finished, now: Instant) {
        let (UnderWay { waiting, link, started, departed }, outcome) = finished.take();
        departed.heard();
        self.conclude(waiting, link, outcome, started, now);
    }

    /// An attempt has its outcome.
    fn conclude(&mut self, waiting: Box<Waiting>, at: usize, outcome: Outcome, started: Instant, now: Instant) {
        let took = now.saturating_duration_since(started);
        self.meters.attempted(&outcome, took);
        self.links.get(at).attempted(&outcome, took);
        if matches!(outcome, Outcome::Accepted | Outcome::Ambiguous { .. }) {
            self.meters.acknowledged(self.parts.times.accepted_at(waiting.job.settle_by), now);
        }
        let was_up = self.links.is_up(at);
        if self.links.finished(at, &outcome, now) {
            self.meters.breaker_opened.increment(1);
        }
        if !(was_up && self.links.is_up(at)) {
            self.show_links(now);
        }
        let links = &self.links;
        let another = |waiting: &Waiting| links.another(|upstream| waiting.bars(upstream));
        let next = waiting.conclude(outcome, self.parts.times, self.links.get(at), another);
        self.go_on(next);
    }

    pub(super) fn go_on(&mut self, next: Next) {
        match next {
            Next::Nothing => {}
            Next::Link(mut owed) => {
                self.meters.tried_again.increment(1);
                if self.retired {
                    return self.hand_over(owed);
                }
                owed.move_to(&self.parts);
                self.push(owed);
            }
            Next::Channel(owed) => {
                self.meters.fallbacks.increment(1);
                self.hand_over(owed);
            }
        }
    }
}
