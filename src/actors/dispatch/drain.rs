//! The graceful stop of a queue.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::parts::Parts;

/// What is being settled when the queue is empty, and the closing of links, may take this long.
const FAREWELL: Duration = Duration::from_secs(5);

/// A graceful stop under way.
#[derive(Debug)]
pub(super) struct Drain {
    /// Whoever asked for it: a queue that ends because it is no more may be asked again when the house stops.
    waiting: Vec<oneshot::Sender<()>>,
    until: Instant,
    said: bool,
}

impl Drain {
    pub(super) const fn new(until: Instant) -> Self {
        Self { waiting: Vec::new(), until, said: false }
    }

    /// Somebody asks for the end by `until`.
    pub(super) fn asked(&mut self, done: oneshot::Sender<()>, until: Instant) {
        self.until = self.until.min(until);
        self.waiting.push(done);
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.until <= now
    }

    /// When the queue must look again although nothing happens.
    pub(super) fn next_look(&self) -> Option<Instant> {
        (!self.said).then_some(self.until)
    }

    /// The end of it: what is being settled is settled, links that nobody uses any more are closed, whoever waits is told.
    pub(super) fn farewell(&mut self, parts: &Arc<Parts>) -> Option<impl Future<Output = ()> + Send + 'static> {
        if self.waiting.is_empty() {
            return None;
        }
        let (waiting, parts) = (std::mem::take(&mut self.waiting), Arc::clone(parts));
        let unused = if std::mem::replace(&mut self.said, true) { Vec::new() } else { parts.give_up() };
        Some(async move {
            parts.lane.close(None);
            unused.iter().for_each(|link| parts.forget(link));
            let _idle_or_out_of_time = parts.ender.tasks.idle(FAREWELL).await;
            join_all(unused.iter().map(|link| link.upstream().shutdown(FAREWELL))).await;
            for done in waiting {
                let _nobody_waits = done.send(());
            }
        })
    }
}
