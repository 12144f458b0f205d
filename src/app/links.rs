//! The ways to carriers: started as the carrier table says, and kept over a reload where nothing of them changed.
//!
//! A carrier without links has a simulated one, which serves all its channels. An upstream that no carrier uses is not
//! started. One that a reload takes away sends nothing more, and stays connected until receipts of what it sent no longer
//! matter (`lingering`), unless the one that takes over from it gets them. An SMSC's bind goes on until the new one is bound
//! (`succession`).

mod lingering;
mod succession;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::lingering::Lingering;
use crate::actors::dispatch::{LanePlan, Link};
use crate::actors::learning::Learning;
use crate::actors::supervise::Tasks;
use crate::carrier::http::HttpLink;
use crate::carrier::simulator::{Controls, Script, Simulator, Witness};
use crate::carrier::smpp::{Crowded, SmppLink};
use crate::carrier::unreceipted::Unreceipted;
use crate::carrier::upstream::{ReceiptSink, Upstream};
use crate::config::SimulatorConfig;
use crate::config::carriers::CarrierTable;
use crate::config::upstreams::UpstreamConfig;
use crate::domain::carrier::{Carrier, Channel};
use crate::domain::reference::UpstreamId;

/// A witness, without a printing form.
#[derive(Clone)]
pub(super) struct OpaqueWitness(pub(super) Witness);

impl fmt::Debug for OpaqueWitness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Witness")
    }
}

/// What links are started with.
#[derive(Debug)]
pub(super) struct Beginnings {
    pub(super) simulator: SimulatorConfig,
    pub(super) sink: Arc<dyn ReceiptSink>,
    pub(super) learning: Learning,
    pub(super) witness: Option<OpaqueWitness>,
    /// Where sockets live: beside those that serve requests, so that their TLS delays no batch.
    pub(super) sockets: Handle,
    pub(super) tasks: Tasks,
    /// How long a receipt of what was sent may still come.
    pub(super) receipts_within: Duration,
}

/// Upstreams that operators have paused, as last read.
pub(super) type Paused = Arc<ArcSwap<BTreeSet<UpstreamId>>>;

/// What a link was started from: a link of the same origin is the same link.
#[derive(Clone, PartialEq, Debug)]
enum Origin {
    Simulated(SimulatorConfig),
    Provider(UpstreamConfig),
}

#[derive(Clone, Debug)]
struct Started {
    origin: Origin,
    link: Arc<Link>,
    lingering: Lingering,
    /// Whether another session of its account keeps it from binding; of an SMSC alone.
    crowded: Option<watch::Receiver<Option<Crowded>>>,
}

/// The links that are in use.
#[derive(Debug)]
pub(super) struct Links {
    beginnings: Beginnings,
    started: BTreeMap<UpstreamId, Started>,
    /// Those of the table in force that are not bound yet, while the ones before them go on.
    awaited: BTreeMap<UpstreamId, Started>,
    /// Those that were in use before and may still be connected.
    left: Vec<(UpstreamId, Started)>,
    controls: HashMap<Carrier, Controls>,
    paused: Paused,
    stop: CancellationToken,
    /// Whoever lingers is closed when the house ends.
    _stopped_with_us: DropGuard,
}

/// Links of another table, started but not used yet.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    pub(super) plans: Vec<LanePlan>,
    started: BTreeMap<UpstreamId, Started>,
    /// Those of `started` that were not in use before.
    fresh: BTreeSet<UpstreamId>,
    /// Not used yet: the ones before them go on.
    awaited: BTreeMap<UpstreamId, Started>,
    /// What was started for it.
    made: BTreeSet<UpstreamId>,
}

impl Links {
    pub(super) fn new(beginnings: Beginnings, paused: Paused) -> Self {
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        let (started, awaited, left, controls) = (BTreeMap::new(), BTreeMap::new(), Vec::new(), HashMap::new());
        Self { beginnings, started, awaited, left, controls, paused, stop, _stopped_with_us: guard }
    }

    /// The simulated carriers' controls, by carrier.
    pub(super) fn controls(&self) -> Vec<(String, Controls)> {
        let named = |(carrier, controls): (&Carrier, &Controls)| (carrier.as_str().to_owned(), controls.clone());
        self.controls.iter().map(named).collect()
    }

    /// Starts what `table` needs and is not there yet. Nothing is used, and nothing is closed, before [`Links::take`].
    ///
    /// # Errors
    /// Which upstream cannot be started, and why; those that could are closed again.
    pub(super) async fn prepare(&mut self, table: &CarrierTable) -> Result<Prepared, String> {
        let mut prepared = Prepared::default();
        for route in &table.routes {
            for channel in [Channel::Voice, Channel::Sms].into_iter().filter(|one| route.channels.contains(*one)) {
                let links = match self.links(table, &route.carrier, channel, &mut prepared) {
                    Ok(links) => links,
                    Err(why) => {
                        prepared.discard().await;
                        return Err(why);
                    }
                };
                prepared.plans.push(LanePlan { carrier: route.carrier.clone(), channel, links });
            }
        }
        Ok(prepared)
    }

    /// `prepared` is in use: what it left out lingers, unless somebody else gets its receipts from now on.
    pub(super) fn take(&mut self, prepared: Prepared) {
        let before = std::mem::take(&mut self.started);
        self.left.extend(before.into_iter().filter(|(id, _)| !prepared.keeps(id)));
        self.left.retain(|(_, old)| !old.lingering.is_over());
        for (_, old) in self.left.iter().filter(|(id, old)| Self::is_succeeded(id, old, &prepared)) {
            old.lingering.leave();
        }
        self.started = prepared.started;
        self.give_up(prepared.awaited);
    }

    /// Nothing is left out after all.
    pub(super) fn let_stay(&self) {
        self.started.values().for_each(|started| started.lingering.stay());
    }

    /// What is about to be left out by `prepared` outlives its last attempt by the time in which receipts come.
    pub(super) fn let_linger(&self, prepared: &Prepared) {
        let left_out = self.started.iter().filter(|(id, _)| !prepared.keeps(id));
        left_out.for_each(|(_, started)| started.lingering.linger());
    }

    fn links(
        &mut self,
        table: &CarrierTable,
        carrier: &Carrier,
        channel: Channel,
        prepared: &mut Prepared,
    ) -> Result<Vec<(Arc<Link>, u32)>, String> {
        let written = table.links(carrier, channel);
        if written.is_empty() {
            let origin = Origin::Simulated(table.simulator(carrier, &self.beginnings.simulator));
            let link = self.link(&CarrierTable::simulated_name(carrier), origin, Some(carrier), prepared)?;
            return Ok(vec![(link, 1)]);
        }
        let mut links = Vec::with_capacity(written.len());
        for link in written {
            let upstream = table.upstreams.get(&link.upstream);
            let upstream = upstream.ok_or_else(|| format!("there is no upstream {}", link.upstream.as_str()))?;
            let origin = Origin::Provider(upstream.clone());
            links.push((self.link(&link.upstream, origin, None, prepared)?, link.weight));
        }
        Ok(links)
    }

    /// The link of that name: prepared a moment ago, kept from before, or started now.
    fn link(
        &mut self,
        id: &UpstreamId,
        origin: Origin,
        simulated: Option<&Carrier>,
        prepared: &mut Prepared,
    ) -> Result<Arc<Link>, String> {
        if let Some(known) = prepared.started.get(id) {
            return Ok(Arc::clone(&known.link));
        }
        let is_same = |known: &&Started| known.origin == origin;
        let started = match (self.started.get(id).filter(is_same), self.awaited.get(id).filter(is_same)) {
            (Some(known), _) => known.clone(),
            (None, Some(awaited)) => {
                prepared.fresh.insert(id.clone());
                awaited.link.pause(self.paused.load().contains(id));
                awaited.clone()
            }
            (None, None) => {
                prepared.fresh.insert(id.clone());
                prepared.made.insert(id.clone());
                self.start(id, origin, simulated).map_err(|why| format!("upstream.{}: {why}", id.as_str()))?
            }
        };
        let link = Arc::clone(&started.link);
        prepared.started.insert(id.clone(), started);
        Ok(link)
    }

    fn start(&mut self, id: &UpstreamId, origin: Origin, simulated: Option<&Carrier>) -> Result<Started, String> {
        let Beginnings { simulator, learning, sockets, .. } = &self.beginnings;
        let sink = || Arc::clone(&self.beginnings.sink);
        let mut crowded = None;
        let upstream: Arc<dyn Upstream> = match &origin {
            Origin::Simulated(config) => {
                let started = self.simulator(id, config);
                if let Some(carrier) = simulated {
                    self.controls.insert(carrier.clone(), started.controls());
                }
                Arc::new(started)
            }
            Origin::Provider(UpstreamConfig::Simulator(simulated)) => {
                learning.link(Arc::new(self.simulator(id, &simulated.over(simulator))))
            }
            Origin::Provider(UpstreamConfig::Http(config)) => {
                let _in = sockets.enter();
                let started = HttpLink::start(id.clone(), config, sink()).map_err(|error| error.to_string())?;
                learning.link(Arc::new(started))
            }
            Origin::Provider(UpstreamConfig::Smpp(config)) => {
                let _in = sockets.enter();
                let started = SmppLink::start(id.clone(), config, sink());
                crowded = Some(started.crowded());
                learning.link(Arc::new(started))
            }
        };
        let (within, tasks) = (self.beginnings.receipts_within, self.beginnings.tasks.clone());
        let lingering = Lingering::new(upstream, within, tasks, &self.stop);
        let wrapped = Unreceipted::wrap(Arc::new(lingering.clone()), &self.beginnings.sink);
        let link = Link::new(wrapped);
        link.pause(self.paused.load().contains(id));
        Ok(Started { origin, link, lingering, crowded })
    }

    fn simulator(&self, id: &UpstreamId, config: &SimulatorConfig) -> Simulator {
        let witness = self.beginnings.witness.as_ref().map(|witness| Arc::clone(&witness.0));
        Simulator::start(id.as_str(), Script::from(config), Arc::clone(&self.beginnings.sink), witness)
    }
}

impl Prepared {
    /// Whether the link of that name is the one that it was before.
    fn keeps(&self, id: &UpstreamId) -> bool {
        self.started.contains_key(id) && !self.fresh.contains(id)
    }

    /// Closes what was started for nothing.
    pub(super) async fn discard(self) {
        for id in &self.made {
            if let Some(started) = self.awaited.get(id).or_else(|| self.started.get(id)) {
                started.link.upstream().shutdown(Duration::ZERO).await;
            }
        }
    }
}
