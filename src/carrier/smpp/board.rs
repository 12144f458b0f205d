//! How the sessions of a link are, and what that makes of the link: up while one of them can send and receipts can come.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::line::Line;
use super::session::Role;
use crate::carrier::upstream::Health;

/// A link whose receivers are all away sends on for so long: the SMSC keeps the receipts.
const UNHEARD_MAX: Duration = Duration::from_secs(30);

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
    state: Mutex<State>,
    health: watch::Sender<Health>,
}

#[derive(Debug)]
struct State {
    connections: Vec<(Role, Condition)>,
    /// When the last receiver stopped listening, while there is none.
    unheard_since: Option<Instant>,
}

impl Board {
    pub(super) fn new(roles: &[Role]) -> Self {
        let connections = roles.iter().map(|role| (*role, Condition::Away)).collect();
        Self { state: Mutex::new(State { connections, unheard_since: None }), health: watch::Sender::new(Health::Down) }
    }

    pub(super) fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Whether the SMSC knows one of our connections now.
    pub(super) fn is_bound(&self) -> bool {
        let is_bound = |condition| matches!(condition, Condition::Sending | Condition::Listening);
        self.state().connections.iter().any(|(_, condition)| is_bound(*condition))
    }

    /// Notes how a connection is, and opens or closes the line if that changes the link.
    pub(super) fn set(&self, connection: usize, condition: Condition, line: &Line) {
        let mut state = self.state();
        let heard = state.hears();
        if let Some((_, entry)) = state.connections.get_mut(connection) {
            *entry = condition;
        }
        if state.hears() {
            state.unheard_since = None;
        } else if heard {
            state.unheard_since = Some(Instant::now());
        }
        self.tell(&state, line);
    }

    /// When the board must look again, though no connection changes.
    pub(super) fn next_look(&self) -> Option<Instant> {
        let grace_ends = self.state().unheard_since? + UNHEARD_MAX;
        (*self.health.borrow() == Health::Up).then_some(grace_ends)
    }

    /// Looks whether time has changed the link.
    pub(super) fn look(&self, line: &Line) {
        self.tell(&self.state(), line);
    }

    /// Under the lock: two sessions that change at once must not leave the line as the first of them found it.
    fn tell(&self, state: &State, line: &Line) {
        let health = state.health();
        if self.health.send_if_modified(|known| std::mem::replace(known, health) != health) {
            match health {
                Health::Up => line.open(),
                Health::Down => line.close("link down"),
                Health::Misconfigured => line.close("link misconfigured"),
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether receipts can come.
    fn hears(&self) -> bool {
        let mut receivers = self.connections.iter().filter(|(role, _)| *role == Role::Receiver).peekable();
        receivers.peek().is_none() || receivers.any(|(_, condition)| *condition == Condition::Listening)
    }

    fn health(&self) -> Health {
        let has = |sought| self.connections.iter().any(|(_, condition)| *condition == sought);
        let is_heard = self.hears() || self.unheard_since.is_some_and(|since| since.elapsed() < UNHEARD_MAX);
        if has(Condition::Sending) && is_heard {
            Health::Up
        } else if has(Condition::Refused) {
            Health::Misconfigured
        } else {
            Health::Down
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::carrier::smpp::samples::attempt;

    fn follow(roles: &[Role], steps: &[(usize, Condition, Health)]) -> (Board, Line) {
        let (board, line) = (Board::new(roles), Line::new(50));
        let health = board.health();
        for (connection, condition, expected) in steps {
            board.set(*connection, *condition, &line);
            assert_eq!(*health.borrow(), *expected, "{connection} {condition:?}");
            assert_eq!(line.join(attempt(1, 10)).is_ok(), *expected == Health::Up);
        }
        (board, line)
    }

    #[tokio::test]
    async fn one_session_that_sends_is_enough_and_the_line_follows() {
        follow(
            &[Role::Transceiver; 3],
            &[
                (0, Condition::Listening, Health::Down),
                (1, Condition::Sending, Health::Up),
                (2, Condition::Refused, Health::Up),
                (1, Condition::Away, Health::Misconfigured),
                (2, Condition::Away, Health::Down),
            ],
        );
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_sent_where_no_receipt_could_come() {
        let roles = [Role::Transmitter, Role::Receiver, Role::Transmitter, Role::Receiver];
        let (board, line) = follow(
            &roles,
            &[
                (0, Condition::Sending, Health::Down),
                (1, Condition::Refused, Health::Misconfigured),
                (3, Condition::Listening, Health::Up),
                (3, Condition::Away, Health::Up),
            ],
        );
        let look = board.next_look().expect("a grace");
        tokio::time::advance(look - Instant::now() - Duration::from_millis(1)).await;
        board.look(&line);
        assert_eq!(*board.health().borrow(), Health::Up, "it may be back in a moment");
        tokio::time::advance(Duration::from_millis(1)).await;
        board.look(&line);
        assert_eq!(*board.health().borrow(), Health::Misconfigured);
        assert_eq!(board.next_look(), None);
        board.set(1, Condition::Away, &line);
        assert_eq!(*board.health().borrow(), Health::Down);
        board.set(1, Condition::Listening, &line);
        assert_eq!(*board.health().borrow(), Health::Up);
    }
}
