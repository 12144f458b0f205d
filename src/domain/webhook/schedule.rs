//! When a failed event is sent again.

use std::time::Duration;

/// The most attempts of one event that a schedule can ask for, the first one apart.
pub const RETRIES_MAX: usize = 16;
/// The longest wait before a retry.
pub const RETRY_WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// When a failed event is sent again: the waits before the second attempt, the third, and so on. Empty by default: an
/// event is sent once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RetrySchedule(Vec<Duration>);

/// Why a text is no schedule.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidSchedule {
    #[error("at most {RETRIES_MAX} retries")]
    TooMany,
    #[error("{0:?} is no wait: a whole number and s, m or h, from 1s to 24h")]
    Wait(String),
}

impl RetrySchedule {
    /// Reads `5s,5m,2h`; the empty text is the empty schedule.
    ///
    /// # Errors
    /// [`InvalidSchedule`].
    pub fn parse(text: &str) -> Result<Self, InvalidSchedule> {
        let waits = text.split(',').map(str::trim).filter(|wait| !text.trim().is_empty() || !wait.is_empty());
        let waits: Vec<Duration> = waits.map(parse_wait).collect::<Result<_, _>>()?;
        if waits.len() > RETRIES_MAX { Err(InvalidSchedule::TooMany) } else { Ok(Self(waits)) }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The wait after attempt `number` (the first is 1) has failed; `None` if it was the last.
    #[must_use]
    pub fn after(&self, number: u32) -> Option<Duration> {
        self.0.get(usize::try_from(number.checked_sub(1)?).ok()?).copied()
    }
}

fn parse_wait(text: &str) -> Result<Duration, InvalidSchedule> {
    let refused = || InvalidSchedule::Wait(text.chars().take(32).collect());
    let unit = text.chars().last().ok_or_else(refused)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        _ => return Err(refused()),
    };
    let digits = &text[..text.len() - 1];
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(refused());
    }
    let count: u64 = digits.parse().map_err(|_| refused())?;
    let wait = Duration::from_secs(count.checked_mul(seconds).ok_or_else(refused)?);
    if wait.is_zero() || wait > RETRY_WAIT_MAX { Err(refused()) } else { Ok(wait) }
}

/// As [`RetrySchedule::parse`] reads it.
impl std::fmt::Display for RetrySchedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, wait) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            match wait.as_secs() {
                seconds if seconds % 3_600 == 0 => write!(f, "{comma}{}h", seconds / 3_600)?,
                seconds if seconds % 60 == 0 => write!(f, "{comma}{}m", seconds / 60)?,
                seconds => write!(f, "{comma}{seconds}s")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_reads_back_and_ends() {
        let schedule = RetrySchedule::parse("5s, 5m,90s,2h").expect("valid");
        assert_eq!(schedule.to_string(), "5s,5m,90s,2h");
        assert_eq!(RetrySchedule::parse(&schedule.to_string()), Ok(schedule.clone()));
        assert_eq!(schedule.after(1), Some(Duration::from_secs(5)));
        assert_eq!(schedule.after(4), Some(Duration::from_secs(7_200)));
        assert_eq!((schedule.after(0), schedule.after(5)), (None, None));
        assert!(RetrySchedule::parse("").is_ok_and(|schedule| schedule.is_empty()));
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for text in ["5", "s", "-5s", "0s", "25h", "5s,", ",", "5 s", "5d", "18446744073709551615h", "5\u{1d7d8}s"] {
            assert!(matches!(RetrySchedule::parse(text), Err(InvalidSchedule::Wait(_))), "{text}");
        }
        assert_eq!(RetrySchedule::parse(&["1s"; 17].join(",")), Err(InvalidSchedule::TooMany));
    }
}
