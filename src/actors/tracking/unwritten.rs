//! Answers to orders with an idempotency key that were given and are not in the database yet.
//!
//! An answer is written in a batch after it was given. Until then this node answers a repeat from here; the body, the
//! charge and the delivery are read from the database as for any repeat. An entry ends with its [`Unwritten`]: when the
//! answer is written, or given up. It never decides about money, so that a lost entry costs a `409` and no more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;

use crate::domain::ids::{AccountId, DeliveryId};
use crate::records::idempotency::{AnswerRecord, FirstAnswer};

/// Answers that are kept at most; past it a repeat waits for the write, as on another node.
const ANSWERS_MAX: usize = 100_000;

type Key = (AccountId, String);

/// All of one node. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct UnwrittenAnswers {
    answers: Arc<DashMap<Key, (DeliveryId, FirstAnswer)>>,
    /// `DashMap` counts by locking every shard of it.
    count: Arc<AtomicUsize>,
    max: usize,
}

impl Default for UnwrittenAnswers {
    fn default() -> Self {
        Self::with_max(ANSWERS_MAX)
    }
}

impl UnwrittenAnswers {
    fn with_max(max: usize) -> Self {
        Self { answers: Arc::default(), count: Arc::default(), max }
    }

    /// Keeps an answer until the returned entry is dropped; `None` if there is no place.
    pub(super) fn keep(&self, record: &AnswerRecord) -> Option<Unwritten> {
        if self.count.fetch_add(1, Ordering::Relaxed) >= self.max {
            self.count.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let key = (record.account, record.key.clone());
        self.answers.insert(key.clone(), (record.delivery, record.answer));
        Some(Unwritten { answers: self.clone(), key, delivery: record.delivery })
    }

    /// The answer to a key, and the order that it was given to.
    pub(super) fn find(&self, account: AccountId, key: &str) -> Option<(DeliveryId, FirstAnswer)> {
        self.answers.get(&(account, key.to_owned())).map(|answer| *answer)
    }
}

/// The place of one answer, free again when this is dropped.
#[derive(Debug)]
pub(super) struct Unwritten {
    answers: UnwrittenAnswers,
    key: Key,
    delivery: DeliveryId,
}

impl Drop for Unwritten {
    fn drop(&mut self) {
        self.answers.count.fetch_sub(1, Ordering::Relaxed);
        // The key may be a later order's by now.
        self.answers.answers.remove_if(&self.key, |_, (delivery, _)| *delivery == self.delivery);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, delivery: u8) -> AnswerRecord {
        AnswerRecord {
            account: AccountId::from_bytes([1; 16]),
            delivery: DeliveryId::from_bytes([delivery; 16]),
            key: key.into(),
            answer: FirstAnswer::Sent,
        }
    }

    #[test]
    fn an_answer_is_found_until_it_is_written() {
        let answers = UnwrittenAnswers::default();
        let kept = answers.keep(&record("a", 1));
        let (account, other) = (AccountId::from_bytes([1; 16]), AccountId::from_bytes([2; 16]));
        assert_eq!(answers.find(account, "a"), Some((DeliveryId::from_bytes([1; 16]), FirstAnswer::Sent)));
        assert_eq!((answers.find(other, "a"), answers.find(account, "b")), (None, None));
        drop(kept);
        assert_eq!(answers.find(account, "a"), None);
        assert_eq!((answers.count.load(Ordering::Relaxed), answers.answers.len()), (0, 0));
    }

    #[test]
    fn the_end_of_an_earlier_order_leaves_the_answer_of_a_later_one() {
        let answers = UnwrittenAnswers::default();
        let earlier = answers.keep(&record("a", 1));
        let later = answers.keep(&record("a", 2));
        drop(earlier);
        let found = answers.find(AccountId::from_bytes([1; 16]), "a");
        assert_eq!(found.map(|(delivery, _)| delivery), Some(DeliveryId::from_bytes([2; 16])));
        drop(later);
        assert_eq!((answers.count.load(Ordering::Relaxed), answers.answers.len()), (0, 0));
    }

    #[test]
    fn so_many_are_kept_and_no_more() {
        let answers = UnwrittenAnswers::with_max(2);
        let kept: Vec<Option<Unwritten>> = ["a", "b", "c"].iter().map(|key| answers.keep(&record(key, 1))).collect();
        assert_eq!(kept.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, false]);
        drop(kept);
        assert!(answers.keep(&record("c", 1)).is_some(), "places are free again");
    }
}
