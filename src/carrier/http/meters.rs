//! What operators see of one link: answers by status, their time, what nobody foresaw, what has no name.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};

use super::answer::{Judged, Verdict};
use crate::domain::reference::UpstreamId;
use crate::telemetry::names;

/// Hundreds of a status, and what has none.
const ANSWERS: [&str; 7] = ["1xx", "2xx", "3xx", "4xx", "5xx", "lost", "unreachable"];
const LOST: usize = 5;
const UNREACHABLE: usize = 6;

pub(super) struct Meters {
    id: UpstreamId,
    answers: [Counter; ANSWERS.len()],
    seconds: Histogram,
    throttled: Counter,
    unforeseen: Counter,
    unnamed: Counter,
    taken_over: Counter,
    /// Somebody was told of the first one that had no name.
    unnamed_told: AtomicBool,
    /// The log has told of an answer with more receipts than the settings see.
    unseen_told: AtomicBool,
}

impl Meters {
    pub(super) fn new(id: &UpstreamId) -> Self {
        let name = || id.as_str().to_owned();
        Self {
            answers: ANSWERS.map(|answer| counter!(names::HTTP_LINK_ANSWERS, "link" => name(), "answer" => answer)),
            seconds: histogram!(names::HTTP_LINK_SECONDS, "link" => name()),
            throttled: counter!(names::HTTP_LINK_THROTTLED, "link" => name()),
            unforeseen: counter!(names::HTTP_LINK_UNFORESEEN, "link" => name()),
            unnamed: counter!(names::HTTP_LINK_UNNAMED, "link" => name()),
            taken_over: counter!(names::HTTP_LINK_TAKEN_OVER, "link" => name()),
            unnamed_told: AtomicBool::new(false),
            unseen_told: AtomicBool::new(false),
            id: id.clone(),
        }
    }

    pub(super) fn answered(&self, status: u16, judged: &Judged, took: Duration) {
        let hundred = usize::from(status / 100).saturating_sub(1).min(LOST - 1);
        self.answers[hundred].increment(1);
        self.seconds.record(took.as_secs_f64());
        if matches!(judged.verdict, Verdict::Throttled { .. }) {
            self.throttled.increment(1);
        }
        if !judged.foreseen {
            self.unforeseen.increment(1);
        }
    }

    pub(super) fn lost(&self, took: Duration) {
        self.answers[LOST].increment(1);
        self.seconds.record(took.as_secs_f64());
    }

    pub(super) fn unreachable(&self) {
        self.answers[UNREACHABLE].increment(1);
    }

    /// It was accepted, and no receipt of it will be known for its own.
    pub(super) fn unnamed(&self) {
        self.unnamed.increment(1);
        if !self.unnamed_told.swap(true, Ordering::Relaxed) {
            let link = self.id.as_str();
            tracing::warn!(
                link,
                "an attempt was accepted without the name that its receipt would bear: it will be refunded"
            );
        }
    }

    /// An answer to a poll holds more receipts than the settings see.
    pub(super) fn unseen(&self, list: &str) {
        self.polled("unseen");
        if !self.unseen_told.swap(true, Ordering::Relaxed) {
            let link = self.id.as_str();
            tracing::warn!(link, list, "the answer to a poll holds more receipts than the pointers see: set poll.each");
        }
    }

    pub(super) fn taken_over(&self, attempts: usize) {
        self.taken_over.increment(attempts as u64);
    }

    pub(super) fn polled(&self, result: &'static str) {
        counter!(names::HTTP_LINK_POLLS, "link" => self.id.as_str().to_owned(), "result" => result).increment(1);
    }
}
