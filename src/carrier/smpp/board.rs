//! How the sessions of a link are, and what that makes of the link: up while one of them can send.

use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use super::line::Line;
use crate::carrier::upstream::Health;

/// How one connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Condition {
    /// Bound, and it may send.
    Sending,
    /// Bound, but it only listens, or is about to leave.
    Listening,
    Away,
    /// The SMSC does not know us as we are configured.
    Refused,
}

#[derive(Debug)]
pub(super) struct Board {
    conditions: Mutex<Vec<Condition>>,
    health: watch::Sender<Health>,
}

impl Board {
    pub(super) fn new(connections: usize) -> Self {
        let conditions = Mutex::new(vec![Condition::Away; connections]);
        Self { conditions, health: watch::Sender::new(Health::Down) }
    }

    pub(super) fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Notes how a connection is, and opens or closes the line if that changes the link.
    pub(super) fn set(&self, connection: usize, condition: Condition, line: &Line) {
        let mut conditions = self.conditions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = conditions.get_mut(connection) {
            *entry = condition;
        }
        let health = of(&conditions);
        // Under the lock: two sessions that change at once must not leave the line as the first of them found it.
        if self.health.send_if_modified(|known| std::mem::replace(known, health) != health) {
            match health {
                Health::Up => line.open(),
                Health::Down => line.close("link down"),
                Health::Misconfigured => line.close("link misconfigured"),
            }
        }
    }
}

fn of(conditions: &[Condition]) -> Health {
    if conditions.contains(&Condition::Sending) {
        Health::Up
    } else if conditions.contains(&Condition::Refused) {
        Health::Misconfigured
    } else {
        Health::Down
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::carrier::smpp::samples::attempt;

    #[tokio::test]
    async fn one_session_that_sends_is_enough_and_the_line_follows() {
        let (board, line) = (Board::new(3), Line::new(5));
        let health = board.health();
        for (connection, condition, expected) in [
            (0, Condition::Listening, Health::Down),
            (1, Condition::Sending, Health::Up),
            (2, Condition::Refused, Health::Up),
            (1, Condition::Away, Health::Misconfigured),
            (2, Condition::Away, Health::Down),
        ] {
            board.set(connection, condition, &line);
            assert_eq!(*health.borrow(), expected, "{connection} {condition:?}");
            assert_eq!(line.join(attempt(1, 10)).is_ok(), expected == Health::Up);
        }
    }
}
