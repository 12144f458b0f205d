//! The actor of one queue, of a carrier and a channel: who is next, on which link, and when.
//!
//! It owns the order and the pace of jobs, nothing that money depends on. A job that it loses by a panic is settled by
//! being dropped ([`Owed`]); an attempt that is under way when it dies is awaited by its task, which finds the next
//! incarnation. It never waits: slow links, settlements and timers are tasks that tell it when they are done.

mod leaving;
mod seeing;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::attempt::Finished;
use super::breaker::Breaker;
use super::drain::Drain;
use super::ending::{Owed, Why};
use super::fair::FairQueue;
use super::held::HeldJobs;
use super::links::{Blocked, Links};
use super::meters::Meters;
use super::parts::{Parts, Times};
use crate::carrier::upstream::Health;

/// Jobs that could not leave in time are settled this much later at most.
const EXPIRE_EVERY: Duration = Duration::from_millis(20);
/// How old the oldest job is, is looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) enum Message {
    Enqueue(Owed),
    Finished(Box<Finished>),
    Health {
        link: usize,
        health: Health,
    },
    /// Something that the queue waits for has come: an instant, a turn or a place at a link, a pause or its end.
    Wake,
    /// Others are there instead: give them what waits.
    Retire,
    /// Bring what is queued to its end, close the links, then say so.
    Finish(oneshot::Sender<()>),
    #[cfg(test)]
    Panic,
}

pub(super) struct Queue;

pub(super) struct State {
    parts: Arc<Parts>,
    myself: ActorRef<Message>,
    links: Links,
    queue: FairQueue<Owed>,
    /// Jobs that some links must not take, before all others: most of them had their turn.
    again: VecDeque<Owed>,
    /// One came since they were last looked at.
    another_again: bool,
    held: HeldJobs,
    /// Some that wait in turn may have another channel to go to.
    may_divert: bool,
    /// Others are there instead.
    retired: bool,
    /// No queued job must leave earlier than this.
    look_at: Option<Instant>,
    /// The earliest wake that is on its way.
    wake_at: Option<Instant>,
    /// When it was last looked at how fast the links answer.
    measured_at: Instant,
    drain: Option<Drain>,
    meters: Meters,
    /// Watches the health of links; ends with the incarnation.
    watchers: JoinSet<()>,
}

impl Actor for Queue {
    type Msg = Message;
    type State = State;
    type Arguments = Arc<Parts>;

    async fn pre_start(&self, myself: ActorRef<Message>, parts: Arc<Parts>) -> Result<State, ActorProcessingErr> {
        let now = Instant::now();
        let breaker = || Breaker::new(parts.breaker_failures, parts.times.breaker_rest);
        let mut state = State {
            links: Links::new(&parts.links, breaker),
            queue: FairQueue::new(parts.times.within, parts.lane.speed()),
            again: VecDeque::new(),
            another_again: false,
            held: HeldJobs::default(),
            may_divert: false,
            retired: false,
            look_at: None,
            wake_at: None,
            measured_at: now,
            drain: None,
            meters: Meters::new(&parts.carrier, parts.channel),
            watchers: JoinSet::new(),
            parts,
            myself,
        };
        state.watch_health();
        state.show_links(now);
        Ok(state)
    }

    async fn handle(
        &self,
        _: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let now = Instant::now();
        match message {
            Message::Enqueue(owed) => state.enqueue(owed, now),
            Message::Finished(finished) => state.finished(*finished, now),
            Message::Health { link, health } => state.health(link, health, now),
            Message::Wake => state.look_at_pauses(now),
            Message::Retire => state.retire(),
            Message::Finish(done) => state.finish(done, now),
            #[cfg(test)]
            Message::Panic => panic!("on purpose"),
        }
        state.advance(now);
        Ok(())
    }
}

impl State {
    fn enqueue(&mut self, owed: Owed, now: Instant) {
        let waiting = owed.waiting();
        match waiting.job.not_before {
            _ if self.retired => self.hand_over(owed),
            Some(until) if until > now => self.held.hold(until, owed),
            _ => self.push(owed),
        }
    }

    fn push(&mut self, owed: Owed) {
        let waiting = owed.waiting();
        let (account, leave_by) = (waiting.job.account, waiting.leave_by);
        self.look_at = Some(self.look_at.map_or(leave_by, |look_at| look_at.min(leave_by)));
        if waiting.is_free() {
            self.may_divert |= waiting.job.channels.after_first().is_some();
            self.queue.push(account, leave_by, owed);
        } else {
            self.again.push_back(owed);
            self.another_again = true;
        }
    }

    /// Brings everything as far as it can go now, and arms the wake for the rest.
    fn advance(&mut self, now: Instant) {
        while let Some(owed) = self.held.due(now) {
            self.push(owed);
        }
        let blocked = self.leave();
        self.expire(now);
        self.measure(now);
        if !self.retired {
            self.meters.queue(self.waiting(), self.parts.lane.taken());
        }
        if self.drain.is_some() {
            self.drained(now);
        }
        self.arm(blocked, now);
    }

    /// How many jobs wait.
    fn waiting(&self) -> usize {
        self.queue.len() + self.again.len() + self.held.len()
    }

    /// It could not leave in time by this channel: it takes its next one, or ends.
    fn too_late(&mut self, owed: Owed) {
        self.meters.expired.increment(1);
        let next = owed.give_up_channel(self.parts.times);
        self.go_on(next);
    }

    /// Ends what can no longer leave in time.
    fn expire(&mut self, now: Instant) {
        if self.queue.is_empty() && self.again.is_empty() {
            if self.look_at.take().is_some() {
                self.meters.oldest(Duration::ZERO);
            }
            return;
        }
        if self.look_at.is_some_and(|look_at| look_at > now) {
            return;
        }
        let again = std::mem::take(&mut self.again).into_iter();
        let (late, left): (Vec<_>, Vec<_>) = again.partition(|owed| owed.waiting().leave_by <= now);
        self.again = left.into();
        for owed in self.queue.take_late(now).into_iter().chain(late) {
            self.too_late(owed);
        }
        let again = self.again.iter().map(|owed| owed.waiting().leave_by);
        let oldest = self.queue.heads().chain(again).min();
        self.look_at = oldest.map(|leave_by| leave_by.clamp(now + EXPIRE_EVERY, now + LOOK_EVERY));
        let age =
            oldest.map(|leave_by| self.parts.times.within.saturating_sub(leave_by.saturating_duration_since(now)));
        self.meters.oldest(age.unwrap_or_default());
    }

    /// Has a wake come when the next thing is due.
    fn arm(&mut self, blocked: Option<Blocked>, now: Instant) {
        let blocked = match blocked {
            Some(Blocked::Until(until)) => Some(until),
            Some(Blocked::Unknown) | None => None,
        };
        let drain = self.drain.as_ref().and_then(Drain::next_look);
        let Some(next) = [blocked, self.held.next(), self.look_at, drain].into_iter().flatten().min() else {
            return;
        };
        if self.wake_at.is_none_or(|armed| armed <= now || next < armed) {
            self.wake_at = Some(next);
            self.myself.send_after(next.saturating_duration_since(now), || Message::Wake);
        }
    }

    /// From now on the queue only awaits its attempts.
    fn retire(&mut self) {
        self.retired = true;
        self.meters.oldest(Duration::ZERO);
        if !self.parts.has_successor() {
            self.meters.open(false);
            self.meters.queue(0, 0);
        }
        self.take_all().into_iter().for_each(|owed| self.hand_over(owed));
    }

    /// Gives a job to whatever queue is there for it now.
    fn hand_over(&self, owed: Owed) {
        // Without any, the house is gone: it is settled by being dropped.
        if let Some(lanes) = self.parts.lanes.upgrade() {
            lanes.hand_over(owed);
        }
    }

    /// Everything that waits, in the order in which it would have left.
    fn take_all(&mut self) -> Vec<Owed> {
        let now = Instant::now();
        let queued = std::iter::from_fn(|| self.queue.pop(now));
        let jobs = self.again.drain(..).chain(queued).chain(self.held.drain()).collect();
        self.look_at = None;
        jobs
    }

    fn finish(&mut self, done: oneshot::Sender<()>, now: Instant) {
        // What is no more has only attempts to wait for; who stops the house waits for no longer than it must.
        let Times { attempt_timeout, drain_within, .. } = self.parts.times;
        let first = self.drain.is_none();
        let within = if first && self.retired { attempt_timeout.max(drain_within) } else { drain_within };
        self.drain.get_or_insert_with(|| Drain::new(now + within)).asked(done, now + within);
    }

    /// At the end of the queue: says so when everything has ended, or ends it when the time is over.
    fn drained(&mut self, now: Instant) {
        let Some(drain) = &mut self.drain else {
            return;
        };
        let out_of_time = drain.is_over(now);
        if out_of_time {
            self.take_all().into_iter().for_each(|owed| owed.end(Why::TooLate));
        }
        let empty = self.waiting() == 0 && self.parts.running() == 0;
        if (empty || out_of_time)
            && let Some(farewell) = self.drain.as_mut().and_then(|drain| drain.farewell(&self.parts))
        {
            self.watchers.spawn(farewell);
        }
    }
}
