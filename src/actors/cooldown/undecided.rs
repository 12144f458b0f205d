//! Whose turn it is at a phone: one order is undecided, the others stand in line.
//!
//! Pure and generic over what a waiter is, so that its fairness can be tested without a runtime.

use std::collections::{HashMap, VecDeque};

use tokio::time::Instant;

use crate::domain::sealing::PhoneKey;

/// Whether an order that arrives is decided now.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Turn<W> {
    Now(W),
    /// It stands in line; `first_waiter` if nobody else waits at any phone.
    Later {
        first_waiter: bool,
    },
}

struct Line<W> {
    /// The ticket of the order that is undecided.
    ticket: u64,
    waiting: VecDeque<(u64, Instant, W)>,
}

/// The lines of one shard.
pub(super) struct Undecided<W> {
    lines: HashMap<PhoneKey, Line<W>>,
    /// The deadlines of all waiters in order of arrival; some have been served since.
    deadlines: VecDeque<(Instant, PhoneKey)>,
}

impl<W> Default for Undecided<W> {
    fn default() -> Self {
        Self { lines: HashMap::new(), deadlines: VecDeque::new() }
    }
}

impl<W> Undecided<W> {
    /// An order comes. Deadlines never go back from one arrival to the next.
    pub(super) fn arrive(&mut self, phone: PhoneKey, ticket: u64, waiter: W, deadline: Instant) -> Turn<W> {
        if let Some(line) = self.lines.get_mut(&phone) {
            let first_waiter = self.deadlines.is_empty();
            line.waiting.push_back((ticket, deadline, waiter));
            self.deadlines.push_back((deadline, phone));
            return Turn::Later { first_waiter };
        }
        self.lines.insert(phone, Line { ticket, waiting: VecDeque::new() });
        Turn::Now(waiter)
    }

    /// The verdict of `ticket` has come; `false` if it is not the undecided one (its shard has started again since).
    /// Then either [`Undecided::next`] or [`Undecided::dismiss`] is to be called.
    pub(super) fn decided(&mut self, phone: PhoneKey, ticket: u64) -> bool {
        self.lines.get(&phone).is_some_and(|line| line.ticket == ticket)
    }

    /// Lets the next in line have its turn, if there is one.
    pub(super) fn next(&mut self, phone: PhoneKey) -> Option<(u64, W)> {
        let line = self.lines.get_mut(&phone)?;
        let Some((ticket, _, waiter)) = line.waiting.pop_front() else {
            self.lines.remove(&phone);
            return None;
        };
        line.ticket = ticket;
        Some((ticket, waiter))
    }

    /// Sends everybody in the line away.
    pub(super) fn dismiss(&mut self, phone: PhoneKey) -> impl Iterator<Item = W> + use<W> {
        let waiting = self.lines.remove(&phone).map(|line| line.waiting).unwrap_or_default();
        waiting.into_iter().map(|(_, _, waiter)| waiter)
    }

    /// Takes those whose deadline has passed out of their lines.
    pub(super) fn impatient(&mut self, now: Instant) -> Vec<W> {
        let mut gone = Vec::new();
        while let Some((_, phone)) = self.deadlines.pop_front_if(|(deadline, _)| *deadline <= now) {
            let Some(line) = self.lines.get_mut(&phone) else {
                continue;
            };
            while let Some((_, _, waiter)) = line.waiting.pop_front_if(|(_, deadline, _)| *deadline <= now) {
                gone.push(waiter);
            }
        }
        gone
    }

    /// When somebody may have to be sent away next.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.front().map(|(deadline, _)| *deadline)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PHONE: PhoneKey = PhoneKey::from_number(7);
    const OTHER: PhoneKey = PhoneKey::from_number(8);

    #[test]
    fn one_is_undecided_and_the_others_stand_in_line() {
        let (mut lines, soon) = (Undecided::default(), Instant::now());
        assert_eq!(lines.arrive(PHONE, 1, 'a', soon), Turn::Now('a'));
        assert_eq!(lines.arrive(PHONE, 2, 'b', soon), Turn::Later { first_waiter: true });
        assert_eq!(lines.arrive(PHONE, 3, 'c', soon), Turn::Later { first_waiter: false });
        assert_eq!(lines.arrive(OTHER, 4, 'd', soon), Turn::Now('d'));
        assert!(!lines.decided(PHONE, 3), "only the undecided one is heard");
        assert!(lines.decided(PHONE, 1));
        assert_eq!(lines.next(PHONE), Some((2, 'b')));
        assert!(lines.decided(PHONE, 2));
        assert_eq!(lines.dismiss(PHONE).collect::<Vec<_>>(), ['c']);
        assert_eq!(lines.arrive(PHONE, 5, 'e', soon), Turn::Now('e'));
        assert_eq!(lines.next(PHONE), None);
        assert!(!lines.decided(PHONE, 5), "the line is gone");
    }

    #[test]
    fn the_impatient_leave_and_the_patient_stay() {
        let (mut lines, now) = (Undecided::default(), Instant::now());
        let later = now + Duration::from_millis(100);
        assert_eq!(lines.arrive(PHONE, 1, 'a', now), Turn::Now('a'));
        for (ticket, waiter, deadline) in [(2, 'b', now), (3, 'c', now), (4, 'd', later)] {
            assert!(matches!(lines.arrive(PHONE, ticket, waiter, deadline), Turn::Later { .. }));
        }
        assert_eq!(lines.impatient(now), ['b', 'c']);
        assert_eq!(lines.next_deadline(), Some(later));
        assert_eq!(lines.next(PHONE), Some((4, 'd')));
        assert_eq!(lines.impatient(later), [] as [char; 0]);
        assert_eq!(lines.next_deadline(), None);
    }
}
