//! Cooldown: this node's memory of phones, a quick no.
//!
//! It owns the order in which this node's orders for one phone are decided: one at a time, the next one waits for the
//! verdict, at most 250 ms. It remembers the windows of this node's own deliveries and the earliest instant at which a
//! phone may leave again, and, for a second at most, windows that the database said others hold.
//!
//! It never says yes: the database decides. A shard that starts again has forgotten everything. For the windows that costs
//! a look at the database; for the instants at which phones left it costs precision: until those 30 s are over, two
//! dispatches to one phone may come as near as two nodes' may (30 s − `dispatch_within`), with the carrier's own limit
//! behind. An [`Entry`] whose shard has died ends without effect.

mod shard;
mod undecided;
mod windows;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use metrics::{Counter, counter};
use tokio::sync::oneshot;
use tokio::time::Instant;

use self::shard::{Message, Shard, Verdict};
use crate::actors::supervise::{Budget, Child, Slot};
use crate::domain::delivery::WindowAfter;
use crate::domain::sealing::PhoneKey;
use crate::telemetry::names;

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
            Child::actor("cooldown shard", slot, move || (Shard::new(number, own.clone(), Arc::clone(&tickets)), ()))
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

    /// Tells that the attempt which started last was refused: the phone was not called.
    pub fn refused(&self, phone: PhoneKey) {
        let _down = self.shard(phone).cast(Message::Refused { phone });
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

#[cfg(test)]
mod tests;
