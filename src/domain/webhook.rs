//! What is said of webhooks: events, who wants which, when an event is sent again, and what became of an attempt.
//!
//! The numbers and names of these types are what rows hold; names are also what customers and metrics see.

use std::time::Duration;

pub use fault::Fault;
pub use schedule::{InvalidSchedule, RETRIES_MAX, RETRY_WAIT_MAX, RetrySchedule};
mod fault;
mod schedule;

/// The most active endpoints of one account (seed: API reference §10).
pub const ENDPOINTS_MAX: usize = 5;

/// What an endpoint is told: `type` in the body and `X-NEXO-Event-Type`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum EventType {
    Delivered,
    Failed,
    /// A ping; no delivery stands behind it.
    Test,
}

impl EventType {
    pub const ALL: [Self; 3] = [Self::Delivered, Self::Failed, Self::Test];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "otp.delivered",
            Self::Failed => "otp.failed",
            Self::Test => "otp.test",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == name)
    }

    /// One bit each: the value in a column, and a bit of an [`EventFilter`].
    #[must_use]
    pub const fn number(self) -> i64 {
        match self {
            Self::Delivered => 1,
            Self::Failed => 2,
            Self::Test => 4,
        }
    }

    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.number() == number)
    }
}

/// Which terminal events an endpoint wants; at least one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EventFilter(i64);

impl EventFilter {
    pub const ALL: Self = Self(EventType::Delivered.number() | EventType::Failed.number());

    /// `None` without a terminal event, or with one that is none.
    #[must_use]
    pub fn of(events: impl IntoIterator<Item = EventType>) -> Option<Self> {
        Self::from_number(events.into_iter().fold(0, |bits, event| bits | event.number()))
    }

    #[must_use]
    pub const fn number(self) -> i64 {
        self.0
    }

    #[must_use]
    pub const fn from_number(number: i64) -> Option<Self> {
        if number > 0 && number & !Self::ALL.0 == 0 { Some(Self(number)) } else { None }
    }

    /// The wanted events, in a fixed order.
    pub fn events(self) -> impl Iterator<Item = EventType> {
        EventType::ALL.into_iter().filter(move |event| self.0 & event.number() != 0)
    }
}

/// Which of the seeds' two readings of "the SHA-256 of the secret" keys `X-NEXO-Signature` (contract §10).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum KeyForm {
    /// Its 32 bytes: Node and cURL guides.
    #[default]
    Raw,
    /// Its 64 hexadecimal characters: API reference.
    Hex,
}

impl KeyForm {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Hex => "hex",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Raw, Self::Hex].into_iter().find(|form| form.as_str() == name)
    }

    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Raw => Self::Hex,
            Self::Hex => Self::Raw,
        }
    }
}

/// Why an attempt was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Cause {
    /// The event itself: at most one per event and endpoint (invariant 5).
    Event,
    /// The endpoint's schedule.
    Retry,
    /// Somebody asked for it.
    Replay,
    /// A test ping.
    Ping,
}

impl Cause {
    pub const ALL: [Self; 4] = [Self::Event, Self::Retry, Self::Replay, Self::Ping];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Retry => "retry",
            Self::Replay => "replay",
            Self::Ping => "ping",
        }
    }

    /// The value in a column.
    #[must_use]
    pub const fn number(self) -> i64 {
        match self {
            Self::Event => 0,
            Self::Retry => 1,
            Self::Replay => 2,
            Self::Ping => 3,
        }
    }

    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.number() == number)
    }
}

/// What became of an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Outcome {
    /// 2xx in time.
    Accepted,
    /// Another status, or a [`Fault`].
    Failed,
    /// Never sent: the endpoint was disabled or deleted first, the event can no longer be made, or it waited for too long.
    Discarded,
}

impl Outcome {
    pub const ALL: [Self; 3] = [Self::Accepted, Self::Failed, Self::Discarded];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Failed => "failed",
            Self::Discarded => "discarded",
        }
    }

    /// The value in a column.
    #[must_use]
    pub const fn number(self) -> i64 {
        match self {
            Self::Accepted => 1,
            Self::Failed => 2,
            Self::Discarded => 3,
        }
    }

    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.number() == number)
    }
}

/// Where an attempt stands: its outcome, or that there is none (yet).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum AttemptState {
    /// Claimed less than [`UNKNOWN_AFTER`] ago, and no result yet.
    Sending,
    /// Claimed, and the node that did it ended before it could write what became of it. Never sent again by itself.
    Unknown,
    /// Discarded because it had been due for [`EXPIRED_AFTER`]; in rows an outcome like any other that was discarded.
    Expired,
    Ended(Outcome),
}

/// What has been due for longer is not sent any more: whoever waited for the code has long gone on, and a receiver that is
/// back gets today's events first. Replaying sends it all the same.
pub const EXPIRED_AFTER: Duration = Duration::from_hours(24);

/// An attempt without a result is over after this: its deadline and the longest wait for its result's commit are shorter.
pub const UNKNOWN_AFTER: Duration = Duration::from_secs(60);

impl AttemptState {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sending => "sending",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Ended(outcome) => outcome.as_str(),
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let ended = Outcome::ALL.into_iter().map(Self::Ended);
        [Self::Sending, Self::Unknown, Self::Expired].into_iter().chain(ended).find(|state| state.as_str() == name)
    }
}

/// How long each part of an attempt took, in microseconds; zero for a part that a kept connection did not need.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Phases {
    pub dns_us: i64,
    pub connect_us: i64,
    pub tls_us: i64,
    /// From the request's first byte to the end of the answer.
    pub wait_us: i64,
    pub total_us: i64,
}

#[cfg(test)]
mod tests;
