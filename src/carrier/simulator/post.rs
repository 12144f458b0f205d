//! Receipts on their way: one heap by due time, one task that puts what is due into the sink.
//!
//! A waiting receipt costs 32 bytes and no timer. Many are put at once, because a sink commits them in groups; one that
//! is not durable comes again, later each time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::status;
use crate::carrier::upstream::{FailureClass, NotDurable, Receipt, ReceiptSink, ReceiptState, UpstreamId};
use crate::domain::carrier::Channel;
use crate::domain::ids::DeliveryId;

/// Receipts that are being made durable at once.
const PUTTING_MAX: usize = 4_096;
/// The wait before a receipt that was not durable comes again; it doubles each time.
const AGAIN: Duration = Duration::from_millis(100);
const AGAIN_MAX: Duration = Duration::from_secs(5);

/// One receipt that waits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Due {
    /// Microseconds after the post's epoch.
    at_us: u64,
    delivery: DeliveryId,
    channel: Channel,
    state: Word,
    tries: u8,
}

/// A [`ReceiptState`] that can be ordered and packed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Word(u8);

const CLASSES: [FailureClass; 6] = [
    FailureClass::Unreachable,
    FailureClass::InvalidNumber,
    FailureClass::Rejected,
    FailureClass::Congestion,
    FailureClass::Misconfigured,
    FailureClass::Expired,
];

impl Word {
    fn new(state: ReceiptState) -> Self {
        Self(match state {
            ReceiptState::InProgress => 0,
            ReceiptState::Delivered => 1,
            ReceiptState::Failed(class) => {
                let place = CLASSES.iter().position(|known| *known == class).unwrap_or(0);
                u8::try_from(place + 2).unwrap_or(2)
            }
        })
    }

    /// The state and what SMPP calls it.
    fn state(self) -> (ReceiptState, &'static str) {
        match self.0 {
            0 => (ReceiptState::InProgress, "ENROUTE"),
            1 => (ReceiptState::Delivered, "DELIVRD"),
            word => {
                let class = CLASSES.get(usize::from(word) - 2).copied().unwrap_or(FailureClass::Rejected);
                let text = match class {
                    FailureClass::Expired => "EXPIRED",
                    FailureClass::Rejected | FailureClass::Misconfigured => "REJECTD",
                    FailureClass::Unreachable | FailureClass::InvalidNumber | FailureClass::Congestion => "UNDELIV",
                };
                (ReceiptState::Failed(class), text)
            }
        }
    }
}

#[derive(Debug)]
struct Waiting {
    heap: BinaryHeap<Reverse<Due>>,
    /// When the task looks next by itself; a receipt that is due earlier rings.
    looks_at_us: u64,
    putting: usize,
}

/// The receipts of one simulated carrier.
#[derive(Debug)]
pub(super) struct Post {
    id: UpstreamId,
    epoch: Instant,
    waiting: Mutex<Waiting>,
    bell: Notify,
}

type Put = BoxFuture<'static, (Due, Result<(), NotDurable>)>;

impl Post {
    pub(super) fn new(id: UpstreamId) -> Self {
        let waiting = Waiting { heap: BinaryHeap::new(), looks_at_us: u64::MAX, putting: 0 };
        Self { id, epoch: Instant::now(), waiting: Mutex::new(waiting), bell: Notify::new() }
    }

    pub(super) fn push(&self, at: Instant, delivery: DeliveryId, channel: Channel, state: ReceiptState) {
        self.add(Due { at_us: self.micros(at), delivery, channel, state: Word::new(state), tries: 0 });
    }

    /// Receipts that are not durable yet.
    pub(super) fn waiting(&self) -> usize {
        let waiting = self.lock();
        waiting.heap.len() + waiting.putting
    }

    /// Puts what is due into `sink`, for ever.
    pub(super) async fn deliver(self: Arc<Self>, sink: Arc<dyn ReceiptSink>) {
        let mut putting: FuturesUnordered<Put> = FuturesUnordered::new();
        let mut due = Vec::new();
        loop {
            let looks_at = self.take_due(putting.len(), &mut due);
            putting.extend(due.drain(..).map(|due| self.put(&*sink, due)));
            tokio::select! {
                Some((due, result)) = putting.next() => self.settled(due, result),
                () = self.bell.notified() => {}
                () = sleep_until(looks_at.unwrap_or(self.epoch)), if looks_at.is_some() => {}
            }
            // A sink commits in groups: where one is durable, many are.
            while let Some(Some((due, result))) = putting.next().now_or_never() {
                self.settled(due, result);
            }
        }
    }

    /// Moves what is due into `due`, as much as may be put at once. Returns when to look again, if time decides that.
    fn take_due(&self, putting: usize, due: &mut Vec<Due>) -> Option<Instant> {
        let now_us = self.micros(Instant::now());
        let mut waiting = self.lock();
        while putting + due.len() < PUTTING_MAX
            && let Some(Reverse(first)) = waiting.heap.peek()
            && first.at_us <= now_us
        {
            due.extend(waiting.heap.pop().map(|Reverse(due)| due));
        }
        waiting.putting = putting + due.len();
        // With no room left the next put that is done looks again; until then nobody needs to ring.
        let full = waiting.putting >= PUTTING_MAX;
        let next = if full { Some(0) } else { waiting.heap.peek().map(|Reverse(next)| next.at_us) };
        waiting.looks_at_us = next.unwrap_or(u64::MAX);
        if waiting.heap.len() < waiting.heap.capacity() / 4 {
            let len = waiting.heap.len();
            waiting.heap.shrink_to(len * 2);
        }
        next.filter(|_| !full).map(|at_us| self.epoch + Duration::from_micros(at_us))
    }

    fn put(&self, sink: &dyn ReceiptSink, due: Due) -> Put {
        let (state, text) = due.state.state();
        let put = sink.put(Receipt {
            upstream: self.id.clone(),
            delivery: due.delivery,
            channel: due.channel,
            state,
            status: status(text),
        });
        Box::pin(put.map(move |result| (due, result)))
    }

    fn settled(&self, due: Due, result: Result<(), NotDurable>) {
        if result.is_err() {
            let wait = AGAIN.saturating_mul(1 << due.tries.min(6)).min(AGAIN_MAX);
            let at_us = self.micros(Instant::now() + wait);
            self.add(Due { at_us, tries: due.tries.saturating_add(1), ..due });
        }
    }

    fn add(&self, due: Due) {
        let mut waiting = self.lock();
        let rings = due.at_us < waiting.looks_at_us;
        if rings {
            waiting.looks_at_us = due.at_us;
        }
        waiting.heap.push(Reverse(due));
        drop(waiting);
        if rings {
            self.bell.notify_one();
        }
    }

    /// Rounded up: a receipt never comes early.
    fn micros(&self, at: Instant) -> u64 {
        let nanos = at.saturating_duration_since(self.epoch).as_nanos();
        u64::try_from(nanos.div_ceil(1_000)).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiting_receipt_costs_32_bytes() {
        assert_eq!(size_of::<Reverse<Due>>(), 32);
    }

    #[test]
    fn every_state_packs_and_unpacks() {
        let failed = CLASSES.map(ReceiptState::Failed);
        for state in failed.into_iter().chain([ReceiptState::InProgress, ReceiptState::Delivered]) {
            assert_eq!(Word::new(state).state().0, state);
        }
    }
}
