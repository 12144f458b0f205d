//! What a link counts. The handles that every message needs are made once.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use super::status::label;
use crate::domain::reference::UpstreamId;
use crate::telemetry::names;

/// Words of receipts that are told in the log; more are only counted.
const UNKNOWN_TOLD_MAX: usize = 16;

pub(super) struct Meter {
    link: String,
    unknown_told: Mutex<Vec<String>>,
    /// Sessions that are bound.
    pub(super) bound: Gauge,
    /// Messages that await their answer.
    pub(super) window: Gauge,
    pub(super) submit_seconds: Histogram,
    pub(super) receipt_seconds: Histogram,
    pub(super) throttled: Counter,
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Meter({})", self.link)
    }
}

impl Meter {
    pub(super) fn new(upstream: &UpstreamId) -> Self {
        let link = upstream.as_str().to_owned();
        Self {
            bound: gauge!(names::SMPP_BOUND, "link" => link.clone()),
            window: gauge!(names::SMPP_WINDOW, "link" => link.clone()),
            submit_seconds: histogram!(names::SMPP_SUBMIT_SECONDS, "link" => link.clone()),
            receipt_seconds: histogram!(names::SMPP_RECEIPT_SECONDS, "link" => link.clone()),
            throttled: counter!(names::SMPP_THROTTLED, "link" => link.clone()),
            unknown_told: Mutex::default(),
            link,
        }
    }

    /// An answer to a message came.
    pub(super) fn answered(&self, status: u32, took: Duration) {
        counter!(names::SMPP_SUBMITS, "link" => self.link.clone(), "status" => label(status)).increment(1);
        self.submit_seconds.record(took);
    }

    /// A message may have been sent, and nobody knows.
    pub(super) fn ambiguous(&self, why: &'static str) {
        counter!(names::SMPP_AMBIGUOUS, "link" => self.link.clone(), "why" => why).increment(1);
    }

    /// What came by itself: a receipt, a message, or what is neither.
    pub(super) fn delivery(&self, kind: &'static str) {
        counter!(names::SMPP_DELIVERIES, "link" => self.link.clone(), "kind" => kind).increment(1);
    }

    /// A receipt bore a word that neither the book nor the settings know. The first of each is told.
    pub(super) fn unknown_word(&self, word: &str) {
        self.delivery("unknown_word");
        let mut told = self.unknown_told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < UNKNOWN_TOLD_MAX && !told.iter().any(|known| known == word) {
            told.push(word.to_owned());
            tracing::warn!(
                link = self.link,
                word,
                "a receipt bears a word that is not known and counts as in progress: receipt_words says what it means"
            );
        }
    }

    /// A PDU broke the rules of its format.
    pub(super) fn poison(&self) {
        counter!(names::SMPP_POISON, "link" => self.link.clone()).increment(1);
    }

    /// A session ended.
    pub(super) fn ended(&self, why: &'static str) {
        counter!(names::SMPP_SESSIONS_ENDED, "link" => self.link.clone(), "why" => why).increment(1);
    }
}
