//! Cooldown: this node's memory of phones, a quick no.
//!
//! It owns the order in which this node's orders for one phone are decided: one at a time, the next one waits for the
//! verdict, at most 250 ms. It remembers the windows of this node's own deliveries and the earliest instant at which a
//! phone may leave again, and, for a second at most, windows that the database said others hold.
//!
//! It never says yes: the database decides. A shard that starts again has forgotten everything, which costs a look at the
//! database and nothing else; an [`Entry`] whose shard has died ends without effect.

mod undecided;
mod windows;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metrics::{Counter, Gauge, counter, gauge};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;
use tokio::time::Instant;

use self::undecided::{Turn, Undecided};
use self::windows::Windows;
use super::supervise::{Budget, Child, Slot};
use crate::domain::delivery::WindowAfter;
use crate::domain::sealing::PhoneKey;
use crate::telemetry::names;

/// How long an order waits for the verdict of the one before it (contract §8).
const VERDICT_WAIT: Duration = Duration::from_millis(250);
/// How often a shard forgets what is over.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// Enough that no shard is the bottleneck; a power of two.
const SHARDS: usize = 8;

/// Why an order may not be decided now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EnterError {
    /// The phone's window has this much left.
    #[error("the phone is cooling down")]
    CoolingDown { remaining: Duration },
    /// Other orders for the phone stayed undecided for the whole wait.
    #[error("other orders for the phone are undecided")]
    Busy,
}

/// The handle. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Cooldown {
    shards: Arc<[Slot<Message>]>,
    refused: Counter,
}

/// One order's turn to be decided. Dropped without a word it frees the phone.
#[derive(Debug)]
#[must_use = "an entry that is dropped frees the phone"]
pub struct Entry {
    phone: PhoneKey,
    ticket: u64,
    not_before: Option<Instant>,
    shard: Slot<Message>,
    told: bool,
}

impl Entry {
    /// The earliest instant at which the delivery may leave: 30 s after the phone's last one left this node.
    #[must_use]
    pub const fn not_before(&self) -> Option<Instant> {
        self.not_before
    }

    /// Tells that the database gave the window to this order.
    pub fn claimed(self) {
        self.tell(Verdict::Claimed { at: Instant::now() });
    }

    /// Tells that the database knows of somebody else's window.
    pub fn cooling_elsewhere(self, remaining: Duration) {
        self.tell(Verdict::Elsewhere(remaining));
    }

    /// Tells that nobody holds the phone: refused for another reason, or undone.
    pub fn free(self) {
        self.tell(Verdict::Free);
    }

    fn tell(mut self, verdict: Verdict) {
        self.told = true;
        let message = Message::Decided { phone: self.phone, ticket: self.ticket, verdict };
        // A shard that is down has nothing to be told.
        let _down = self.shard.cast(message);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if !self.told {
            let free = Message::Decided { phone: self.phone, ticket: self.ticket, verdict: Verdict::Free };
            let _down = self.shard.cast(free);
        }
    }
}

impl Cooldown {
    /// Makes the handle and the branch of the tree that it speaks to.
    #[must_use]
    pub fn new() -> (Self, Child) {
        let tickets = Arc::new(AtomicU64::new(0));
        let shards: Arc<[Slot<Message>]> = (0..SHARDS).map(|_| Slot::vacant()).collect();
        let children = shards.iter().enumerate().map(|(number, slot)| {
            let (own, tickets) = (slot.clone(), Arc::clone(&tickets));
            Child::actor("cooldown shard", slot, move || {
                (Shard { number, slot: own.clone(), tickets: Arc::clone(&tickets) }, ())
            })
        });
        let branch = Child::supervisor("cooldown", Budget::default(), children.collect());
        (Self { shards, refused: counter!(names::COOLDOWN_REFUSED) }, branch)
    }

    /// Waits for this order's turn at its phone, at most 250 ms.
    ///
    /// # Errors
    /// [`EnterError`]: answer without asking the database.
    pub async fn enter(&self, phone: PhoneKey) -> Result<Entry, EnterError> {
        let shard = self.shard(phone);
        let (reply, turn) = oneshot::channel();
        if shard.cast(Message::Enter { phone, reply }).is_ok()
            && let Ok(turn) = turn.await
        {
            if turn.is_err() {
                self.refused.increment(1);
            }
            return turn;
        }
        // Nobody is alive to remember the phone: the database decides without a first opinion.
        Ok(Entry { phone, ticket: u64::MAX, not_before: None, shard: shard.clone(), told: true })
    }

    /// Tells that an attempt to the phone started at `at`.
    pub fn left(&self, phone: PhoneKey, at: Instant) {
        let _down = self.shard(phone).cast(Message::Left { phone, at });
    }

    /// Tells what becomes of the phone's window after the end of the delivery that owned it.
    pub fn window(&self, phone: PhoneKey, after: WindowAfter) {
        if after != WindowAfter::Keep {
            let _down = self.shard(phone).cast(Message::Ended { phone, after });
        }
    }

    /// The key is a keyed hash: its high bits choose the shard, its low ones the place in the shard's table.
    fn shard(&self, phone: PhoneKey) -> &Slot<Message> {
        let bits = phone.number().to_be_bytes();
        &self.shards[usize::from(bits[1]) % SHARDS]
    }
}

#[derive(Debug)]
enum Verdict {
    Claimed { at: Instant },
    Elsewhere(Duration),
    Free,
}

#[derive(Debug)]
enum Message {
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

struct Shard {
    number: usize,
    slot: Slot<Message>,
    /// Shared by all shards and incarnations, so that the word of an old entry is never taken for a new one's.
    tickets: Arc<AtomicU64>,
}

struct State {
    windows: Windows,
    undecided: Undecided<oneshot::Sender<Result<Entry, EnterError>>>,
    remembered: Gauge,
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

#[cfg(test)]
mod tests;
