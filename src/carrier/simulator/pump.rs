//! The receipts that a simulated carrier has yet to report, and the one task that reports them.
//!
//! A receipt that could not be made durable is reported again later, as a real carrier's would be. What is left when the
//! carrier stops is lost, which the settle clock is there for.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::carrier::upstream::{NotDurable, Receipt, ReceiptSink, ReceiptState, Subject};
use crate::domain::carrier::Channel;
use crate::domain::delivery::CarrierStatus;
use crate::domain::ids::DeliveryId;
use crate::domain::reference::UpstreamId;

/// Receipts that may be on their way into the sink at once.
const REPORTING_MAX: usize = 4_096;
const REPEAT_AFTER: Duration = Duration::from_millis(200);
const REPEAT_AFTER_MAX: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub(super) struct Pump {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    id: UpstreamId,
    owed: Mutex<Owed>,
    /// Something is due earlier than what the task sleeps for.
    earlier: Notify,
    stopped: AtomicBool,
}

/// What has not been reported for good.
#[derive(Debug, Default)]
struct Owed {
    due: BinaryHeap<Reverse<Due>>,
    /// On their way into the sink.
    reporting: usize,
    /// When the task looks again by itself; what is due earlier wakes it.
    looks_at: Option<Instant>,
}

/// A receipt on its way into the sink.
type Reporting = BoxFuture<'static, (Due, Result<(), NotDurable>)>;

/// One receipt and when it is to be reported. Small: a carrier may owe hundreds of thousands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Due {
    at: Instant,
    delivery: DeliveryId,
    channel: Channel,
    state: ReceiptState,
    status: &'static str,
    repeats: u8,
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Pump {
    pub(super) fn new(id: UpstreamId) -> Self {
        let (owed, earlier) = (Mutex::default(), Notify::new());
        Self { shared: Arc::new(Shared { id, owed, earlier, stopped: AtomicBool::new(false) }) }
    }

    /// Receipts that are not durable yet.
    pub(super) fn waiting(&self) -> usize {
        let owed = self.owed();
        owed.due.len() + owed.reporting
    }

    pub(super) fn schedule(
        &self,
        at: Instant,
        delivery: DeliveryId,
        channel: Channel,
        state: ReceiptState,
        status: &'static str,
    ) {
        self.push(Due { at, delivery, channel, state, status, repeats: 0 });
    }

    pub(super) fn stop(&self) {
        self.shared.stopped.store(true, Ordering::Release);
        self.shared.earlier.notify_one();
    }

    /// Reports what is due until the carrier stops.
    pub(super) async fn run(self, sink: Arc<dyn ReceiptSink>) {
        let mut reporting: FuturesUnordered<Reporting> = FuturesUnordered::new();
        let mut due = Vec::new();
        while !self.shared.stopped.load(Ordering::Acquire) {
            let looks_at = self.take_due(reporting.len(), &mut due);
            reporting.extend(due.drain(..).map(|due| self.report(&*sink, due)));
            let room = reporting.len() < REPORTING_MAX;
            tokio::select! {
                Some((due, put)) = reporting.next() => self.reported(due, put),
                () = self.shared.earlier.notified() => {}
                () = tokio::time::sleep_until(looks_at.unwrap_or_else(Instant::now)), if room && looks_at.is_some() => {}
            }
            // A sink commits in groups: where one is durable, many are.
            while let Some(Some((due, put))) = reporting.next().now_or_never() {
                self.reported(due, put);
            }
        }
    }

    fn report(&self, sink: &dyn ReceiptSink, due: Due) -> Reporting {
        let put = sink.put(Receipt {
            upstream: self.shared.id.clone(),
            subject: Subject::Attempt { delivery: due.delivery, channel: due.channel },
            state: due.state,
            status: CarrierStatus::clean(due.status),
            network: None,
        });
        put.map(move |put| (due, put)).boxed()
    }

    fn reported(&self, due: Due, put: Result<(), NotDurable>) {
        if put.is_err() {
            self.push(repeated(due));
        }
    }

    fn push(&self, due: Due) {
        let mut owed = self.owed();
        let earlier = owed.looks_at.is_none_or(|looks_at| due.at < looks_at);
        if earlier {
            owed.looks_at = Some(due.at);
        }
        owed.due.push(Reverse(due));
        drop(owed);
        if earlier {
            self.shared.earlier.notify_one();
        }
    }

    /// Moves what is due now into `taken`, as much as may be on its way at once. Returns when the next one is due.
    fn take_due(&self, reporting: usize, taken: &mut Vec<Due>) -> Option<Instant> {
        let now = Instant::now();
        let mut owed = self.owed();
        while reporting + taken.len() < REPORTING_MAX
            && let Some(Reverse(first)) = owed.due.peek()
            && first.at <= now
        {
            taken.extend(owed.due.pop().map(|Reverse(due)| due));
        }
        owed.reporting = reporting + taken.len();
        owed.looks_at = owed.due.peek().map(|Reverse(due)| due.at);
        if owed.due.len() < owed.due.capacity() / 4 {
            let len = owed.due.len();
            owed.due.shrink_to(len * 2);
        }
        owed.looks_at
    }

    fn owed(&self) -> MutexGuard<'_, Owed> {
        self.shared.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn repeated(due: Due) -> Due {
    let wait = REPEAT_AFTER.saturating_mul(1 << due.repeats.min(8)).min(REPEAT_AFTER_MAX);
    Due { at: Instant::now() + wait, repeats: due.repeats.saturating_add(1), ..due }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiting_receipt_is_small() {
        assert!(size_of::<Reverse<Due>>() <= 64, "{}", size_of::<Reverse<Due>>());
    }
}
