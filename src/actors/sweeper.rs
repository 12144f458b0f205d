//! Sweeper: ends whatever is overdue, lost receipts and dead nodes alike, and drops what is old.
//!
//! It runs on every node and owns nothing but the time between its rounds and a place in the deliveries' primary key,
//! which it walks forward once. It settles only what no node's own settle clock has ended in time; two sweepers skip each
//! other's rows. A round that fails is tried again at the next tick; what it forgets by a restart is in the database.

mod round;

use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tracing::{info, warn};

use self::round::Rounds;
use crate::actors::supervise::{Child, Slot};
use crate::clock::DatabaseClock;
use crate::config::{SweeperConfig, millis};
use crate::store::Store;

/// Makes the sweeper's place in the tree. `longest_settle` is the longest time from accept to settle time of any carrier.
#[must_use]
pub fn sweeper(config: &SweeperConfig, store: &Store, clock: &DatabaseClock, longest_settle: Duration) -> Child {
    let (config, store, clock) = (config.clone(), store.clone(), clock.clone());
    Child::actor("sweeper", &Slot::vacant(), move || {
        let every = millis(config.every_ms);
        (Sweeper { every }, Rounds::new(&config, &store, &clock, longest_settle))
    })
}

struct Sweeper {
    every: Duration,
}

enum Message {
    Tick,
}

struct State {
    rounds: Rounds,
    /// Whether the last round failed: a database that is away is told of once.
    away: bool,
}

impl Actor for Sweeper {
    type Msg = Message;
    type State = State;
    type Arguments = Rounds;

    async fn pre_start(&self, sweeper: ActorRef<Message>, rounds: Rounds) -> Result<State, ActorProcessingErr> {
        sweeper.send_after(self.every, || Message::Tick);
        Ok(State { rounds, away: false })
    }

    async fn handle(
        &self,
        sweeper: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Tick => {
                let round = state.rounds.run().await;
                match (&round, state.away) {
                    (Ok(()), true) => info!("the sweeper goes on"),
                    (Err(why), false) => warn!(%why, "the sweeper waits for the database"),
                    (Ok(()), false) | (Err(_), true) => {}
                }
                state.away = round.is_err();
                sweeper.send_after(self.every, || Message::Tick);
            }
        }
        Ok(())
    }
}
