//! The receipts that a simulated carrier has yet to report, and the one task that reports them.
//!
//! A receipt that could not be made durable is reported again later, as a real carrier's would be. What is left when the
//! carrier stops is lost, which the settle clock is there for.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::carrier::upstream::{Receipt, ReceiptSink, ReceiptState, UpstreamId};
use crate::domain::carrier::Channel;
use crate::domain::delivery::CarrierStatus;
use crate::domain::ids::DeliveryId;

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
    due: Mutex<BinaryHeap<Reverse<Due>>>,
    /// Something is due earlier than what the task sleeps for.
    earlier: Notify,
    stopped: AtomicBool,
}

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
        let shared =
            Shared { id, due: Mutex::new(BinaryHeap::new()), earlier: Notify::new(), stopped: AtomicBool::new(false) };
        Self { shared: Arc::new(shared) }
    }

    pub(super) fn waiting(&self) -> usize {
        self.due().len()
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
        let mut reporting = FuturesUnordered::new();
        while !self.shared.stopped.load(Ordering::Acquire) {
            while reporting.len() < REPORTING_MAX
                && let Some(due) = self.take_due()
            {
                let put = sink.put(self.receipt(&due));
                reporting.push(async move { (due, put.await) });
            }
            let next = self.next().unwrap_or_else(|| Instant::now() + Duration::from_secs(3_600));
            tokio::select! {
                Some((due, put)) = reporting.next() => {
                    if put.is_err() {
                        self.push(repeated(due));
                    }
                }
                () = self.shared.earlier.notified() => {}
                () = tokio::time::sleep_until(next), if reporting.len() < REPORTING_MAX => {}
            }
        }
    }

    fn receipt(&self, due: &Due) -> Receipt {
        Receipt {
            upstream: self.shared.id.clone(),
            delivery: due.delivery,
            channel: due.channel,
            state: due.state,
            status: CarrierStatus::clean(due.status),
        }
    }

    fn due(&self) -> MutexGuard<'_, BinaryHeap<Reverse<Due>>> {
        self.shared.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, due: Due) {
        let mut waiting = self.due();
        let earlier = waiting.peek().is_none_or(|Reverse(first)| due.at < first.at);
        waiting.push(Reverse(due));
        drop(waiting);
        if earlier {
            self.shared.earlier.notify_one();
        }
    }

    fn take_due(&self) -> Option<Due> {
        let now = Instant::now();
        let mut waiting = self.due();
        let due = waiting.peek().is_some_and(|Reverse(first)| first.at <= now);
        if due { waiting.pop().map(|Reverse(due)| due) } else { None }
    }

    fn next(&self) -> Option<Instant> {
        self.due().peek().map(|Reverse(due)| due.at)
    }
}

fn repeated(due: Due) -> Due {
    let wait = REPEAT_AFTER.saturating_mul(1 << due.repeats.min(8)).min(REPEAT_AFTER_MAX);
    Due { at: Instant::now() + wait, repeats: due.repeats.saturating_add(1), ..due }
}
