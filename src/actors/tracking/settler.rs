//! The committer of one tracking shard: ends, moves to a second channel and idempotency answers, one transaction at a time.
//!
//! An end is tried until the database took it; both it and its retry after an unknown commit are idempotent. A row that the
//! database will never take (a bug) is found by halving its batch and left to the sweeper, so that it holds up nobody else.

use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, histogram};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{error, warn};

use super::Wake;
use super::committed::{Committed, Waiting};
use super::ledger::{Batch, Ledger, Patience};
use super::postponed::Postponed;
use super::unwritten::Unwritten;
use super::watching::Life;
use crate::actors::group_commit::{Committer, Done, Item, conflict_key};
use crate::records::idempotency::AnswerRecord;
use crate::records::settlement::{Move, Settled, Settlement};
use crate::store::{CommitError, StoreError};
use crate::telemetry::names;

const BACKOFF: Duration = Duration::from_millis(20);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// After a lock that was not granted: how long nothing waits for the lock of a wallet, so that not every batch does.
const CAREFUL_FOR: Duration = Duration::from_secs(2);

/// Who is told that an end is durable.
#[derive(Debug)]
pub(super) enum Reply {
    Nobody,
    Caller(oneshot::Sender<Settled>),
    Link(oneshot::Sender<()>),
}

/// One end and what the metrics need of its delivery, if this node knows it.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) settlement: Settlement,
    pub(super) life: Option<Life>,
    pub(super) reply: Reply,
}

/// What gathers in a shard.
#[derive(Debug)]
pub(super) enum Work {
    End(Ending),
    /// A delivery goes on to its second channel.
    Move(Move, Reply),
    /// With its place among the answers that are not written yet.
    Answer(AnswerRecord, Option<Unwritten>),
}

impl Item for Work {
    fn conflicts(&self) -> [Option<u64>; 2] {
        match self {
            Self::End(ending) => [Some(conflict_key(b'd', ending.settlement.delivery)), None],
            Self::Move(moved, _) => [Some(conflict_key(b'd', moved.delivery)), None],
            Self::Answer(answer, _) => [Some(conflict_key(b'k', (answer.account, &answer.key))), None],
        }
    }
}

pub(super) struct Settler {
    ledger: Box<dyn Ledger>,
    wake: Wake,
    postponed: Postponed,
    careful_until: Option<Instant>,
}

impl Settler {
    pub(super) fn new(ledger: Box<dyn Ledger>, wake: Wake, postponed: Postponed) -> Self {
        Self { ledger, wake, postponed, careful_until: None }
    }

    fn patience(&self) -> Patience {
        match self.careful_until {
            Some(until) if Instant::now() < until => Patience::Postpones,
            _ => Patience::Waits,
        }
    }

    fn be_careful(&mut self) {
        self.careful_until = Some(Instant::now() + CAREFUL_FOR);
    }

    /// Commits one part, however long it takes; halves it if a row in it cannot be written. `None` if it is that row.
    async fn commit_part(&mut self, mut part: Part) -> Result<Committed, Option<(Part, Part)>> {
        let mut wait = BACKOFF;
        let mut maybe: Option<Vec<Settled>> = None;
        let mut told = Vec::new();
        loop {
            let (since, patience) = (Instant::now(), self.patience());
            let outcome = self.ledger.settle(Arc::clone(&part.batch), patience).await;
            histogram!(names::COMMIT_SECONDS, "kind" => "settle").record(since.elapsed());
            match outcome {
                Ok(settlements) => {
                    // With those of a commit that was unknown: if it was none, there is nothing to be found there.
                    told.extend(settlements.told);
                    if !told.is_empty() {
                        (self.wake)(told);
                    }
                    let settled = self.merged(&part.batch, settlements.settled, maybe).await;
                    let (committed, postponed) = part.committed(settled);
                    if !postponed.is_empty() {
                        self.be_careful();
                        self.postponed.later(postponed);
                    }
                    return Ok(committed);
                }
                Err(CommitError::Unknown { outcome }) => {
                    count_failure("unknown");
                    told.extend(outcome.told);
                    maybe = Some(either(outcome.settled, maybe));
                }
                Err(CommitError::NotCommitted(StoreError::Internal(why))) => {
                    count_failure("not_committed");
                    error!(%why, rows = part.len(), "ends cannot be written");
                    return Err(part.halve());
                }
                Err(CommitError::NotCommitted(why)) => {
                    count_failure("not_committed");
                    warn!(%why, rows = part.len(), "ends wait for the database");
                    if matches!(why, StoreError::Locked(_)) {
                        self.be_careful();
                        if patience == Patience::Waits {
                            continue;
                        }
                    }
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(BACKOFF_MAX);
        }
    }

    /// What a repetition found, after commits of unknown outcome that `maybe` ended rows. A row that was ended meanwhile
    /// was ended by them or by somebody else: the row tells.
    async fn merged(&mut self, batch: &Arc<Batch>, settled: Vec<Settled>, maybe: Option<Vec<Settled>>) -> Vec<Settled> {
        let Some(maybe) = maybe else {
            return settled;
        };
        let mut wait = BACKOFF;
        let held = loop {
            match self.ledger.hold(Arc::clone(batch)).await {
                Ok(held) => break held,
                Err(StoreError::Internal(why)) => {
                    error!(%why, "the ends of an unknown commit cannot be read");
                    return settled;
                }
                Err(why) => warn!(%why, "the ends of an unknown commit wait for the database"),
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(BACKOFF_MAX);
        };
        let ours = maybe.into_iter().zip(held).map(|(maybe, held)| if held { maybe } else { Settled::Unchanged });
        either(settled, Some(ours.collect()))
    }
}

impl Committer for Settler {
    type Item = Work;

    async fn commit(&mut self, items: Vec<Work>) -> Done {
        histogram!(names::COMMIT_ROWS, "kind" => "settle").record(count(items.len()));
        let mut parts = vec![Part::new(items)];
        let mut done = Vec::with_capacity(1);
        while let Some(part) = parts.pop() {
            match self.commit_part(part).await {
                Ok(committed) => done.push(committed),
                Err(Some((first, second))) => parts.extend([second, first]),
                // Its waiter hears by the drop of its reply that nobody will write it.
                Err(None) => {}
            }
        }
        Done { answers: Box::new(|| done.into_iter().for_each(Committed::answer)), rest: Duration::ZERO }
    }
}

/// Ended by either of two commits.
fn either(settled: Vec<Settled>, maybe: Option<Vec<Settled>>) -> Vec<Settled> {
    let Some(maybe) = maybe else {
        return settled;
    };
    settled.into_iter().zip(maybe).map(|(now, before)| if before == Settled::Ended { before } else { now }).collect()
}

fn count_failure(outcome: &'static str) {
    counter!(names::COMMITS_FAILED, "kind" => "settle", "outcome" => outcome).increment(1);
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

/// A batch and, in the order of its settlements and of its moves, who waits for it; in that of its answers, their places.
struct Part {
    batch: Arc<Batch>,
    waiting: Vec<Waiting>,
    movers: Vec<Reply>,
    unwritten: Vec<Option<Unwritten>>,
}

impl Part {
    fn new(items: Vec<Work>) -> Self {
        let mut batch = Batch::default();
        let (mut waiting, mut movers, mut places) = (Vec::with_capacity(items.len()), Vec::new(), Vec::new());
        for item in items {
            match item {
                Work::End(Ending { settlement, life, reply }) => {
                    waiting.push(Waiting { status: settlement.end.status(), life, reply });
                    batch.settlements.push(settlement);
                }
                Work::Move(moved, reply) => {
                    movers.push(reply);
                    batch.moves.push(moved);
                }
                Work::Answer(answer, unwritten) => {
                    places.push(unwritten);
                    batch.answers.push(answer);
                }
            }
        }
        Self { batch: Arc::new(batch), waiting, movers, unwritten: places }
    }

    fn len(&self) -> usize {
        self.batch.settlements.len() + self.batch.moves.len() + self.batch.answers.len()
    }

    /// Two parts of which each is smaller; `None` if there is only one row.
    fn halve(&mut self) -> Option<(Self, Self)> {
        if self.len() < 2 {
            return None;
        }
        let mut batch = Arc::unwrap_or_clone(std::mem::take(&mut self.batch));
        let (mut waiting, mut movers) = (std::mem::take(&mut self.waiting), std::mem::take(&mut self.movers));
        // First what ends from what does not, then each of them in the middle.
        let (ends, others) = (batch.settlements.len(), batch.answers.len() + batch.moves.len());
        let of = |rows: usize| if ends > 0 && others > 0 { 0 } else { rows / 2 };
        let settlements = if others > 0 { Vec::new() } else { batch.settlements.split_off(ends / 2) };
        let answers = batch.answers.split_off(of(batch.answers.len()));
        let mut unwritten = std::mem::take(&mut self.unwritten);
        let unwritten_too = unwritten.split_off(unwritten.len() - answers.len());
        // The larger half, so that one of each is parted too.
        let moves = batch.moves.split_off(of(batch.moves.len() + 1));
        let waiting_too = if others > 0 { Vec::new() } else { waiting.split_off(ends / 2) };
        let movers_too = movers.split_off(movers.len() - moves.len());
        let second = Batch { settlements, answers, moves };
        let second =
            Self { batch: Arc::new(second), waiting: waiting_too, movers: movers_too, unwritten: unwritten_too };
        Some((Self { batch: Arc::new(batch), waiting, movers, unwritten }, second))
    }

    /// What is durable, and what is to be tried again.
    fn committed(self, settled: Vec<Settled>) -> (Committed, Vec<Ending>) {
        assert_eq!(settled.len(), self.waiting.len(), "every settlement has its outcome");
        let mut committed = Committed { ended: Vec::with_capacity(settled.len()), moved: self.movers };
        let mut postponed = Vec::new();
        for ((waiting, settled), settlement) in self.waiting.into_iter().zip(settled).zip(&self.batch.settlements) {
            if settled == Settled::Postponed {
                let Waiting { life, reply, .. } = waiting;
                postponed.push(Ending { settlement: settlement.clone(), life, reply });
            } else {
                committed.ended.push((waiting, settled));
            }
        }
        (committed, postponed)
    }
}
