//! The clocks of a machine; a test brings its own.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::domain::time::{Timestamp, duration_micros};

/// What a machine's clocks show.
pub trait Machine: fmt::Debug + Send + Sync {
    /// The wall clock, which anybody may set.
    fn wall(&self) -> Timestamp;

    /// The time since the machine started, suspended or not. Never falls, and nobody can set it.
    fn uptime(&self) -> Duration;
}

/// The machine that the process runs on.
#[derive(Debug)]
struct ThisMachine;

impl Machine for ThisMachine {
    fn wall(&self) -> Timestamp {
        wall_now()
    }

    fn uptime(&self) -> Duration {
        let since = clock_gettime(ClockId::Boottime);
        Duration::new(u64::try_from(since.tv_sec).unwrap_or(0), u32::try_from(since.tv_nsec).unwrap_or(0))
    }
}

pub(super) fn this() -> Arc<dyn Machine> {
    Arc::new(ThisMachine)
}

/// This node's wall clock: for logs, the skew check and audit rows, never for a decision.
#[must_use]
pub fn wall_now() -> Timestamp {
    #[allow(clippy::disallowed_methods, reason = "this is the place")]
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(duration_micros(since_epoch))
}
