//! Receipts that are fetched, for providers that bring none: asked for every now and then until the delivery settles.
//!
//! What is asked for lives in memory: after a restart nobody asks, and the delivery ends by its settle time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use super::Shared;
use super::receipt::{self, Told};
use super::request::Prepared;
use crate::carrier::upstream::{Attempt, Receipt, ReceiptState, Subject};
use crate::config::upstreams::http::PollConfig;
use crate::domain::reference::Reference;

/// Attempts whose receipt is awaited, and requests under way.
const AWAITED_MAX: usize = 20_000;
const ASKING_MAX: usize = 16;
/// The pause before a receipt that is not durable is put again.
const PUT_AGAIN_AFTER: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Polls {
    awaited: Arc<Semaphore>,
    asking: Semaphore,
}

impl Polls {
    pub(super) fn new() -> Self {
        Self { awaited: Arc::new(Semaphore::new(AWAITED_MAX)), asking: Semaphore::new(ASKING_MAX) }
    }
}

impl Shared {
    /// Asks for the receipt of `attempt`, which the provider calls `reference`, from now on.
    pub(super) fn poll(self: &Arc<Self>, attempt: &Attempt, config: &PollConfig, reference: &Reference) {
        let Ok(awaited) = Arc::clone(&self.polls.awaited).try_acquire_owned() else {
            self.meters.polled("no_place");
            return;
        };
        let subject = Subject::Attempt { delivery: attempt.delivery, channel: attempt.channel };
        let prepared = Prepared::of_poll(&self.config, &config.path, reference);
        let (every, settle_by) = (config.every, attempt.settle_by);
        let shared = Arc::clone(self);
        self.tasks.spawn_on(
            async move {
                let _awaited = awaited;
                let asking = shared.ask(&prepared, &subject, every, settle_by);
                shared.closed.run_until_cancelled(asking).await;
            },
            &self.runtime,
        );
    }

    async fn ask(&self, prepared: &Prepared, subject: &Subject, every: Duration, settle_by: Instant) {
        let mut said = None;
        while Instant::now() + every < settle_by {
            sleep(every).await;
            let Some(told) = self.ask_once(prepared, subject, settle_by).await else { continue };
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

    async fn ask_once(&self, prepared: &Prepared, subject: &Subject, settle_by: Instant) -> Option<Told> {
        let _place = self.polls.asking.acquire().await.ok()?;
        let mapping = &self.config.poll.as_ref()?.mapping;
        let told = match self.lines.exchange(settle_by, || prepared.request()).await {
            Ok(answer) if (200..300).contains(&answer.status) => {
                receipt::of_poll(mapping, &self.id, subject.clone(), &answer.body)
            }
            _ => None,
        };
        self.meters.polled(match &told {
            Some(Told { word_is_known: true, .. }) => "told",
            Some(_) => "unknown_word",
            None => "no_answer",
        });
        told
    }

    async fn put(&self, receipt: &Receipt, settle_by: Instant) {
        while self.sink.put(receipt.clone()).await.is_err() && Instant::now() < settle_by {
            sleep(PUT_AGAIN_AFTER).await;
        }
    }
}
