//! Auditor: this daemon's own look at invariant 1, a few wallets at a time, for ever.
//!
//! It owns the time between its looks and a place among the wallets, and changes nothing: what it finds it counts and logs
//! as an error. A look waits so long after the one before that it takes at most one two-hundredth of a connection's time.

use std::time::Duration;

use metrics::{Counter, Gauge, counter, gauge};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::time::Instant;
use tracing::{debug, error, warn};

use crate::actors::supervise::{Child, Slot};
use crate::domain::ids::AccountId;
use crate::records::verification::{self, Check};
use crate::store::{Store, StoreError};
use crate::telemetry::{count, names};

/// Wallets of one look.
const WALLETS_MAX: i64 = 10;
/// The shortest pause between two looks.
const PAUSE: Duration = Duration::from_secs(5 * 60);
/// How many times as long as a look the pause after it is.
const PAUSE_FACTOR: u32 = 200;
/// A look that takes longer is called off: accounts that large are left to `verify`, and the stop must not wait for one.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// Makes the auditor's place in the tree.
#[must_use]
pub fn auditor(store: &Store) -> Child {
    let store = store.clone();
    Child::actor("auditor", &Slot::vacant(), move || (Auditor, Round::new(&store)))
}

struct Auditor;

enum Message {
    Look,
}

/// One walk over all wallets.
struct Round {
    store: Store,
    after: Option<AccountId>,
    /// Found on this walk so far.
    breaches: i64,
    checked: Counter,
    breached: Gauge,
}

impl Actor for Auditor {
    type Msg = Message;
    type State = Round;
    type Arguments = Round;

    async fn pre_start(&self, auditor: ActorRef<Message>, round: Round) -> Result<Round, ActorProcessingErr> {
        auditor.send_after(PAUSE, || Message::Look);
        Ok(round)
    }

    async fn handle(
        &self,
        auditor: ActorRef<Message>,
        message: Message,
        round: &mut Round,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Look => {
                let began = Instant::now();
                if let Err(why) = round.look().await {
                    debug!(%why, "wallets were not checked");
                }
                auditor.send_after(PAUSE.max(began.elapsed() * PAUSE_FACTOR), || Message::Look);
            }
        }
        Ok(())
    }
}

impl Round {
    fn new(store: &Store) -> Self {
        let breached = gauge!(names::WALLET_BREACHES);
        breached.set(0.0);
        Self { store: store.clone(), after: None, breaches: 0, checked: counter!(names::WALLETS_CHECKED), breached }
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        let after = self.after;
        let accounts = self.store.read(move |tx| Box::pin(verification::next_wallets(tx, after, WALLETS_MAX))).await?;
        let Some(last) = accounts.last().copied() else {
            self.walked();
            return Ok(());
        };
        let count = i64::try_from(accounts.len()).unwrap_or(i64::MAX);
        let check = self.store.read_within(LOOK_MAX, move |tx| {
            Box::pin(async move { verification::check_wallets(tx, after, last, count).await })
        });
        match check.await {
            Ok(check) => self.count(&check),
            // The next walk comes by again.
            Err(why) => warn!(%why, wallets = count, "wallets were not checked beside the traffic: run verify"),
        }
        self.after = Some(last);
        if count < WALLETS_MAX {
            self.walked();
        }
        Ok(())
    }

    fn count(&mut self, check: &Check) {
        self.checked.increment(u64::try_from(check.looked_at).unwrap_or(0));
        for example in &check.examples {
            error!(breach = %example, "a wallet is not what its rows say");
        }
        if check.breaches > 0 {
            self.breaches = self.breaches.saturating_add(check.breaches);
            self.show();
        }
    }

    /// The walk is done: the gauge shows what it found, and the next one begins.
    fn walked(&mut self) {
        self.show();
        self.breaches = 0;
        self.after = None;
    }

    fn show(&self) {
        self.breached.set(count(self.breaches));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::money::MicroUsd;
    use crate::records::accounts::{self, AccountName};
    use crate::records::audit::Actor;
    use crate::telemetry::Metrics;

    #[tokio::test]
    async fn a_walk_visits_every_wallet_and_begins_again() {
        Metrics::install().expect("the only recorder");
        let dir = std::env::temp_dir().join(format!("nexo-auditor-{}", std::process::id()));
        let store = Store::open(&format!("sqlite:{}/t.db", dir.display()), 1).await.expect("opens");
        store.migrate().await.expect("migrates");
        let mut round = Round::new(&store);
        round.look().await.expect("nothing to look at");
        assert_eq!((round.after, round.breaches), (None, 0));

        for _ in 0..WALLETS_MAX + 1 {
            let made = store.write(|tx| {
                Box::pin(async move {
                    let name = AccountName::new("a").expect("a name");
                    accounts::create(tx, &Actor("test".into()), &name, MicroUsd::from_micros(5)).await
                })
            });
            made.await.expect("made");
        }
        round.look().await.expect("looks");
        assert!(round.after.is_some(), "one wallet is left");
        round.look().await.expect("looks");
        assert_eq!((round.after, round.breaches), (None, 0));
        std::fs::remove_dir_all(dir).expect("removes");
    }
}
