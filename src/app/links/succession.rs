//! How the links of a new table take over from those before: not before they take work themselves, and not beside an old one
//! whose sessions they need.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::time::timeout;

use super::{Links, Origin, Prepared, Started};
use crate::carrier::upstream::Health;
use crate::config::upstreams::UpstreamConfig;
use crate::domain::reference::UpstreamId;

/// How long a new link may take to connect before it is used all the same.
const CONNECTS_WITHIN: Duration = Duration::from_secs(5);
/// The same where an older one holds sessions of the same account: an SMSC that allows no more of them lets the new one in
/// when the old one has left.
const BINDS_WITHIN: Duration = Duration::from_secs(2);

/// A new link whose work somebody else does until it takes over.
struct Awaited {
    id: UpstreamId,
    health: watch::Receiver<Health>,
    within: Duration,
}

impl Awaited {
    /// Whether it takes work, at the end of its time or as soon as it is known that waiting does not help.
    async fn wait(mut self) -> bool {
        let known = timeout(self.within, self.health.wait_for(|health| *health != Health::Down)).await;
        let is_up = matches!(known, Ok(Ok(health)) if *health == Health::Up);
        if !is_up {
            tracing::warn!(upstream = self.id.as_str(), "a new link takes over before it is connected");
        }
        is_up
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
            let before = self.started.get(id);
            let stands_in = before.is_some_and(|old| *old.link.upstream().health().borrow() == Health::Up);
            let crowded = self.predecessors(id).any(|old| same_account(&old.origin, &new.origin));
            let within = if crowded { BINDS_WITHIN } else { CONNECTS_WITHIN };
            let health = new.link.upstream().health();
            (stands_in || is_alone(id)).then(|| Awaited { id: id.clone(), health, within }.wait())
        });
        join_all(awaited.collect::<Vec<_>>()).await;
    }

    /// Whether `old` need not linger: the link of its name in `prepared` has the same account, and so gets the receipts of
    /// what `old` sent. One that cannot bind at all gets none.
    pub(super) fn is_succeeded(id: &UpstreamId, old: &Started, prepared: &Prepared) -> bool {
        let mut fresh = prepared.fresh();
        fresh.any(|(other, new)| {
            other == id
                && same_account(&old.origin, &new.origin)
                && *new.link.upstream().health().borrow() != Health::Misconfigured
        })
    }

    /// Whoever had the name before and is still connected.
    fn predecessors(&self, id: &UpstreamId) -> impl Iterator<Item = &Started> {
        let lingering = self.left.iter().filter(move |(other, _)| other == id).map(|(_, old)| old);
        self.started.get(id).into_iter().chain(lingering)
    }
}

impl Prepared {
    /// What was started for it.
    fn fresh(&self) -> impl Iterator<Item = (&UpstreamId, &Started)> {
        self.started.iter().filter(|(id, _)| self.fresh.contains(*id))
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
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::actors::supervise::Tasks;
    use crate::config::carriers::CarrierTable;

    fn awaited(health: &watch::Sender<Health>) -> Awaited {
        let id = UpstreamId::new("smsc").expect("sane");
        Awaited { id, health: health.subscribe(), within: CONNECTS_WITHIN }
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_link_is_waited_for_until_it_is_known_how_it_is_and_not_for_long() {
        for (becomes, expected) in [(Health::Misconfigured, false), (Health::Up, true)] {
            let (health, start) = (watch::Sender::new(Health::Down), Instant::now());
            let tasks = Tasks::new();
            let waiting = tasks.spawn(awaited(&health).wait());
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(!waiting.is_finished());
            health.send_replace(becomes);
            assert_eq!(waiting.await.expect("whole"), expected);
            assert_eq!(start.elapsed(), Duration::from_secs(1));
        }
        let (health, start) = (watch::Sender::new(Health::Down), Instant::now());
        assert!(!awaited(&health).wait().await);
        assert_eq!(start.elapsed(), CONNECTS_WITHIN);
        drop(health);
        let gone = watch::Sender::new(Health::Down).subscribe();
        let id = UpstreamId::new("smsc").expect("sane");
        assert!(!Awaited { id, health: gone, within: CONNECTS_WITHIN }.wait().await, "it was closed");
    }

    #[test]
    fn an_account_is_the_same_whatever_else_of_the_upstream_changed() {
        let path = std::env::temp_dir().join(format!("nexo-account-{:016x}", rand::random::<u64>()));
        std::fs::write(&path, "secret").expect("written");
        let origin = |address: &str, system_id: &str, text: &str| {
            let table = format!(
                "price_usd = \"0.022\"\n[carrier.a]\nchannels = [\"sms\"]\nprefixes = [\"98\"]\n\
                 [upstream.smsc]\nkind = \"smpp\"\naddress = \"{address}\"\nsystem_id = \"{system_id}\"\nsender = \"NEXO\"\n\
                 password = {{ file = {path:?} }}\ntext = \"{text}\""
            );
            let table = CarrierTable::parse(&table).expect("holds");
            Origin::Provider(table.upstreams.into_values().next().expect("one"))
        };
        let before = origin("smsc.example:2775", "nexo", "{code} la ma");
        assert!(same_account(&before, &origin("smsc.example:2775", "nexo", "Ma: {code}")));
        assert!(!same_account(&before, &origin("smsc.example:2776", "nexo", "{code} la ma")));
        assert!(!same_account(&before, &origin("smsc.example:2775", "other", "{code} la ma")));
        let simulated = Origin::Provider(UpstreamConfig::Simulator(Default::default()));
        assert!(!same_account(&before, &simulated) && !same_account(&simulated, &simulated));
        std::fs::remove_file(&path).expect("removed");
    }
}
