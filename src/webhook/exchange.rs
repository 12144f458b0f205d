//! What became of a POST: status or fault, how long each part took, and the first bytes of the answer.

use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::{DATE, HeaderName, RETRY_AFTER};
use jiff::fmt::rfc2822::DateTimeParser;
use tokio::time::Instant;

use crate::domain::time::duration_micros;
use crate::domain::webhook::{Fault, Phases, RETRY_WAIT_MAX};
use crate::webhook::failure::Failure;
use crate::webhook::request::Post;

/// How much of an answer is kept.
const SNIPPET_BYTES_MAX: usize = 4 * 1024;

/// One POST and its answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exchange {
    /// The status if it is 2xx and the whole answer came in time.
    pub outcome: Result<u16, Fault>,
    /// The status, if one came; a fault may follow it.
    pub status: Option<u16>,
    pub phases: Phases,
    /// The first 4 KiB of the answer's body, as they came.
    pub response: Vec<u8>,
    /// What the endpoint asks for in `Retry-After`, at most 24 h.
    pub retry_after: Option<Duration>,
    /// What the fault was, in a short text.
    pub detail: String,
}

/// What is stored of an exchange: the request's head as sent, an empty line, the status (or why there is none) on a line, and
/// what was kept of the answer.
#[must_use]
pub fn exchange_text(post: &Post, exchange: &Exchange) -> Vec<u8> {
    let mut text = post.head();
    text.push('\n');
    match exchange.status {
        Some(status) => text.push_str(&format!("HTTP {status}")),
        None => text.push_str("no answer"),
    }
    if !exchange.detail.is_empty() {
        text.push_str(": ");
        text.push_str(&exchange.detail);
    }
    text.push('\n');
    let said = String::from_utf8_lossy(&exchange.response);
    // What is no text grows when it is made one.
    text.push_str(&said[..said.floor_char_boundary(SNIPPET_BYTES_MAX)]);
    text.into_bytes()
}

/// The part of an attempt that is under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    Dns,
    Connect,
    Tls,
    Wait,
}

/// What is known of an attempt so far; it survives the attempt's being called off.
#[derive(Debug)]
pub(crate) struct Progress {
    started: Instant,
    under_way: Option<(Phase, Instant)>,
    phases: Phases,
    status: Option<u16>,
    response: Vec<u8>,
    retry_after: Option<Duration>,
}

impl Progress {
    pub(crate) fn start() -> Self {
        Self {
            started: Instant::now(),
            under_way: None,
            phases: Phases::default(),
            status: None,
            response: Vec::new(),
            retry_after: None,
        }
    }

    pub(crate) const fn started(&self) -> Instant {
        self.started
    }

    /// Ends the part under way and begins another.
    pub(crate) fn enter(&mut self, phase: Phase) {
        self.leave();
        self.under_way = Some((phase, Instant::now()));
    }

    fn leave(&mut self) {
        let Some((phase, since)) = self.under_way.take() else { return };
        let took = match phase {
            Phase::Dns => &mut self.phases.dns_us,
            Phase::Connect => &mut self.phases.connect_us,
            Phase::Tls => &mut self.phases.tls_us,
            Phase::Wait => &mut self.phases.wait_us,
        };
        *took = took.saturating_add(duration_micros(since.elapsed()));
    }

    /// The head of the answer has come.
    pub(crate) fn answered(&mut self, status: u16, headers: &HeaderMap, unix_seconds: i64) {
        self.status = Some(status);
        self.retry_after = retry_after(headers, unix_seconds);
    }

    /// A piece of the answer's body has come.
    pub(crate) fn keep(&mut self, piece: &[u8]) {
        let room = SNIPPET_BYTES_MAX.saturating_sub(self.response.len());
        self.response.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    /// The attempt is over.
    pub(crate) fn finish(mut self, ended: Result<(), Failure>) -> Exchange {
        self.leave();
        self.phases.total_us = duration_micros(self.started.elapsed());
        let (outcome, detail) = match (ended, self.status) {
            (Err(failure), _) => (Err(failure.fault), failure.detail),
            (Ok(()), Some(status @ 200..=299)) => (Ok(status), String::new()),
            (Ok(()), Some(_)) => (Err(Fault::Status), String::new()),
            (Ok(()), None) => (Err(Fault::Protocol), "no status".to_owned()),
        };
        Exchange {
            outcome,
            status: self.status,
            phases: self.phases,
            response: self.response,
            retry_after: self.retry_after,
            detail,
        }
    }
}

/// Seconds, or a date (RFC 9110 §10.2.3), which is compared with the answer's own `Date`: the endpoint's clock need not be
/// ours. Without one it is compared with the time of the attempt.
fn retry_after(headers: &HeaderMap, unix_seconds: i64) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        let seconds = text.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(RETRY_WAIT_MAX));
    }
    let now = date(headers, &DATE).unwrap_or(unix_seconds);
    let wait = date(headers, &RETRY_AFTER)?.saturating_sub(now);
    Some(Duration::from_secs(u64::try_from(wait).unwrap_or(0)).min(RETRY_WAIT_MAX))
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<i64> {
    let text = headers.get(name)?.to_str().ok()?;
    DateTimeParser::new().parse_timestamp(text.trim()).ok().map(jiff::Timestamp::as_second)
}
