//! Receipts that are fetched, for providers that bring none: asked for every now and then until the delivery settles.
//!
//! Who asks keeps a pace of the same size as attempts do, but its own: what waits to be asked for takes no attempt's place. Where
//! there is no answer it asks ever less often, and always once more shortly before the end. When the link is closed it asks once
//! more; what has not ended by then, or when its daemon is killed, another one of its upstream asks for (`orphans`).

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until};

use super::Shared;
use super::receipt::{self, Heard, Told};
use super::request::Prepared;
use super::throttle::Throttle;
use crate::carrier::pace::Pace;
use crate::carrier::upstream::{Attempt, Receipt, ReceiptState, Subject};
use crate::config::upstreams::http::{HttpConfig, PollConfig};
use crate::domain::reference::Reference;

/// Attempts whose receipt is awaited: at least these, and as many as settle late at the provider's rate.
const AWAITED: usize = 20_000;
const AWAITED_MAX: usize = 100_000;
const AWAITED_SECONDS: usize = 70;
/// Requests under way: as many as of attempts, within these.
const ASKING: (usize, usize) = (16, 256);
/// So many times longer than the settings say the pause becomes while there is no answer.
const SLOWER_MAX: u32 = 8;
/// The last look is so long before the delivery settles.
const LAST_LOOK: Duration = Duration::from_secs(1);
/// The pause before a receipt that is not durable is put again.
const PUT_AGAIN_AFTER: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Polls {
    awaited: Arc<Semaphore>,
    asking: Semaphore,
    pub(super) throttle: Throttle,
    pace: Option<Pace>,
}

impl Polls {
    pub(super) fn new(config: &HttpConfig) -> Self {
        let rate = config.rate_per_second.and_then(|rate| usize::try_from(rate).ok()).unwrap_or(0);
        let awaited = rate.saturating_mul(AWAITED_SECONDS).clamp(AWAITED, AWAITED_MAX);
        let asking = config.in_flight_max.clamp(ASKING.0, ASKING.1);
        Self {
            awaited: Arc::new(Semaphore::new(awaited)),
            asking: Semaphore::new(asking),
            throttle: Throttle::new(),
            pace: config.rate_per_second.map(Pace::new),
        }
    }

    /// How many more receipts can be awaited.
    pub(super) fn places(&self) -> usize {
        self.awaited.available_permits()
    }

    /// Waits until one more may be asked for; `false` if that is not before `settle_by`.
    async fn pass(&self, settle_by: Instant) -> bool {
        while let Some(Err(due)) = self.pace.as_ref().map(Pace::take) {
            if due >= settle_by {
                return false;
            }
            sleep_until(due).await;
        }
        self.throttle.pass(settle_by).await
    }
}

/// An attempt whose receipt is awaited.
pub(super) struct Awaited {
    pub(super) prepared: Prepared,
    pub(super) subject: Subject,
    pub(super) reference: Reference,
    pub(super) settle_by: Instant,
}

/// What came of one request.
#[derive(Debug)]
enum Asked {
    /// Not empty.
    Told(Vec<Told>),
    /// An answer that says nothing yet.
    Nothing,
    /// No answer, or one that tells to ask less.
    Trouble,
}

impl Shared {
    /// Asks for the receipt of `attempt`, which the provider calls `reference`, from now on.
    pub(super) fn poll_attempt(self: &Arc<Self>, attempt: &Attempt, config: &PollConfig, reference: &Reference) {
        let subject = Subject::Attempt { delivery: attempt.delivery, channel: attempt.channel };
        let prepared = Prepared::of_poll(&self.config, &config.path, reference);
        let (reference, settle_by) = (reference.clone(), attempt.settle_by);
        self.poll(Awaited { prepared, subject, reference, settle_by }, config.every);
    }

    /// Asks for a receipt, the first time after `pause`.
    pub(super) fn poll(self: &Arc<Self>, of: Awaited, pause: Duration) {
        let Some(every) = self.config.poll.as_ref().map(|poll| poll.every) else { return };
        let Ok(awaited) = Arc::clone(&self.polls.awaited).try_acquire_owned() else {
            self.meters.polled("no_place");
            return;
        };
        let shared = Arc::clone(self);
        self.tasks.spawn_on(
            async move {
                let _awaited = awaited;
                if shared.closed.run_until_cancelled(shared.ask(&of, pause, every)).await.is_none() {
                    // Nobody will: what the provider knows already is not given away.
                    shared.cut.run_until_cancelled(shared.ask_last(&of)).await;
                }
            },
            &self.runtime,
        );
    }

    async fn ask(&self, of: &Awaited, mut pause: Duration, every: Duration) {
        let (settle_by, mut said) = (of.settle_by, None);
        let last_look = settle_by.checked_sub(LAST_LOOK).unwrap_or(settle_by);
        while Instant::now() < last_look {
            sleep_until((Instant::now() + pause).min(last_look)).await;
            if !self.polls.pass(settle_by).await {
                break;
            }
            let own = match self.ask_once(of).await {
                Asked::Told(told) => self.put_others(of, told).await,
                Asked::Nothing => {
                    pause = every;
                    continue;
                }
                Asked::Trouble => {
                    pause = (pause.max(every) * 2).min(every * SLOWER_MAX);
                    continue;
                }
            };
            pause = every;
            let Some(told) = own else { continue };
            let is_end = told.receipt.state != ReceiptState::InProgress;
            // A word that is said again is no news.
            if said.as_ref() != Some(&told.receipt) {
                self.put(&told.receipt, settle_by).await;
                said = Some(told.receipt);
            }
            if is_end {
                return;
            }
        }
        self.meters.polled("gave_up");
    }

    /// Asks when the link is closed already: ends are put, and nothing else.
    async fn ask_last(&self, of: &Awaited) {
        if let Asked::Told(told) = self.ask_once(of).await
            && let Some(own) = self.put_others(of, told).await
            && own.receipt.state != ReceiptState::InProgress
        {
            self.put(&own.receipt, of.settle_by).await;
        }
    }

    /// Keeps what an answer tells of other attempts, which it may tell only once. What it tells of the one that was asked for: an
    /// end, if there is one among it.
    async fn put_others(&self, of: &Awaited, told: Vec<Told>) -> Option<Told> {
        let (own, others): (Vec<Told>, Vec<Told>) =
            told.into_iter().partition(|told| told.receipt.subject == of.subject);
        join_all(others.iter().map(|told| self.put(&told.receipt, of.settle_by))).await;
        let is_end = |told: &Told| told.receipt.state != ReceiptState::InProgress;
        let end = own.iter().position(is_end).unwrap_or(own.len().saturating_sub(1));
        own.into_iter().nth(end)
    }

    async fn ask_once(&self, of: &Awaited) -> Asked {
        let (Ok(_place), Some(poll)) = (self.polls.asking.acquire().await, &self.config.poll) else {
            return Asked::Trouble;
        };
        let sent_at = Instant::now();
        let asked = match self.lines.exchange(of.settle_by, || of.prepared.request()).await {
            Ok(answer) => match answer.status {
                200..=299 => {
                    self.polls.throttle.went_well();
                    self.heard(receipt::of_poll(poll, &self.id, &of.subject, &of.reference, &answer.body))
                }
                429 => {
                    self.polls.throttle.slow_down(sent_at, answer.retry_after);
                    self.meters.polled("throttled");
                    return Asked::Trouble;
                }
                // Not known yet, perhaps.
                404 => {
                    self.polls.throttle.went_well();
                    Asked::Nothing
                }
                _ => Asked::Trouble,
            },
            Err(_undone) => Asked::Trouble,
        };
        self.meters.polled(match &asked {
            Asked::Told(told) if told.iter().all(|told| told.word_is_known) => "told",
            Asked::Told(_) => "unknown_word",
            Asked::Nothing | Asked::Trouble => "no_answer",
        });
        asked
    }

    fn heard(&self, heard: Heard) -> Asked {
        let Heard { told, unreadable, unseen } = heard;
        if unreadable > 0 {
            self.meters.polled("unreadable");
        }
        if let Some(list) = unseen {
            self.meters.unseen(&list);
        }
        if told.is_empty() { Asked::Nothing } else { Asked::Told(told) }
    }

    async fn put(&self, receipt: &Receipt, settle_by: Instant) {
        while self.sink.put(receipt.clone()).await.is_err() && Instant::now() < settle_by {
            sleep(PUT_AGAIN_AFTER).await;
        }
    }
}
