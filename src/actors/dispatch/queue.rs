//! The actor of one carrier's queue: who is next, on which link, and when.
//!
//! It owns the order and the pace of jobs, nothing that money depends on. A job that it loses by a panic is settled by
//! being dropped ([`Owed`]); an attempt that is under way when it dies is awaited by its task, which finds the next
//! incarnation. It never waits: slow links, settlements and timers are tasks that tell it when they are done.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::attempt::{Begun, Finished, UnderWay, announce, begin, follow};
use super::breaker::Breaker;
use super::drain::{Drain, Throughput};
use super::ending::{Owed, Waiting, Why};
use super::fair::FairQueue;
use super::held::HeldJobs;
use super::links::{Blocked, Links};
use super::meters::Meters;
use super::parts::{Parts, Times};
use crate::carrier::upstream::{Health, Outcome};

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
    /// Some instant has come that something waits for.
    Wake,
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
    held: HeldJobs,
    /// No queued job must leave earlier than this.
    look_at: Option<Instant>,
    /// The earliest wake that is on its way.
    wake_at: Option<Instant>,
    throughput: Throughput,
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
            queue: FairQueue::new(parts.times.within, parts.lane.rate()),
            held: HeldJobs::default(),
            look_at: None,
            wake_at: None,
            throughput: Throughput::new(now),
            drain: None,
            meters: Meters::new(&parts.carrier, parts.links.iter().map(|link| link.upstream.id())),
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
            Message::Wake => {}
            Message::Finish(done) => state.drain = Some(Drain::new(done, now + state.parts.times.drain_within)),
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
            Some(until) if until > now => self.held.hold(until, owed),
            _ => self.push(owed),
        }
    }

    fn push(&mut self, owed: Owed) {
        let waiting = owed.waiting();
        let (account, leave_by) = (waiting.job.account, waiting.leave_by);
        self.look_at.get_or_insert(leave_by);
        self.queue.push(account, leave_by, owed);
    }

    /// Brings everything as far as it can go now, and arms the wake for the rest.
    fn advance(&mut self, now: Instant) {
        while let Some(owed) = self.held.due(now) {
            self.push(owed);
        }
        let blocked = self.leave();
        self.expire(now);
        self.throughput.tell(&self.parts.lane, now);
        self.meters.queue(self.queue.len() + self.held.len(), self.parts.lane.taken());
        if self.drain.is_some() {
            self.drained(now);
        }
        self.arm(blocked, now);
    }

    /// Lets jobs leave, one account after the other, until no link takes another one.
    fn leave(&mut self) -> Option<Blocked> {
        loop {
            let now = Instant::now();
            let head = self.queue.peek(now)?;
            let waiting = head.waiting();
            let late = waiting.leave_by <= now || now + self.parts.times.attempt_needs > waiting.job.settle_by;
            if late {
                if let Some(owed) = self.queue.pop(now) {
                    self.too_late(owed);
                }
                continue;
            }
            match self.links.choose(now) {
                Ok(link) => {
                    if let Some(owed) = self.queue.pop(now) {
                        self.start(owed.leave(), link, now);
                    }
                }
                Err(blocked) => return Some(blocked),
            }
        }
    }

    /// Starts an attempt on a link that was chosen for it.
    fn start(&mut self, mut waiting: Box<Waiting>, at: usize, now: Instant) {
        self.throughput.left += 1;
        let attempt = announce(&self.parts, &mut waiting, now);
        if self.links.started(at) {
            self.show_links(now);
        }
        let link = self.links.get(at);
        match begin(&*link.upstream, attempt) {
            Begun::Done(outcome) => self.conclude(waiting, at, outcome, now, Instant::now()),
            Begun::Pending(future) => {
                let under_way = UnderWay { waiting, link: at, started: now, departed: link.depart() };
                follow(&self.parts, under_way, future);
            }
        }
    }

    fn finished(&mut self, finished: Finished, now: Instant) {
        let (UnderWay { waiting, link, started, departed }, outcome) = finished.take();
        drop(departed);
        self.conclude(waiting, link, outcome, started, now);
    }

    /// An attempt has its outcome.
    fn conclude(&mut self, waiting: Box<Waiting>, link: usize, outcome: Outcome, started: Instant, now: Instant) {
        self.meters.attempted(waiting.job.channels.first(), &outcome, now.saturating_duration_since(started));
        if matches!(outcome, Outcome::Accepted | Outcome::Ambiguous { .. }) {
            self.meters.acknowledged(self.parts.times.accepted_at(waiting.job.settle_by), now);
        }
        let was_up = self.links.is_up(link);
        if self.links.finished(link, &outcome, now) {
            self.meters.breaker_opened.increment(1);
        }
        if !(was_up && self.links.is_up(link)) {
            self.show_links(now);
        }
        let Times { within, attempt_needs, .. } = self.parts.times;
        if let Some(owed) = waiting.conclude(outcome, within, attempt_needs) {
            self.meters.fallbacks.increment(1);
            self.push(owed);
        }
    }

    fn too_late(&self, owed: Owed) {
        self.meters.expired.increment(1);
        owed.end(Why::TooLate);
    }

    /// Ends what can no longer leave in time.
    fn expire(&mut self, now: Instant) {
        if self.queue.is_empty() {
            if self.look_at.take().is_some() {
                self.meters.oldest(Duration::ZERO);
            }
            return;
        }
        if self.look_at.is_some_and(|look_at| look_at > now) {
            return;
        }
        for owed in self.queue.take_late(now) {
            self.too_late(owed);
        }
        let oldest = self.queue.heads().min();
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

    fn health(&mut self, link: usize, health: Health, now: Instant) {
        self.links.health(link, health);
        self.show_links(now);
    }

    /// Tells operators and new orders which links take work.
    fn show_links(&self, now: Instant) {
        self.links.sign(&self.parts.lane, now);
        for (at, gauge) in self.meters.links_up.iter().enumerate() {
            gauge.set(if self.links.is_up(at) { 1.0 } else { 0.0 });
        }
    }

    fn watch_health(&mut self) {
        for (link, upstream) in self.parts.links.iter().map(|link| &link.upstream).enumerate() {
            let (mut seen, queue) = (upstream.health(), self.myself.clone());
            self.watchers.spawn(async move {
                while seen.changed().await.is_ok() {
                    let health = *seen.borrow_and_update();
                    if queue.cast(Message::Health { link, health }).is_err() {
                        break;
                    }
                }
            });
        }
    }

    /// At a graceful stop: says so when everything has ended, or ends it when the time is over.
    fn drained(&mut self, now: Instant) {
        let Some(drain) = &mut self.drain else {
            return;
        };
        let out_of_time = drain.is_over(now);
        if out_of_time {
            while let Some(owed) = self.queue.pop(now) {
                owed.end(Why::TooLate);
            }
            self.held.drain().for_each(|owed| owed.end(Why::TooLate));
            self.look_at = None;
        }
        let running: usize = self.parts.links.iter().map(|link| link.running()).sum();
        let empty = self.queue.is_empty() && self.held.is_empty() && running == 0;
        if (empty || out_of_time)
            && let Some(farewell) = drain.farewell(&self.parts)
        {
            self.watchers.spawn(farewell);
        }
    }
}
