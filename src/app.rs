//! Floor 7: the composition root. It builds everything from a configuration, then starts it, then stops it.
//!
//! [`build`] checks the database and binds the ports, and serves nothing yet: whatever is wrong is found here, before a
//! customer can reach the daemon. It is the only place that knows every part.

mod edge;
mod links;
mod start;
mod stop;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use start::StartError;

use crate::actors::admission::Admission;
use crate::actors::auditor::auditor;
use crate::actors::cooldown::Cooldown;
use crate::actors::dispatch::{Beside, Dispatch};
use crate::actors::keys::Keys;
use crate::actors::supervise::{Budget, Tasks, Tree};
use crate::actors::sweeper::sweeper;
use crate::actors::tracking::Tracking;
use crate::actors::wallet::Wallet;
use crate::carrier::simulator::{Controls, Witness};
use crate::clock::DatabaseClock;
use crate::config::carriers::CarrierTable;
use crate::config::{Config, millis};
use crate::domain::sealing::Keyring;
use crate::http::api::Api;
use crate::http::listener::{Limits, Listener};
use crate::http::ops::Ops;
use crate::records::deliveries::Deliveries;
use crate::send::{Parts, SendTimes, Sender};
use crate::store::Store;
use crate::telemetry::Metrics;
use edge::{House, Pulse};

/// Failed receipts that may wait for their second channel at once; what does not fit ends.
const FALLBACKS_MAX: usize = 8_192;
/// How often gauges are refreshed and histograms folded.
const UPKEEP_EVERY: Duration = Duration::from_secs(1);

/// A daemon that has bound its ports and serves nothing yet.
#[derive(Debug)]
pub struct App {
    config: Config,
    api: Listener,
    ops: Listener,
    store: Store,
    keyring: Arc<Keyring>,
    carriers: CarrierTable,
    clock: DatabaseClock,
    metrics: Metrics,
    witness: Option<links::OpaqueWitness>,
}

/// What a test or a rehearsal may turn while the daemon runs.
#[derive(Clone, Debug)]
pub struct Running {
    /// The simulated carriers' controls, by carrier.
    pub carriers: Vec<(String, Controls)>,
    pub admission: Admission,
    pub dispatch: Dispatch,
}

/// Checks everything that can be wrong and binds the ports.
///
/// # Errors
/// [`StartError`], which tells a wrong configuration from a database that is away.
pub async fn build(config: Config, keyring: Keyring) -> Result<App, StartError> {
    let carriers = CarrierTable::load(&config.carriers.file)
        .map_err(|error| StartError::Config(format!("carriers.file: {error}")))?;
    let keyring = Arc::new(keyring);
    let (store, clock) = start::open_store(&config.store, &keyring).await?;
    let bind = |name, address: SocketAddr, limits| {
        Listener::bind(name, address, limits)
            .map_err(|error| StartError::Port(format!("cannot listen on {address} ({name}.bind): {error}")))
    };
    let api = bind("http", config.http.bind, Limits::from(&config.http))?;
    let ops = bind("ops", config.ops.bind, Limits::default())?;
    let metrics = Metrics::install().map_err(|error| StartError::Internal(error.to_string()))?;
    Ok(App { config, api, ops, store, keyring, carriers, clock, metrics, witness: None })
}

impl App {
    /// Where the API and the ops listener are bound.
    #[must_use]
    pub fn addresses(&self) -> (SocketAddr, SocketAddr) {
        let of = |listener: &Listener| listener.local_addr().expect("a bound socket has an address");
        (of(&self.api), of(&self.ops))
    }

    /// Has the simulated carriers tell `witness` of every attempt.
    #[must_use]
    pub fn with_witness(mut self, witness: Witness) -> Self {
        self.witness = Some(links::OpaqueWitness(witness));
        self
    }

    /// Serves until `stop` resolves, then stops gracefully.
    ///
    /// # Errors
    /// The root supervisor failed, or an actor did not start: the process is to end with a non-zero code.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
        self.run_observed(stop, |_| {}).await
    }

    /// The same, and shows what may be turned while it runs.
    ///
    /// # Errors
    /// As [`App::run`].
    pub async fn run_observed(
        self,
        stop: impl Future<Output = ()> + Send,
        observe: impl FnOnce(Running) + Send,
    ) -> anyhow::Result<()> {
        let (config, tasks) = (&self.config, Tasks::new());
        let settle_after = millis(config.dispatch.dispatch_within_ms + config.dispatch.receipt_wait_ms);
        let (fallen, fallbacks) = mpsc::channel(FALLBACKS_MAX);
        let (tracking, tracking_branch) =
            Tracking::new(&config.tracking, &config.dispatch, &self.store, &tasks, fallen);
        let (cooldown, cooldown_branch) = Cooldown::new();
        let refund = tracking.clone();
        let (wallet, wallet_branch) = Wallet::new(&config.wallet, &self.store, &self.clock, &tasks, move |end| {
            refund.settle_later(end);
        });
        let (keys, keys_branch) = Keys::new(&config.keys, &self.store);
        let (links, controls) = links::simulated(&self.carriers, &config.simulator, &tracking, self.witness.as_ref());
        let beside = Beside { cooldown: cooldown.clone(), tracking: tracking.clone() };
        let drain_within = millis(config.dispatch.dispatch_within_ms).min(millis(config.stop.grace_ms) / 2);
        let (dispatch, dispatch_branch) =
            Dispatch::new(&config.dispatch, drain_within, links, Arc::new(beside), fallbacks);
        let sweeper = sweeper(&config.sweeper, &self.store, &self.clock, settle_after);
        let branches = vec![
            tracking_branch,
            cooldown_branch,
            wallet_branch,
            keys_branch,
            dispatch_branch,
            sweeper,
            auditor(&self.store),
        ];
        let tree = Tree::grow(Budget::default(), branches).await.context("an actor did not start")?;

        let admission = Admission::new(&config.admission);
        let parts = Parts {
            plan: Arc::new(self.carriers.plan.clone()),
            keyring: Arc::clone(&self.keyring),
            clock: self.clock.clone(),
            store: self.store.clone(),
            admission: admission.clone(),
            cooldown,
            wallet,
            dispatch: dispatch.clone(),
            tracking,
            times: SendTimes { ack_wait: millis(config.send.ack_wait_ms), settle_after },
        };
        let house = House {
            sender: Sender::new(parts, &self.carriers.routes),
            keys,
            deliveries: Deliveries::new(self.store.clone(), Arc::clone(&self.keyring)),
            store: self.store.clone(),
        };
        let stopping = Arc::new(AtomicBool::new(false));
        let pulse = Pulse { store: self.store.clone(), dispatch: dispatch.clone(), stopping: Arc::clone(&stopping) };
        let (api_stop, ops_stop) = (CancellationToken::new(), CancellationToken::new());
        let render = self.metrics.clone();
        let api = tasks.spawn(self.api.serve(Api::new(house, &config.http), api_stop.clone()));
        let ops = tasks.spawn(self.ops.serve(Ops::new(move || render.render(), pulse), ops_stop.clone()));
        let upkeep = tasks.spawn(keep_gauges(self.metrics.clone(), admission.clone(), ops_stop.clone()));
        observe(Running { carriers: controls, admission, dispatch });

        let serving = stop::Serving { stopping, api_stop, ops_stop, api, ops, upkeep, tree, tasks, store: self.store };
        serving.until(stop, &self.config.stop).await
    }
}

async fn keep_gauges(metrics: Metrics, admission: Admission, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(UPKEEP_EVERY);
    while tokio::select! { () = stop.cancelled() => false, _ = ticks.tick() => true } {
        admission.report();
        metrics.upkeep();
    }
}
