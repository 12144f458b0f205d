//! The actor of one shard: what it is told and whom it lets go first.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metrics::{Gauge, gauge};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::undecided::{Turn, Undecided};
use super::windows::Windows;
use super::{EnterError, Entry};
use crate::actors::supervise::Slot;
use crate::domain::delivery::WindowAfter;
use crate::domain::sealing::PhoneKey;
use crate::telemetry::names;

/// How long an order waits for the verdict of the one before it (contract §8).
const VERDICT_WAIT: Duration = Duration::from_millis(250);
/// How often a shard forgets what is over.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) enum Verdict {
    Claimed { at: Instant },
    Elsewhere(Duration),
    Free,
}

#[derive(Debug)]
pub(super) enum Message {
    Enter {
        phone: PhoneKey,
        reply: oneshot::Sender<Result<Entry, EnterError>>,
    },
    Decided {
        phone: PhoneKey,
        ticket: u64,
        verdict: Verdict,
    },
    Left {
        phone: PhoneKey,
        at: Instant,
    },
    Refused {
        phone: PhoneKey,
    },
    Ended {
        phone: PhoneKey,
        after: WindowAfter,
    },
    /// Some waiter may have waited long enough.
    Impatient,
    Sweep,
    #[cfg(test)]
    Panic,
}

pub(super) struct Shard {
    number: usize,
    slot: Slot<Message>,
    /// Shared by all shards and incarnations, so that the word of an old entry is never taken for a new one's.
    tickets: Arc<AtomicU64>,
}

pub(super) struct State {
    windows: Windows,
    undecided: Undecided<oneshot::Sender<Result<Entry, EnterError>>>,
    remembered: Gauge,
}

impl Shard {
    pub(super) fn new(number: usize, slot: Slot<Message>, tickets: Arc<AtomicU64>) -> Self {
        Self { number, slot, tickets }
    }
}

impl Actor for Shard {
    type Msg = Message;
    type State = State;
    type Arguments = ();

    async fn pre_start(&self, shard: ActorRef<Message>, (): ()) -> Result<State, ActorProcessingErr> {
        shard.send_interval(SWEEP_EVERY, || Message::Sweep);
        Ok(State {
            windows: Windows::new(Instant::now()),
            undecided: Undecided::default(),
            remembered: gauge!(names::COOLDOWN_WINDOWS, "shard" => self.number.to_string()),
        })
    }

    async fn handle(
        &self,
        shard: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let now = Instant::now();
        match message {
            Message::Enter { phone, reply } => self.enter(state, &shard, phone, reply, now),
            Message::Decided { phone, ticket, verdict } => self.decided(state, phone, ticket, &verdict, now),
            Message::Left { phone, at } => state.windows.left(phone, at, now),
            Message::Refused { phone } => state.windows.refused(phone, now),
            Message::Ended { phone, after } => state.windows.ended(phone, after, now),
            Message::Impatient => give_up(state, &shard, now),
            Message::Sweep => sweep(state, now),
            #[cfg(test)]
            Message::Panic => panic!("on purpose"),
        }
        Ok(())
    }
}

impl Shard {
    fn enter(
        &self,
        state: &mut State,
        shard: &ActorRef<Message>,
        phone: PhoneKey,
        reply: oneshot::Sender<Result<Entry, EnterError>>,
        now: Instant,
    ) {
        if let Some(remaining) = state.windows.remaining(phone, now) {
            let _gone = reply.send(Err(EnterError::CoolingDown { remaining }));
            return;
        }
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        match state.undecided.arrive(phone, ticket, reply, now + VERDICT_WAIT) {
            Turn::Now(reply) => self.grant(state, phone, ticket, reply, now),
            Turn::Later { first_waiter: true } => wake_later(shard, VERDICT_WAIT),
            Turn::Later { first_waiter: false } => {}
        }
    }

    /// Gives the turn. If nobody takes it, the entry comes back at once and frees the phone by being dropped.
    fn grant(
        &self,
        state: &State,
        phone: PhoneKey,
        ticket: u64,
        reply: oneshot::Sender<Result<Entry, EnterError>>,
        now: Instant,
    ) {
        let not_before = state.windows.not_before(phone, now);
        let _gone = reply.send(Ok(Entry { phone, ticket, not_before, shard: self.slot.clone(), told: false }));
    }

    fn decided(&self, state: &mut State, phone: PhoneKey, ticket: u64, verdict: &Verdict, now: Instant) {
        match *verdict {
            Verdict::Claimed { at } => state.windows.claimed(phone, at),
            Verdict::Elsewhere(remaining) => state.windows.elsewhere(phone, remaining, now),
            Verdict::Free => {}
        }
        if !state.undecided.decided(phone, ticket) {
            return;
        }
        if let Some(remaining) = state.windows.remaining(phone, now) {
            for reply in state.undecided.dismiss(phone) {
                let _gone = reply.send(Err(EnterError::CoolingDown { remaining }));
            }
        } else if let Some((ticket, reply)) = state.undecided.next(phone) {
            self.grant(state, phone, ticket, reply, now);
        }
    }
}

fn give_up(state: &mut State, shard: &ActorRef<Message>, now: Instant) {
    for reply in state.undecided.impatient(now) {
        let _gone = reply.send(Err(EnterError::Busy));
    }
    if let Some(next) = state.undecided.next_deadline() {
        wake_later(shard, next.saturating_duration_since(now));
    }
}

fn wake_later(shard: &ActorRef<Message>, after: Duration) {
    shard.send_after(after, || Message::Impatient);
}

fn sweep(state: &mut State, now: Instant) {
    state.windows.sweep(now);
    state.remembered.set(f64::from(u32::try_from(state.windows.len()).unwrap_or(u32::MAX)));
}
