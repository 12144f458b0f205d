//! Makes what the SMSC calls an attempt durable, and only then tells of its acceptance.
//!
//! Runs apart from the session: a connection that is cut loses no name that was heard.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::carrier::upstream::{Naming, NotDurable, Receipt, ReceiptSink};
use crate::domain::reference::Reference;

/// Between two tries to make a name durable.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Whether `naming` became durable by `deadline`.
pub(super) async fn name(sink: &Arc<dyn ReceiptSink>, naming: Naming, deadline: Instant) -> bool {
    let tries = async {
        while let Err(NotDurable) = sink.name(naming.clone()).await {
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    };
    timeout_at(deadline, tries).await.is_ok()
}

/// Puts a receipt that no wire waits for, again and again until it is durable or nobody cares.
pub(super) async fn put(sink: &Arc<dyn ReceiptSink>, receipt: Receipt, deadline: Instant) {
    let tries = async {
        while let Err(NotDurable) = sink.put(receipt.clone()).await {
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    };
    let _durable_or_out_of_time = timeout_at(deadline, tries).await;
}

/// When recent messages were answered, by the first form of their name: what the latency of receipts is told from.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<(HashMap<Reference, Instant>, VecDeque<Reference>)>);

impl Recent {
    const LEN_MAX: usize = 8_192;

    pub(super) fn answered(&self, reference: Reference) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (times, order) = &mut *state;
        if order.len() >= Self::LEN_MAX
            && let Some(oldest) = order.pop_front()
        {
            times.remove(&oldest);
        }
        times.insert(reference.clone(), Instant::now());
        order.push_back(reference);
    }

    /// How long ago the message that has one of these names was answered; told once.
    pub(super) fn ended(&self, references: &[Reference]) -> Option<Duration> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        references.iter().find_map(|reference| state.0.remove(reference)).map(|at| at.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_latency_of_a_receipt_is_told_once_and_by_any_form() {
        let recent = Recent::default();
        let form = |text: &str| Reference::new(text).expect("visible");
        for n in 0..=Recent::LEN_MAX {
            recent.answered(form(&n.to_string()));
        }
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(recent.ended(&[form("0")]), None, "too long ago");
        assert_eq!(recent.ended(&[form("x"), form("1")]), Some(Duration::from_secs(2)));
        assert_eq!(recent.ended(&[form("1")]), None);
    }
}
