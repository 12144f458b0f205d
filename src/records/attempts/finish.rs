//! What became of attempts, written once, and what follows from it: a retry, an endpoint's failing or disabling.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use crate::domain::ids::{AccountId, AttemptId, DeliveryId, EndpointId};
use crate::domain::webhook::{Cause, EventType, Fault, Outcome, Phases};
use crate::records::endpoints::{self, GivenUp};
use crate::records::outbox::{Again, queue_again};
use crate::store::{Column, Statement, StoreError, Tx, Type};

/// One attempt that is over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finished {
    pub attempt: AttemptId,
    pub endpoint: EndpointId,
    pub account: AccountId,
    pub delivery: DeliveryId,
    pub event: EventType,
    pub number: u32,
    pub outcome: Outcome,
    pub http_status: Option<u16>,
    pub fault: Option<Fault>,
    pub phases: Phases,
    /// Request and answer, sealed for the attempt.
    pub exchange_sealed: Vec<u8>,
    /// Sent again after this.
    pub retry: Option<Duration>,
    pub endpoint_change: EndpointChange,
}

/// What an attempt says about its endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndpointChange {
    None,
    /// It failed: the failure is dated, unless one is already; if that is long ago, the endpoint is given up.
    Failing,
    Working,
    /// It is given up at once.
    Gone,
}

static WRITE: Statement = Statement::new(
    "webhook_results.write",
    &[Type::Id, Type::I64, Type::I64, Type::Text, Type::I64, Type::I64, Type::I64, Type::I64, Type::I64, Type::Bytes],
    &[],
    "WITH r(attempt, outcome, http_status, fault, dns_us, connect_us, tls_us, wait_us, total_us, exchange_sealed) \
     AS ({rows}) INSERT INTO webhook_results (attempt, outcome, http_status, fault, dns_us, connect_us, tls_us, wait_us, \
     total_us, completed_us, exchange_sealed) \
     SELECT attempt, outcome, http_status, fault, dns_us, connect_us, tls_us, wait_us, total_us, {now_us}, \
     exchange_sealed FROM r WHERE true ON CONFLICT (attempt) DO NOTHING RETURNING attempt",
);

/// Writes what became of attempts, with the retries and the changes of endpoints that follow; returns the endpoints that
/// it has given up, for which nothing is tried again. An attempt whose result is known already changes nothing.
///
/// # Errors
/// [`StoreError`]; nothing was written then.
pub async fn finish(tx: &Tx, finished: &[Finished]) -> Result<Vec<(EndpointId, GivenUp)>, StoreError> {
    let of = |phase: fn(&Phases) -> i64| Column::I64(finished.iter().map(|finished| phase(&finished.phases)).collect());
    let columns = [
        Column::ids(finished.iter().map(|finished| finished.attempt.as_bytes())),
        Column::I64(finished.iter().map(|finished| finished.outcome.number()).collect()),
        Column::OptI64(finished.iter().map(|finished| finished.http_status.map(i64::from)).collect()),
        Column::OptText(finished.iter().map(|finished| finished.fault.map(Fault::as_str)).collect()),
        of(|phases| phases.dns_us),
        of(|phases| phases.connect_us),
        of(|phases| phases.tls_us),
        of(|phases| phases.wait_us),
        of(|phases| phases.total_us),
        Column::OptBytes(finished.iter().map(|finished| Some(&*finished.exchange_sealed)).collect()),
    ];
    let rows = tx.query(&WRITE, &columns, &[]).await?;
    let mut written: HashSet<AttemptId> =
        rows.iter().map(|row| row.id(0).map(AttemptId::from_bytes)).collect::<Result<_, _>>()?;
    // One that stands twice in the batch counts once.
    let fresh: Vec<&Finished> = finished.iter().filter(|finished| written.remove(&finished.attempt)).collect();
    let given_up = change_endpoints(tx, &fresh).await?;
    let is_given_up = |finished: &&&Finished| given_up.iter().any(|(endpoint, _)| *endpoint == finished.endpoint);
    let retries: Vec<Again> =
        fresh.iter().filter(|finished| !is_given_up(finished)).filter_map(|finished| finished.again()).collect();
    queue_again(tx, &retries).await?;
    Ok(given_up)
}

/// Writes attempts down as discarded: they were never sent.
pub(in crate::records) async fn discard(tx: &Tx, discarded: &[(AttemptId, Fault)]) -> Result<(), StoreError> {
    let nothing = || Column::I64(vec![0; discarded.len()]);
    let columns = [
        Column::ids(discarded.iter().map(|(attempt, _)| attempt.as_bytes())),
        Column::I64(vec![Outcome::Discarded.number(); discarded.len()]),
        Column::OptI64(vec![None; discarded.len()]),
        Column::OptText(discarded.iter().map(|(_, fault)| Some(fault.as_str())).collect()),
        nothing(),
        nothing(),
        nothing(),
        nothing(),
        nothing(),
        Column::OptBytes(vec![None; discarded.len()]),
    ];
    tx.query(&WRITE, &columns, &[]).await.map(drop)
}

impl Finished {
    fn again(&self) -> Option<Again> {
        Some(Again {
            endpoint: self.endpoint,
            delivery: self.delivery,
            account: self.account,
            event: self.event,
            cause: Cause::Retry,
            number: self.number.saturating_add(1),
            body_of: self.attempt,
            wait: self.retry?,
        })
    }
}

/// What a batch says of one endpoint: a success ends a failure that was dated before, whatever came after it.
#[derive(Default)]
struct Health {
    worked: bool,
    failing: bool,
    gone: bool,
}

async fn change_endpoints(tx: &Tx, fresh: &[&Finished]) -> Result<Vec<(EndpointId, GivenUp)>, StoreError> {
    let mut changes: BTreeMap<EndpointId, Health> = BTreeMap::new();
    for finished in fresh.iter().filter(|finished| finished.endpoint_change != EndpointChange::None) {
        let health = changes.entry(finished.endpoint).or_default();
        match finished.endpoint_change {
            EndpointChange::None => {}
            EndpointChange::Failing => health.failing = true,
            EndpointChange::Working => (health.worked, health.failing) = (true, false),
            EndpointChange::Gone => health.gone = true,
        }
    }
    let those = |wanted: fn(&Health) -> bool| -> Vec<EndpointId> {
        changes.iter().filter(|(_, health)| wanted(health)).map(|(endpoint, _)| *endpoint).collect()
    };
    endpoints::mark_working(tx, &those(|health| health.worked)).await?;
    endpoints::mark_failing(tx, &those(|health| health.failing)).await?;
    let mut given_up = Vec::new();
    for (why, ids) in [(GivenUp::Gone, those(|health| health.gone)), (GivenUp::Failing, those(|health| health.failing))]
    {
        given_up.extend(endpoints::give_up(tx, &ids, why).await?.into_iter().map(|endpoint| (endpoint, why)));
    }
    Ok(given_up)
}
