//! Sweeper: ends whatever is overdue, lost receipts and dead nodes alike, and drops what is old.
//!
//! It runs on every node and owns nothing but the time between its rounds and two places in the deliveries' primary key: one
//! that it walks forward once, by age, and one that goes round and round, for what an id that was made under another clock
//! hides from the first. Each round begins with a look at the clock: after a step forward nothing is old. It settles only what no node's own settle clock has ended in time; two sweepers skip each
//! other's rows. A round that fails is tried again at the next tick; what it forgets by a restart is in the database.
//!
//! How long a delivery of a dead node waits: what is past its settle time when a node starts, not at all; anything else is
//! settled by a live node within 15 s and one tick (`sweeper.every_ms`) of its settle time, as fast as the database refunds
//! where there are many. One whose row somebody held locked when the walk passed is found again by the watermark, some 70 s after
//! its settle time.

mod house_time;
mod housekeeping;
mod round;

use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tracing::{info, warn};

use self::round::Rounds;
use crate::actors::supervise::{Child, Slot};
use crate::config::{SweeperConfig, millis};
use crate::store::Store;

/// Makes the sweeper's place in the tree. `longest_settle` is the longest time from accept to settle time of any carrier;
/// notice attempts older than `keep_attempts` are dropped.
#[must_use]
pub fn sweeper(config: &SweeperConfig, keep_attempts: Duration, store: &Store, longest_settle: Duration) -> Child {
    let (config, store) = (config.clone(), store.clone());
    Child::actor("sweeper", &Slot::vacant(), move || {
        let every = millis(config.every_ms);
        (Sweeper { every }, Rounds::new(&config, keep_attempts, &store, longest_settle))
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
        sweeper.send_after(Duration::ZERO, || Message::Tick);
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
                    (Ok(_), true) => info!("the sweeper goes on"),
                    (Err(why), false) => warn!(%why, "the sweeper waits for the database"),
                    (Ok(_), false) | (Err(_), true) => {}
                }
                state.away = round.is_err();
                let pause = if round == Ok(false) { Duration::ZERO } else { self.every };
                sweeper.send_after(pause, || Message::Tick);
            }
        }
        Ok(())
    }
}
