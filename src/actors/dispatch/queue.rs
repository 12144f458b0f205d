//! The actor of one carrier's queue: who is next, on which link, and when.
//!
//! It owns the order and the pace of jobs, nothing that money depends on. A job that it loses by a panic is settled by
//! being dropped ([`Owed`]); an attempt that is under way when it dies is awaited by its task, which finds the next
//! incarnation. It never waits: slow links, settlements and timers are tasks that tell it when they are done.

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::attempt::{Begun, Finished, begin, outcome_by};
use super::breaker::Breaker;
use super::drain::{Drain, Throughput};
use super::ending::{Owed, Waiting, Why};
use super::jobs::Jobs;
use super::links::{Blocked, Links};
use super::meters::Meters;
use super::parts::{Parts, Times};
use crate::actors::tracking::InFlight;
use crate::carrier::upstream::{Attempt, Health, Outcome};

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
    jobs: Jobs,
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
            jobs: Jobs::default(),
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
            Message::Enqueue(owed) => state.jobs.enqueue(owed, now),
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
    /// Brings everything as far as it can go now, and arms the wake for the rest.
    fn advance(&mut self, now: Instant) {
        self.jobs.release(now);
        let blocked = self.leave();
        self.expire(now);
        self.throughput.tell(&self.parts.lane, now);
        self.meters.queue(self.jobs.len(), self.parts.lane.taken());
        if self.drain.is_some() {
            self.drained(now);
        }
        self.arm(blocked, now);
    }

    /// Lets jobs leave, one account after the other, until no link takes another one.
    fn leave(&mut self) -> Option<Blocked> {
        while let Some(head) = self.jobs.peek() {
            let now = Instant::now();
            let waiting = head.waiting();
            let late = waiting.leave_by <= now || now + self.parts.times.attempt_needs > waiting.job.settle_by;
            if late {
                if let Some(owed) = self.jobs.pop() {
                    self.too_late(owed);
                }
                continue;
            }
            match self.links.choose(now) {
                Ok(link) => {
                    if let Some(owed) = self.jobs.pop() {
                        self.start(owed.leave(), link, now);
                    }
                }
                Err(blocked) => return Some(blocked),
            }
        }
        None
    }

    /// Starts an attempt on a link that was chosen for it.
    fn start(&mut self, mut waiting: Box<Waiting>, at: usize, now: Instant) {
        self.throughput.left += 1;
        let parts = &self.parts;
        let fallback = waiting.fallback();
        let job = &waiting.job;
        let channel = job.channels.first();
        parts.ender.neighbours.left(job.phone_key, now);
        parts.ender.neighbours.watch(InFlight {
            delivery: job.delivery,
            carrier: parts.carrier.clone(),
            channel,
            price: job.route.price,
            accepted_at: parts.times.accepted_at(job.settle_by),
            settle_by: job.settle_by,
            fallback,
        });
        let attempt = Attempt {
            delivery: job.delivery,
            phone: job.phone,
            carrier: parts.carrier.clone(),
            channel,
            code: job.code.clone(),
            settle_by: job.settle_by,
        };
        if self.links.started(at) {
            self.show_links(now);
        }
        let link = self.links.get(at);
        match begin(&*link.upstream, attempt) {
            Begun::Done(outcome) => self.conclude(waiting, at, outcome, now, Instant::now()),
            Begun::Pending(future) => {
                let (parts, departed) = (Arc::clone(&self.parts), link.depart());
                self.parts.attempts.spawn(async move {
                    let outcome = outcome_by(now + parts.times.attempt_timeout, future).await;
                    let finished = Finished { waiting, link: at, started: now, outcome, departed };
                    if let Err(Message::Finished(orphan)) = parts.mailbox.cast(Message::Finished(Box::new(finished))) {
                        // Nobody lives who could try another channel: a job that is owed one is settled by being dropped.
                        let Times { within, attempt_needs, .. } = parts.times;
                        let _settled = orphan.waiting.conclude(orphan.outcome, within, attempt_needs);
                    }
                });
            }
        }
    }

    fn finished(&mut self, finished: Finished, now: Instant) {
        let Finished { waiting, link, started, outcome, departed } = finished;
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
            self.jobs.push(owed);
        }
    }

    fn too_late(&self, owed: Owed) {
        self.meters.expired.increment(1);
        owed.end(Why::TooLate);
    }

    /// Ends what can no longer leave in time.
    fn expire(&mut self, now: Instant) {
        let Some(over) = self.jobs.look(now) else {
            return;
        };
        for owed in over {
            self.too_late(owed);
        }
        self.meters.oldest(self.jobs.oldest_age(now, self.parts.times.within));
    }

    /// Has a wake come when the next thing is due.
    fn arm(&mut self, blocked: Option<Blocked>, now: Instant) {
        let blocked = match blocked {
            Some(Blocked::Until(until)) => Some(until),
            Some(Blocked::Unknown) | None => None,
        };
        let drain = self.drain.as_ref().and_then(Drain::next_look);
        let Some(next) = [blocked, self.jobs.next_look(), drain].into_iter().flatten().min() else {
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
            self.jobs.take_all().into_iter().for_each(|owed| owed.end(Why::TooLate));
        }
        let running: usize = self.parts.links.iter().map(|link| link.running()).sum();
        let empty = self.jobs.len() == 0 && running == 0;
        if (empty || out_of_time)
            && let Some(farewell) = drain.farewell(&self.parts)
        {
            self.watchers.spawn(farewell);
        }
    }
}
