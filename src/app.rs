//! Floor 7: the composition root. It builds everything from a configuration, then starts it, then stops it.
//!
//! [`build`] checks the database and binds the ports, and serves nothing yet: whatever is wrong is found here, before a
//! customer can reach the daemon. It is the only place that knows every part.

mod actors;
mod descriptors;
mod edge;
mod engine;
mod links;
mod reload;
mod start;
mod stop;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures_util::future::OptionFuture;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

pub use reload::Reload;
pub use start::{StartError, read_carriers};

use crate::actors::admission::Admission;
use crate::actors::dispatch::Dispatch;
use crate::actors::supervise::Tasks;
use crate::carrier::look_up::LookUp;
use crate::carrier::simulator::{Controls, Witness};
use crate::clock::DatabaseClock;
use crate::config::carriers::CarrierTable;
use crate::config::{Config, millis};
use crate::domain::sealing::Keyring;
use crate::http::api::Api;
use crate::http::callbacks::{Callbacks, Receivers};
use crate::http::listener::{Limits, Listener};
use crate::http::ops::Ops;
use crate::records::attempts::Attempts;
use crate::records::deliveries::Deliveries;
use crate::routing::Routing;
use crate::send::{Parts, SendTimes, Sender};
use crate::store::Store;
use crate::telemetry::Metrics;
use crate::webhook::courier::Courier;
use crate::wire;
use actors::{Actors, Blueprint, settle_after};
use edge::{House, Pulse};
use engine::EngineRoom;
use reload::Reloader;

/// How often gauges are refreshed and histograms folded.
const UPKEEP_EVERY: Duration = Duration::from_secs(1);

/// A daemon that has bound its ports and serves nothing yet.
#[derive(Debug)]
pub struct App {
    engine: EngineRoom,
    storage: EngineRoom,
    config: Config,
    api: Listener,
    ops: Listener,
    callbacks: Option<Listener>,
    /// Whose callbacks are taken: to be set by whoever reads the carrier table.
    receivers: Receivers,
    store: Store,
    keyring: Arc<Keyring>,
    carriers: CarrierTable,
    /// The connections that links of carriers may have in all.
    links_max: usize,
    routing: Routing,
    look_up: LookUp,
    reload: (Reload, mpsc::Receiver<oneshot::Sender<bool>>),
    clock: DatabaseClock,
    courier: Courier,
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
    pub reload: Reload,
}

/// Checks everything that can be wrong and binds the ports.
///
/// # Errors
/// [`StartError`], which tells a wrong configuration from a database that is away.
pub async fn build(config: Config, keyring: Keyring) -> Result<App, StartError> {
    build_with(config, keyring, DatabaseClock::here()).await
}

/// The same, with a clock on a machine that a rehearsal may set.
///
/// # Errors
/// As [`build`].
pub async fn build_with(config: Config, keyring: Keyring, clock: DatabaseClock) -> Result<App, StartError> {
    descriptors::keep_some_back();
    let carriers = start::carriers(&config.carriers).await?;
    let courier = Courier::new(&config.webhooks).map_err(|error| StartError::Config(error.to_string()))?;
    let keyring = Arc::new(keyring);
    let room = |name| EngineRoom::start(name).map_err(|error| StartError::Internal(error.to_string()));
    let (engine, storage) = (room("engine")?, room("storage")?);
    let files = config.secrets.files();
    let store = start::open_store(&storage, &config.store, files, &keyring, clock.clone()).await?;
    let bind = |name, setting, address: SocketAddr, limits| {
        Listener::bind(name, address, limits).map_err(|source| StartError::Port { setting, address, source })
    };
    let files = descriptors::shares(&config, &carriers)?;
    let limits = Limits { connections_max: files.connections, ..Limits::from(&config.http) };
    let api = bind("http", "http.bind", config.http.bind, limits)?;
    let ops = bind("ops", "ops.bind", config.ops.bind, Limits::default())?;
    let receipts = config.callbacks.address();
    let callbacks = receipts.map(|address| bind("callbacks", "callbacks.listen", address, (&config.callbacks).into()));
    let callbacks = callbacks.transpose()?;
    let receivers = Receivers::default();
    receivers.replace(reload::callbacks(&carriers));
    let metrics = Metrics::install().map_err(|error| StartError::Internal(error.to_string()))?;
    let routing = Routing::new(carriers.plan.clone(), Arc::clone(&keyring), clock.clone());
    let look_up = LookUp::default();
    let asked = start::look_up(&carriers).map_err(|why| StartError::Config(format!("carriers.file: {why}")))?;
    look_up.swap(carriers.look_up.as_ref().zip(asked));
    start::warn_of_unused(&carriers);
    Ok(App {
        engine,
        storage,
        config,
        api,
        ops,
        callbacks,
        receivers,
        store,
        keyring,
        carriers,
        links_max: files.links,
        routing,
        look_up,
        reload: Reload::new(),
        clock,
        courier,
        metrics,
        witness: None,
    })
}

impl App {
    /// Where the API and the ops listener are bound.
    #[must_use]
    pub fn addresses(&self) -> (SocketAddr, SocketAddr) {
        let of = |listener: &Listener| listener.local_addr().expect("a bound socket has an address");
        (of(&self.api), of(&self.ops))
    }

    /// Where providers bring receipts, if anywhere.
    #[must_use]
    pub fn callbacks_address(&self) -> Option<SocketAddr> {
        self.callbacks.as_ref()?.local_addr().ok()
    }

    /// By which it is told to read the carrier table anew, once it serves.
    #[must_use]
    pub fn reload(&self) -> Reload {
        self.reload.0.clone()
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
        let tasks = Tasks::new();
        let actors = self.engine.run(Actors::grow(self.blueprint(), tasks.clone())).await??;
        let config = &self.config;
        let admission = Admission::new(&config.admission);
        let house = self.house(&actors, &admission);
        let stopping = Arc::new(AtomicBool::new(false));
        let pulse = Pulse {
            store: self.store.clone(),
            keys: actors.keys.clone(),
            accept_health: actors.accept_health.clone(),
            dispatch: actors.dispatch.clone(),
            stopping: Arc::clone(&stopping),
        };
        let (api_stop, ops_stop) = (CancellationToken::new(), CancellationToken::new());
        let render = self.metrics.clone();
        let receipts = Callbacks::new(&config.callbacks, self.receivers.clone(), Arc::clone(&actors.sink));
        let receipts = self.callbacks.map(|listener| listener.serve(receipts, api_stop.clone()));
        let api = self.api.serve(Api::new(house, &config.http), api_stop.clone());
        let api = tasks.spawn(async move {
            tokio::join!(api, OptionFuture::from(receipts));
        });
        let ops = tasks.spawn(self.ops.serve(Ops::new(move || render.render(), pulse), ops_stop.clone()));
        let upkeep = tasks.spawn(keep_gauges(self.metrics.clone(), admission.clone(), ops_stop.clone()));
        let carriers = actors.links.controls();
        let (reload, asked) = self.reload;
        let reloader = Reloader {
            config: self.config.carriers.clone(),
            table: self.carriers,
            links_max: self.links_max,
            links: actors.links,
            routing: self.routing,
            look_up: self.look_up,
            dispatch: actors.dispatch.clone(),
            receivers: self.receivers,
            receiving: reload::Receiving::new(settle_after(&self.config.dispatch)),
        };
        tasks.spawn_on(self.engine.handle(), reloader.run(asked, api_stop.clone()));
        observe(Running { carriers, admission, dispatch: actors.dispatch, reload });

        let (tree, store) = (actors.tree, self.store);
        let serving = stop::Serving { stopping, api_stop, ops_stop, api, ops, upkeep, tree, tasks, store };
        let stopped = serving.until(stop, &self.config.stop).await;
        drop((self.engine, self.storage));
        stopped
    }
}

impl App {
    /// What the actors are made of; POSTs run on the runtime that serves requests, which this is called on.
    fn blueprint(&self) -> Blueprint {
        Blueprint {
            config: self.config.clone(),
            store: self.store.clone(),
            clock: self.clock.clone(),
            carriers: self.carriers.clone(),
            routing: self.routing.clone(),
            witness: self.witness.clone(),
            keyring: Arc::clone(&self.keyring),
            courier: self.courier.clone(),
            posts: Handle::current(),
        }
    }

    /// The use case and the reads, over the actors that have started.
    fn house(&self, actors: &Actors, admission: &Admission) -> House {
        let parts = Parts {
            routing: self.routing.clone(),
            look_up: self.look_up.clone(),
            learning: actors.learning.clone(),
            keyring: Arc::clone(&self.keyring),
            clock: self.clock.clone(),
            store: self.store.clone(),
            admission: admission.clone(),
            cooldown: actors.cooldown.clone(),
            wallet: actors.wallet.clone(),
            dispatch: actors.dispatch.clone(),
            tracking: actors.tracking.clone(),
            times: SendTimes {
                ack_wait: millis(self.config.send.ack_wait_ms),
                settle_after: settle_after(&self.config.dispatch),
            },
        };
        House {
            sender: Sender::new(parts),
            keys: actors.keys.clone(),
            deliveries: Deliveries::new(self.store.clone(), Arc::clone(&self.keyring)),
            attempts: Attempts::new(self.store.clone(), Arc::clone(&self.keyring)),
            store: self.store.clone(),
            engine: self.engine.handle().clone(),
        }
    }
}

async fn keep_gauges(metrics: Metrics, admission: Admission, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(UPKEEP_EVERY);
    while tokio::select! { () = stop.cancelled() => false, _ = ticks.tick() => true } {
        admission.report();
        wire::descriptors::refill();
        metrics.upkeep();
    }
}
