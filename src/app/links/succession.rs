//! How the links of a new table take over from those before: not before they take work themselves, and not beside an old one
//! whose sessions they need.
//!
//! Where the new bind to an SMSC is not there in a moment (a wrong address, a password that the SMSC does not know yet), the bind
//! before goes on carrying work and receipts until it is, or until a later reload says otherwise.

use std::collections::BTreeMap;
use std::future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join_all, select_all};
use metrics::gauge;
use tokio::sync::watch;
use tokio::time::timeout;

use super::{Links, Origin, Prepared, Started};
use crate::carrier::smpp::Crowded;
use crate::carrier::upstream::Health;
use crate::config::upstreams::UpstreamConfig;
use crate::domain::reference::UpstreamId;
use crate::telemetry::{count, names};

/// How long a new link may take to connect before it is used all the same.
const CONNECTS_WITHIN: Duration = Duration::from_secs(5);
/// The same where an older one holds sessions of the same account: an SMSC that allows no more of them lets the new one in
/// when the old one has left.
const BINDS_WITHIN: Duration = Duration::from_secs(2);
/// How long one that is not awaited any more has to leave.
const UNBINDS_WITHIN: Duration = Duration::from_secs(2);

/// A new link whose work somebody else does until it takes over.
struct Awaited {
    health: watch::Receiver<Health>,
    within: Duration,
}

impl Awaited {
    /// Returns at the end of its time, or as soon as it is known how it is.
    async fn wait(mut self) {
        let _known_or_not = timeout(self.within, self.health.wait_for(|health| *health != Health::Down)).await;
    }
}

impl Links {
    /// Waits until every link of `prepared` that stands in for one that is up, or that is alone in its lane, takes work
    /// itself; not for long, and not for one that is misconfigured.
    pub(in crate::app) async fn ready(&self, prepared: &Prepared) {
        let is_alone = |id: &UpstreamId| {
            let mut lanes = prepared.plans.iter().filter(|plan| plan.links.len() == 1);
            lanes.any(|plan| plan.links.iter().any(|(link, _)| link.id() == id))
        };
        let awaited = prepared.fresh().filter_map(|(id, new)| {
            let stands_in = self.started.get(id).is_some_and(|old| old.health() == Health::Up);
            let crowded = self.predecessors(id).any(|old| same_account(&old.origin, &new.origin));
            let within = if crowded { BINDS_WITHIN } else { CONNECTS_WITHIN };
            let health = new.link.upstream().health();
            (stands_in || is_alone(id)).then(|| Awaited { health, within }.wait())
        });
        join_all(awaited.collect::<Vec<_>>()).await;
    }

    /// Has the binds before go on where those of `prepared` that replace them are not bound.
    pub(in crate::app) fn hold_back(&self, prepared: &mut Prepared) {
        for id in prepared.fresh.clone() {
            let Some(new) = prepared.started.get(&id).filter(|new| new.health() != Health::Up).cloned() else {
                continue;
            };
            let is_awaited = self.awaited.get(&id).is_some_and(|known| Arc::ptr_eq(&known.link, &new.link));
            let Some(old) = self.started.get(&id).filter(|old| goes_on(old, &new, is_awaited)) else {
                tracing::warn!(upstream = id.as_str(), "a new link takes over before it is connected");
                continue;
            };
            if !is_awaited {
                tracing::warn!(
                    upstream = id.as_str(),
                    "a new link is not bound yet: the one before goes on until it is"
                );
            }
            for (link, _) in prepared.plans.iter_mut().flat_map(|plan| &mut plan.links) {
                if Arc::ptr_eq(link, &new.link) {
                    *link = Arc::clone(&old.link);
                }
            }
            prepared.fresh.remove(&id);
            prepared.started.insert(id.clone(), old.clone());
            prepared.awaited.insert(id, new);
        }
    }

    /// Resolves when a link that is awaited is to be used now: it is bound, or the one before makes way. Never without any.
    pub(in crate::app) async fn arrived(&self) {
        let pairs = self.awaited.iter().filter_map(|(id, new)| Some((self.started.get(id)?, new)));
        let arrivals: Vec<_> = pairs.map(|(old, new)| Box::pin(arrival(old, new))).collect();
        if arrivals.is_empty() {
            return future::pending().await;
        }
        select_all(arrivals).await;
    }

    /// From now on `awaited` are; what was before, and is not in use now, is closed.
    pub(super) fn give_up(&mut self, awaited: BTreeMap<UpstreamId, Started>) {
        gauge!(names::LINKS_AWAITED).set(count(awaited.len()));
        for (id, before) in std::mem::replace(&mut self.awaited, awaited) {
            let mut known = [self.started.get(&id), self.awaited.get(&id)].into_iter().flatten();
            if !known.any(|known| Arc::ptr_eq(&known.link, &before.link)) {
                self.beginnings.tasks.spawn(before.link.upstream().shutdown(UNBINDS_WITHIN));
            }
        }
    }

    /// Whether `old` need not linger: the link of its name in `prepared` has the same account, and so gets the receipts of
    /// what `old` sent, or waits for its session. One that cannot bind at all gets none.
    pub(super) fn is_succeeded(id: &UpstreamId, old: &Started, prepared: &Prepared) -> bool {
        let mut fresh = prepared.fresh();
        fresh.any(|(other, new)| {
            let is_its = same_account(&old.origin, &new.origin) || makes_way(old, new);
            other == id && is_its && new.health() != Health::Misconfigured
        })
    }

    /// Whoever had the name before and is still connected.
    fn predecessors(&self, id: &UpstreamId) -> impl Iterator<Item = &Started> {
        let lingering = self.left.iter().filter(move |(other, _)| other == id).map(|(_, old)| old);
        self.started.get(id).into_iter().chain(lingering)
    }
}

impl Started {
    fn health(&self) -> Health {
        *self.link.upstream().health().borrow()
    }
}

/// Whether the bind `old` goes on in the place of `new`: `new` is not bound, `old` is (or was when `new` began to be awaited), and
/// it is not `old` that keeps `new` from binding.
fn goes_on(old: &Started, new: &Started, is_awaited: bool) -> bool {
    let are_binds = old.crowded.is_some() && new.crowded.is_some();
    let is_of_use = match old.health() {
        Health::Up => true,
        Health::Down => is_awaited,
        Health::Misconfigured => false,
    };
    are_binds && is_of_use && new.health() != Health::Up && !makes_way(old, new)
}

/// Whether `new` can bind only when `old` has left.
fn makes_way(old: &Started, new: &Started) -> bool {
    match new.crowded.as_ref().and_then(|crowded| *crowded.borrow()) {
        // However its address is written.
        Some(Crowded::Said) => same_system_id(&old.origin, &new.origin),
        // It may as well be the new credentials that are wrong: only what has bound before is believed.
        Some(Crowded::Perhaps) => same_credentials(&old.origin, &new.origin),
        None => false,
    }
}

/// Resolves when `old` goes on no longer in the place of `new`.
async fn arrival(old: &Started, new: &Started) {
    let (mut olds, mut news) = (old.link.upstream().health(), new.link.upstream().health());
    let Some(mut crowded) = new.crowded.clone() else { return };
    loop {
        // Seen first, and looked at then: no change in between is missed.
        olds.mark_unchanged();
        news.mark_unchanged();
        crowded.mark_unchanged();
        if !goes_on(old, new, true) {
            return;
        }
        let changed = tokio::select! {
            changed = olds.changed() => changed,
            changed = news.changed() => changed,
            changed = crowded.changed() => changed,
        };
        if changed.is_err() {
            // A link that is closed says nothing more.
            return future::pending().await;
        }
    }
}

impl Prepared {
    /// What was started for it.
    fn fresh(&self) -> impl Iterator<Item = (&UpstreamId, &Started)> {
        self.started.iter().filter(|(id, _)| self.fresh.contains(*id))
    }
}

/// Whether two are one name at an SMSC, whichever.
fn same_system_id(one: &Origin, other: &Origin) -> bool {
    match (one, other) {
        (Origin::Provider(UpstreamConfig::Smpp(one)), Origin::Provider(UpstreamConfig::Smpp(other))) => {
            one.system_id == other.system_id
        }
        _ => false,
    }
}

/// Whether two show the same SMSC the same account in the same way: one that has bound proves the other right.
fn same_credentials(one: &Origin, other: &Origin) -> bool {
    match (one, other) {
        (Origin::Provider(UpstreamConfig::Smpp(one)), Origin::Provider(UpstreamConfig::Smpp(other))) => {
            (&one.address, &one.system_id, &one.password, &one.system_type, &one.tls)
                == (&other.address, &other.system_id, &other.password, &other.system_type, &other.tls)
        }
        _ => false,
    }
}

/// Whether two are told receipts of each other's messages: an SMSC knows whom it tells by the account alone.
fn same_account(one: &Origin, other: &Origin) -> bool {
    match (one, other) {
        (Origin::Provider(UpstreamConfig::Smpp(one)), Origin::Provider(UpstreamConfig::Smpp(other))) => {
            (&one.address, &one.system_id) == (&other.address, &other.system_id)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
