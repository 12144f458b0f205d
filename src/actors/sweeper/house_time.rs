//! The house's time as the sweeper keeps it: judged once a round, and marked for the next daemon that starts.
//!
//! It reads what the database's clock itself shows, an operator's word and other nodes' marks and holds, and tells them to
//! this node's estimate. Everything that a round ends or drops for its age, it ends by the time that was judged here.

use std::time::Duration;

use metrics::gauge;
use tokio::time::Instant;

use crate::clock::{DatabaseClock, HOLD, STEP};
use crate::domain::time::Timestamp;
use crate::records::house_clock::{self, HouseClock};
use crate::store::{Store, StoreError};
use crate::telemetry::names;

const MARK_EVERY: Duration = Duration::from_secs(10);
/// Further ahead of the database's clock the house's time is marked in each round: a node that starts reads no other.
const MARK_AT_ONCE: Duration = Duration::from_millis(100);

pub(super) struct HouseTime {
    store: Store,
    clock: DatabaseClock,
    steps: u64,
    mark_due: Instant,
}

/// The time of one round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) now: Timestamp,
    /// Nothing may be ended or dropped for its age, and no mark be raised.
    pub(super) held: bool,
    /// The database's clock was stepped since the last round.
    pub(super) stepped: bool,
    ahead: Duration,
    accepted: i64,
}

impl HouseTime {
    pub(super) fn new(store: &Store) -> Self {
        let clock = store.clock().clone();
        let steps = clock.steps();
        Self { store: store.clone(), clock, steps, mark_due: Instant::now() }
    }

    /// Judges the time.
    pub(super) async fn read(&mut self) -> Result<Told, StoreError> {
        let row = self.store.read(|tx| Box::pin(house_clock::read(tx))).await?;
        self.clock.hear(row.accepted, row.server);
        self.clock.observe_server(row.server);
        self.clock.reach(row.mark);
        house_clock::hold_as_told(&self.clock, &row);
        self.tell_hold(&row).await?;
        let (now, steps) = (self.clock.now(), self.clock.steps());
        let stepped = std::mem::replace(&mut self.steps, steps) != steps;
        if self.clock.held().is_some() {
            // As soon as it is over.
            self.mark_due = Instant::now();
        }
        let told = Told {
            now,
            held: self.clock.held().is_some(),
            stepped,
            ahead: now.since(row.server),
            accepted: row.accepted,
        };
        self.report(&row, &told);
        Ok(told)
    }

    /// Tells the other nodes of a hold that is news: one that has just started has not seen the step.
    async fn tell_hold(&self, row: &HouseClock) -> Result<(), StoreError> {
        let Some(left) = self.clock.held() else { return Ok(()) };
        let until = row.server.plus(left);
        let known = row.held_until >= until.minus(STEP) && row.held_until <= row.server.plus(HOLD);
        if known {
            return Ok(());
        }
        self.store.write(move |tx| Box::pin(house_clock::hold(tx, until))).await
    }

    /// Raises the mark, when it is time.
    pub(super) async fn mark(&mut self, told: &Told) -> Result<(), StoreError> {
        if told.ahead < MARK_AT_ONCE && Instant::now() < self.mark_due {
            return Ok(());
        }
        let (now, accepted) = (told.now, told.accepted);
        self.store.write(move |tx| Box::pin(house_clock::mark(tx, now, accepted))).await?;
        self.mark_due = Instant::now() + MARK_EVERY;
        Ok(())
    }

    fn report(&self, row: &HouseClock, told: &Told) {
        let ahead_us = self.clock.wall().micros().saturating_sub(row.server.micros());
        gauge!(names::CLOCK_SKEW_SECONDS).set(ahead_us as f64 / 1e6);
        gauge!(names::CLOCK_AHEAD_SECONDS).set(told.ahead.as_secs_f64());
        gauge!(names::CLOCK_HELD).set(if told.held { 1.0 } else { 0.0 });
        gauge!(names::CLOCK_DOUBTED).set(if self.clock.doubt().is_some() { 1.0 } else { 0.0 });
    }
}
