//! Who may knock at the SMSC: nobody for a while after it said that our account is wrong, and then one connection at a time.
//!
//! An account that is locked after three wrong binds must not be locked by the connections of one link. While a session
//! stands our account is known to be right, and whoever wants to come back need not wait for others.

use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep_until};

use super::backoff::Backoff;
use crate::config::upstreams::smpp::SmppConfig;

#[derive(Debug)]
pub(super) struct Gate(Mutex<State>);

#[derive(Debug)]
struct State {
    backoff: Backoff,
    refused_until: Option<Instant>,
}

/// Leave to open one connection.
pub(super) struct Pass<'gate>(Option<MutexGuard<'gate, State>>);

impl Gate {
    pub(super) fn new(config: &SmppConfig) -> Self {
        Self(Mutex::new(State { backoff: Backoff::new(config), refused_until: None }))
    }

    /// Waits until a connection may be opened.
    pub(super) async fn pass(&self, is_bound: impl Fn() -> bool) -> Pass<'_> {
        loop {
            let state = self.0.lock().await;
            match state.refused_until.filter(|until| *until > Instant::now()) {
                Some(until) => {
                    drop(state);
                    sleep_until(until).await;
                }
                None if is_bound() => return Pass(None),
                None => return Pass(Some(state)),
            }
        }
    }

    /// The SMSC says that our account is wrong: how long nobody asks it again.
    pub(super) async fn refused(&self, pass: Pass<'_>) -> Duration {
        let mut state = match pass.0 {
            Some(state) => state,
            None => self.0.lock().await,
        };
        let wait = state.backoff.after_refusal(rand::random());
        state.refused_until = Some(Instant::now() + wait);
        wait
    }
}

impl Pass<'_> {
    /// The SMSC knows us.
    pub(super) fn accepted(self) {
        if let Some(mut state) = self.0 {
            state.backoff.reset();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    use tokio::task::JoinSet;
    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::carrier::smpp::samples::config;

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_wrong_password_is_tried_once_a_minute_by_all_connections_together() {
        let (gate, tried) = (Arc::new(Gate::new(&config(""))), Arc::new(AtomicU32::new(0)));
        let mut connections = JoinSet::new();
        for _ in 0..16 {
            let (gate, tried) = (Arc::clone(&gate), Arc::clone(&tried));
            connections.spawn(async move {
                loop {
                    let pass = gate.pass(|| false).await;
                    sleep(Duration::from_millis(20)).await;
                    tried.fetch_add(1, SeqCst);
                    sleep(gate.refused(pass).await).await;
                }
            });
        }
        sleep(MINUTE - Duration::from_secs(1)).await;
        assert_eq!(tried.load(SeqCst), 1);
        sleep(MINUTE * 2).await;
        assert_eq!(tried.load(SeqCst), 2, "and the wait doubles");
    }

    #[tokio::test(start_paused = true)]
    async fn while_nobody_knows_us_one_knocks_at_a_time_and_later_nobody_waits() {
        let gate = Gate::new(&config(""));
        let first = gate.pass(|| false).await;
        assert!(timeout(MINUTE, gate.pass(|| false)).await.is_err());
        first.accepted();
        let (_second, _third) = (gate.pass(|| true).await, gate.pass(|| true).await);
        let wait = gate.refused(gate.pass(|| true).await).await;
        assert!(wait >= MINUTE && timeout(MINUTE, gate.pass(|| true)).await.is_err(), "a password that was changed");
    }
}
