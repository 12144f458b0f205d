//! The policy of a supervisor: which child starts again, when, and when it is enough.
//!
//! Pure of the product: children are closures that start an actor linked to the supervisor. A child may never end on
//! its own; one that does is started again. The budget is shared by all children of one supervisor.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use metrics::counter;
use ractor::{ActorCell, ActorId, SpawnErr, SupervisionEvent};
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::child::Child;
use super::tree::SupervisorMessage;
use crate::telemetry::names;

/// How often the children of one supervisor may be started again before it gives up, and how long each waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    /// The most restarts within `within`, over all children.
    pub restarts_max: usize,
    pub within: Duration,
    /// The wait before the first restart; it doubles with each further one within `within`.
    pub backoff: Duration,
    pub backoff_max: Duration,
}

impl Default for Budget {
    /// Eight restarts in a minute, the first after 10 ms, none waiting longer than a second.
    fn default() -> Self {
        Self {
            restarts_max: 8,
            within: Duration::from_secs(60),
            backoff: Duration::from_millis(10),
            backoff_max: Duration::from_secs(1),
        }
    }
}

/// More children ended than the budget allows: the supervisor must fail.
#[derive(Debug, thiserror::Error)]
#[error("restart budget spent: {restarts} restarts within {within:?}, last child {child}")]
pub struct Spent {
    pub child: &'static str,
    pub restarts: usize,
    pub within: Duration,
}

/// A child that is to be started again after `wait`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Restart {
    /// Its place in the keeper's list.
    pub child: usize,
    pub wait: Duration,
}

struct Kept {
    child: Child,
    alive: Option<ActorCell>,
    /// It is being ended: never started again.
    released: bool,
}

impl Kept {
    const fn new(child: Child) -> Self {
        Self { child, alive: None, released: false }
    }
}

/// The children of one supervisor and its restart budget.
pub struct Keeper {
    budget: Budget,
    kept: Vec<Kept>,
    /// When children ended, oldest first, none older than the budget's span.
    restarts: VecDeque<Instant>,
    stopping: bool,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keeper({} children, {} restarts)", self.kept.len(), self.restarts.len())
    }
}

impl Keeper {
    #[must_use]
    pub fn new(budget: Budget, children: Vec<Child>) -> Self {
        let kept = children.into_iter().map(Kept::new).collect();
        Self { budget, kept, restarts: VecDeque::new(), stopping: false }
    }

    /// Starts every child in order, linked to `supervisor`; for `pre_start`.
    ///
    /// # Errors
    /// The first child that does not start; those before it are killed with their supervisor.
    pub async fn start_all(&mut self, supervisor: &ActorCell) -> Result<(), SpawnErr> {
        for kept in &mut self.kept {
            kept.alive = Some((kept.child.start)(supervisor.clone()).await?);
        }
        Ok(())
    }

    /// Judges a supervision event. `Some` is a restart that the supervisor must bring about after its wait.
    ///
    /// # Errors
    /// [`Spent`]: the supervisor must fail.
    pub fn observe(&mut self, event: &SupervisionEvent) -> Result<Option<Restart>, Spent> {
        let (ended, why) = match event {
            SupervisionEvent::ActorFailed(cell, error) => (cell.get_id(), error.to_string()),
            SupervisionEvent::ActorTerminated(cell, _, reason) => {
                (cell.get_id(), reason.clone().unwrap_or_else(|| "ended unasked".to_owned()))
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => return Ok(None),
        };
        let Some(child) = self.find(ended) else {
            return Ok(None);
        };
        self.kept[child].alive = None;
        if self.stopping || self.kept[child].released {
            return Ok(None);
        }
        warn!(child = self.kept[child].child.name, %why, "child ended");
        self.spend(child).map(Some)
    }

    /// Starts a child again. A child that does not start spends the budget once more: `Some` is the next try.
    ///
    /// # Errors
    /// [`Spent`]: the supervisor must fail.
    pub async fn restart(&mut self, child: usize, supervisor: &ActorCell) -> Result<Option<Restart>, Spent> {
        let due = |kept: &&mut Kept| kept.alive.is_none() && !kept.released && !self.stopping;
        let Some(kept) = self.kept.get_mut(child).filter(due) else {
            return Ok(None);
        };
        match (kept.child.start)(supervisor.clone()).await {
            Ok(cell) => {
                info!(child = kept.child.name, "child started again");
                kept.alive = Some(cell);
                Ok(None)
            }
            Err(error) => {
                warn!(child = kept.child.name, %error, "child did not start");
                self.spend(child).map(Some)
            }
        }
    }

    /// Starts one more child, unless it is kept already or the supervisor is ending.
    ///
    /// # Errors
    /// It did not start and is not kept.
    pub async fn start(&mut self, child: Child, supervisor: &ActorCell) -> Result<(), SpawnErr> {
        if self.stopping || self.kept.iter().any(|kept| kept.child.is(&child)) {
            return Ok(());
        }
        let alive = Some((child.start)(supervisor.clone()).await?);
        let kept = Kept { alive, ..Kept::new(child) };
        // The places of others must not move: a restart that is on its way names one.
        match self.kept.iter_mut().find(|kept| kept.released && kept.alive.is_none()) {
            Some(free) => *free = kept,
            None => self.kept.push(kept),
        }
        Ok(())
    }

    /// Keeps `child` no longer. `Some` is to be ended by the caller.
    pub fn release(&mut self, child: &Child) -> Option<ActorCell> {
        let kept = self.kept.iter_mut().find(|kept| kept.child.is(child))?;
        kept.released = true;
        kept.alive.clone()
    }

    /// Stops every child, last started first, each to its end; `within` is for all of them together.
    pub async fn stop(&mut self, within: Duration) {
        self.stopping = true;
        let deadline = Instant::now() + within;
        for kept in self.kept.iter_mut().rev() {
            if let Some(cell) = kept.alive.take() {
                let left = deadline.saturating_duration_since(Instant::now());
                kept.child.stop(cell, left).await;
            }
        }
    }

    fn find(&self, id: ActorId) -> Option<usize> {
        self.kept.iter().position(|kept| kept.alive.as_ref().is_some_and(|cell| cell.get_id() == id))
    }

    fn spend(&mut self, child: usize) -> Result<Restart, Spent> {
        let now = Instant::now();
        while self.restarts.front().is_some_and(|at| now.duration_since(*at) > self.budget.within) {
            self.restarts.pop_front();
        }
        let restarts = self.restarts.len();
        if restarts >= self.budget.restarts_max {
            let spent = Spent { child: self.kept[child].child.name, restarts, within: self.budget.within };
            error!(%spent, "supervisor gives up");
            return Err(spent);
        }
        self.restarts.push_back(now);
        counter!(names::ACTOR_RESTARTS, "actor" => self.kept[child].child.name).increment(1);
        let doublings = u32::try_from(restarts.min(16)).unwrap_or(16);
        let wait = self.budget.backoff.saturating_mul(1 << doublings).min(self.budget.backoff_max);
        Ok(Restart { child, wait })
    }
}

/// Has `supervisor` restart a child when its wait is over.
pub(super) fn schedule(supervisor: &ractor::ActorRef<SupervisorMessage>, restart: Restart) {
    let child = restart.child;
    supervisor.send_after(restart.wait, move || SupervisorMessage::Restart(child));
}
