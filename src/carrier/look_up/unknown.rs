//! The numbers of which the provider knew nothing a moment ago: it is not paid to say so again.
//!
//! Bounded, and in the order of time: the oldest give way.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::phone::Phone;

/// How long a number is not asked for again.
const KNOWN_FOR: Duration = Duration::from_secs(300);
const NUMBERS_MAX: usize = 16_384;

#[derive(Debug, Default)]
pub(super) struct Unknown(Mutex<Numbers>);

#[derive(Debug, Default)]
struct Numbers {
    numbers: HashSet<Phone>,
    in_order: VecDeque<(Instant, Phone)>,
}

impl Unknown {
    pub(super) fn holds(&self, phone: Phone) -> bool {
        let mut numbers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.forget(NUMBERS_MAX);
        numbers.numbers.contains(&phone)
    }

    pub(super) fn remember(&self, phone: Phone) {
        let mut numbers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.forget(NUMBERS_MAX - 1);
        if numbers.numbers.insert(phone) {
            numbers.in_order.push_back((Instant::now(), phone));
        }
    }
}

impl Numbers {
    /// Lets go what is old, and the oldest until there are at most `max`.
    fn forget(&mut self, max: usize) {
        let now = Instant::now();
        while let Some((at, phone)) = self.in_order.front().copied() {
            if now < at + KNOWN_FOR && self.in_order.len() <= max {
                return;
            }
            self.in_order.pop_front();
            self.numbers.remove(&phone);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phone(number: usize) -> Phone {
        Phone::parse(&format!("+8498{number:07}")).expect("a mobile")
    }

    #[tokio::test(start_paused = true)]
    async fn it_remembers_some_minutes_and_never_grows() {
        let unknown = Unknown::default();
        unknown.remember(phone(0));
        assert!(unknown.holds(phone(0)) && !unknown.holds(phone(1)));
        tokio::time::advance(KNOWN_FOR).await;
        assert!(!unknown.holds(phone(0)));
        for number in 0..NUMBERS_MAX + 10 {
            unknown.remember(phone(number));
        }
        assert!(!unknown.holds(phone(9)) && unknown.holds(phone(10)));
        assert_eq!(unknown.0.lock().expect("whole").numbers.len(), NUMBERS_MAX);
    }
}
