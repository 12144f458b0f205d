//! A database in memory.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;

use super::receivers::{Manner, url};
use super::*;
use crate::actors::notify::outbox::{Look, Written};
use crate::domain::ids::{AccountId, AttemptId, DeliveryId};
use crate::domain::signature::SigningKey;
use crate::domain::time::Timestamp;
use crate::domain::webhook::{Cause, EventFilter, EventType, KeyForm, Outcome, RetrySchedule};
use crate::records::attempts::Finished;
use crate::records::endpoints::{Endpoint, Reach, Recipient};
use crate::records::outbox::{Claimed, ClaimedEndpoint, Demand};
use crate::store::{CommitError, StoreError};

/// What the next transactions do instead of committing.
pub(super) enum Trouble {
    /// None, this once.
    Fine,
    Away,
    /// The same, and it takes this long to be known.
    AwayFor(Duration),
    /// A row in it cannot be claimed.
    Unclaimable,
    LostAfterCommit,
    LostBeforeCommit,
    Panic,
}

pub(super) const START: Timestamp = Timestamp::from_micros(1_779_703_200_000_000);

#[derive(Default)]
pub(super) struct World {
    pub(super) schedules: HashMap<EndpointId, RetrySchedule>,
    pub(super) queued: BTreeMap<EndpointId, u32>,
    pub(super) attempts: Vec<(AttemptId, EndpointId)>,
    pub(super) results: BTreeMap<AttemptId, Finished>,
    pub(super) claims: Vec<Vec<Demand>>,
    pub(super) claim_troubles: VecDeque<Trouble>,
    pub(super) result_troubles: VecDeque<Trouble>,
    /// How long the next claim takes.
    pub(super) claim_takes: Duration,
    /// Events of this endpoint cannot be claimed.
    pub(super) unclaimable: Option<EndpointId>,
    /// This endpoint cannot be read.
    pub(super) unreadable: Option<EndpointId>,
    /// Results of this endpoint cannot be written.
    pub(super) unwritable: Option<EndpointId>,
    pub(super) manners: HashMap<EndpointId, Manner>,
    pub(super) posts: Vec<EndpointId>,
    pub(super) in_flight: HashMap<EndpointId, usize>,
    pub(super) most_in_flight: HashMap<EndpointId, usize>,
    pub(super) opened: usize,
}

#[derive(Clone, Default)]
pub(super) struct Script(Arc<Mutex<World>>);

impl Script {
    pub(super) fn with<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn posts(&self, endpoint: EndpointId) -> usize {
        self.with(|world| world.posts.iter().filter(|posted| **posted == endpoint).count())
    }

    pub(super) fn results(&self, endpoint: EndpointId, outcome: Outcome) -> Vec<Finished> {
        let wanted = |finished: &&Finished| finished.endpoint == endpoint && finished.outcome == outcome;
        self.with(|world| world.results.values().filter(wanted).cloned().collect())
    }
}

pub(super) fn keyring() -> Keyring {
    use crate::domain::sealing::SecretKey;
    Keyring::new(1, vec![(1, SecretKey::new([7; 32]))], SecretKey::new([9; 32])).expect("names a key")
}

impl World {
    fn endpoint(&self, id: EndpointId) -> Endpoint {
        Endpoint {
            id,
            account: AccountId::from_bytes([1; 16]),
            url: url(id),
            events: EventFilter::ALL,
            key_form: KeyForm::Raw,
            schedule: self.schedules.get(&id).cloned().unwrap_or_default(),
            key_sealed: Vec::new(),
            old_key: None,
            created_at: START,
            active_since: Some(START),
            disabled_why: None,
            failing_since: None,
        }
    }

    fn take(&mut self, demand: &Demand, keep: bool) -> ClaimedEndpoint {
        let unreadable = self.unreadable == Some(demand.endpoint);
        let queued = self.queued.entry(demand.endpoint).or_default();
        let count = (*queued).min(u32::try_from(demand.limit).expect("small"));
        let count = if unreadable { 0 } else { count };
        if !keep {
            *queued -= count;
        }
        let more = i64::from(count) == demand.limit;
        let attempts: Vec<Claimed> = (0..count).map(|_| claimed()).collect();
        if !keep {
            self.attempts.extend(attempts.iter().map(|claimed| (claimed.attempt, demand.endpoint)));
        }
        let key = SigningKey::from_bytes([4; 32]);
        let to = Recipient { endpoint: self.endpoint(demand.endpoint), key, old_key: None };
        let reach = if unreadable { Reach::Unreadable("scripted".to_owned()) } else { Reach::Active(Box::new(to)) };
        ClaimedEndpoint { id: demand.endpoint, reach, attempts, discarded: Vec::new(), more }
    }

    fn claim(&mut self, demands: &[Demand]) -> Result<Vec<ClaimedEndpoint>, CommitError<Vec<ClaimedEndpoint>>> {
        self.claims.push(demands.to_vec());
        let trouble = self.claim_troubles.pop_front();
        if trouble.is_none() && demands.iter().any(|demand| Some(demand.endpoint) == self.unclaimable) {
            return Err(StoreError::Internal("scripted".into()).into());
        }
        let mut take = |keep| demands.iter().map(|demand| self.take(demand, keep)).collect();
        match trouble {
            Some(Trouble::Away) => Err(StoreError::Unavailable("scripted".into()).into()),
            Some(Trouble::AwayFor(takes)) => {
                self.claim_takes = takes;
                Err(StoreError::Unavailable("scripted".into()).into())
            }
            Some(Trouble::Unclaimable) => Err(StoreError::Internal("scripted".into()).into()),
            Some(Trouble::LostAfterCommit) => Err(CommitError::Unknown { outcome: take(false) }),
            Some(Trouble::LostBeforeCommit) => Err(CommitError::Unknown { outcome: take(true) }),
            Some(Trouble::Panic) => panic!("on purpose"),
            Some(Trouble::Fine) | None => Ok(take(false)),
        }
    }

    fn finish(&mut self, finished: &[Finished]) -> Written {
        let trouble = self.result_troubles.pop_front();
        if trouble.is_none() && finished.iter().any(|finished| Some(finished.endpoint) == self.unwritable) {
            return Err(StoreError::Internal("scripted".into()).into());
        }
        match trouble {
            Some(Trouble::Away | Trouble::AwayFor(_)) => Err(StoreError::Unavailable("scripted".into()).into()),
            Some(Trouble::Unclaimable) => Err(StoreError::Internal("scripted".into()).into()),
            Some(Trouble::LostBeforeCommit) => Err(CommitError::Unknown { outcome: Vec::new() }),
            Some(Trouble::Panic) => panic!("on purpose"),
            Some(Trouble::LostAfterCommit) => {
                self.write(finished);
                Err(CommitError::Unknown { outcome: Vec::new() })
            }
            Some(Trouble::Fine) | None => {
                self.write(finished);
                Ok(Vec::new())
            }
        }
    }

    fn write(&mut self, finished: &[Finished]) {
        for finished in finished {
            self.results.entry(finished.attempt).or_insert_with(|| finished.clone());
        }
    }
}

fn claimed() -> Claimed {
    Claimed {
        attempt: AttemptId::new(START, rand::random()),
        account: AccountId::from_bytes([1; 16]),
        delivery: DeliveryId::new(START, rand::random()),
        event: EventType::Delivered,
        cause: Cause::Event,
        number: 1,
        due_at: START,
        started_at: START,
        body: b"{}".to_vec(),
    }
}

impl Outbox for Script {
    fn look(&self, after: Option<EndpointId>) -> BoxFuture<'static, Result<Look, StoreError>> {
        let is_due = |(endpoint, queued): (&EndpointId, &u32)| {
            (*queued > 0 && after.is_none_or(|after| *endpoint > after)).then_some(*endpoint)
        };
        let due: Vec<EndpointId> = self.with(|world| world.queued.iter().filter_map(is_due).take(3).collect());
        let next = due.last().copied().filter(|_| due.len() == 3);
        Box::pin(async move { Ok(Look { due, next, oldest: None }) })
    }

    fn claim(
        &mut self,
        demands: Arc<Vec<Demand>>,
    ) -> BoxFuture<'_, Result<Vec<ClaimedEndpoint>, CommitError<Vec<ClaimedEndpoint>>>> {
        let script = self.clone();
        Box::pin(async move {
            let (outcome, takes) = script.with(|world| (world.claim(&demands), std::mem::take(&mut world.claim_takes)));
            tokio::time::sleep(takes + Duration::from_millis(1)).await;
            outcome
        })
    }
}

impl Book for Script {
    fn finish(&mut self, finished: Arc<Vec<Finished>>) -> BoxFuture<'_, Written> {
        let outcome = self.with(|world| world.finish(&finished));
        Box::pin(async move { outcome })
    }
}
