//! Receipts that somebody else asked for until it was gone: a daemon that was killed, another node, this link before a reload.
//!
//! A link that asks for receipts says so every few seconds, and is given what others of its upstream that no longer say so had
//! to ask for; each attempt is given to one link. It takes so many at a time as it has places for, and asks for them at its own
//! pace. What it cannot take yet stays until it can, or until its delivery settles.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::Shared;
use super::request::Prepared;
use crate::carrier::upstream::{NotDurable, Orphan, Polling, Subject, TakenOver};

/// How often a link says that it lives.
const LIVE_EVERY: Duration = Duration::from_secs(2);
/// A link that said nothing for so long is gone. Longer than the database may stand still: two would ask for one receipt.
const LIVES_FOR: Duration = Duration::from_secs(6);
/// Attempts that are taken over in one step, and the pause before the next one if that was not all.
const STEP: usize = 500;
const STEP_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// A database that cannot be reached is asked again after this.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// How long a link that is closed tries to say so.
const LEAVES_WITHIN: Duration = Duration::from_secs(1);

impl Shared {
    /// Runs as long as the link does.
    pub(super) async fn take_over(self: Arc<Self>) {
        loop {
            let step = STEP.min(self.polls.places());
            let pause = match self.says(LIVES_FOR, step).await {
                Ok(TakenOver { orphans, more }) => {
                    if !orphans.is_empty() {
                        let (link, attempts) = (self.id.as_str(), orphans.len());
                        tracing::info!(link, attempts, "receipts that nobody asked for any more are asked for here");
                    }
                    self.meters.taken_over(orphans.len());
                    orphans.into_iter().for_each(|orphan| self.ask_for(orphan));
                    if more { STEP_AGAIN_AFTER } else { LIVE_EVERY }
                }
                Err(NotDurable) => AGAIN_AFTER,
            };
            sleep(pause).await;
        }
    }

    /// Says that this link asks no more: what it has not heard of may be taken over at once.
    pub(super) async fn leave(&self) {
        if self.config.poll.is_some() {
            // If it cannot be said, it is known when its time is over.
            let _said = timeout(LEAVES_WITHIN, self.says(Duration::ZERO, 0)).await;
        }
    }

    async fn says(&self, lives_for: Duration, takes: usize) -> Result<TakenOver, NotDurable> {
        let (upstream, poller) = (self.id.clone(), self.poller);
        self.sink.poll(Polling { upstream, poller, lives_for, takes }).await
    }

    fn ask_for(self: &Arc<Self>, orphan: Orphan) {
        let Some(poll) = &self.config.poll else { return };
        let Orphan { delivery, channel, reference, settle_by } = orphan;
        let prepared = Prepared::of_poll(&self.config, &poll.path, &reference);
        let subject = Subject::Attempt { delivery, channel };
        self.poll(super::polling::Awaited { prepared, subject, reference, settle_by }, Duration::ZERO);
    }
}
