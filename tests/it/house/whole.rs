//! The whole house: daemons on one database, simulated carriers, a witness, and the checks that every test ends with.

use std::collections::BTreeSet;
use std::io;
use std::panic;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError};
use std::time::Duration;

use nexo_route::clock::DatabaseClock;
use nexo_route::config::{Config, millis};
use nexo_route::store::Store;
use nexo_route::telemetry::names;
use tokio::sync::OnceCell;

use super::clockwork::SteppedMachine;
use super::customer::{Customer, Purse};
use super::database::{Database, Engine};
use super::ledger::Ledger;
use super::node::{Node, settings};
use super::proxy::ChaosProxy;
use super::until;
use super::witness::Witnessed;

/// How far past its settle time a delivery may be while its sweeper comes round.
const SWEEP_GRACE_US: i64 = 3_000_000;

/// Panics in the product, wherever they were caught.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());
static LOGS: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Daemons on one database. Clones are the same house.
#[derive(Clone, Debug)]
pub struct House(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    database: Mutex<Option<Database>>,
    url: String,
    store: OnceCell<Store>,
    nodes: Mutex<Vec<Arc<Node>>>,
    started: AtomicUsize,
    /// The longest `dispatch_within` of any node.
    dispatch_within: Mutex<Duration>,
    witnessed: Witnessed,
    machine: OnceLock<Arc<SteppedMachine>>,
    finished: AtomicBool,
}

impl House {
    /// One daemon.
    pub async fn start(engine: Engine) -> Self {
        Self::with(engine, &[]).await
    }

    /// One daemon that is told `overrides`, each `("section.key", "value")`.
    pub async fn with(engine: Engine, overrides: &[(&str, &str)]) -> Self {
        let house = Self::empty(engine).await;
        house.add(overrides).await;
        house
    }

    /// A database without a daemon.
    pub async fn empty(engine: Engine) -> Self {
        listen();
        let database = Database::fresh(engine).await.expect("a database");
        Self(Arc::new(Inner {
            url: database.url.clone(),
            database: Mutex::new(Some(database)),
            store: OnceCell::new(),
            nodes: Mutex::default(),
            started: AtomicUsize::new(0),
            dispatch_within: Mutex::new(Duration::ZERO),
            witnessed: Witnessed::default(),
            machine: OnceLock::new(),
            finished: AtomicBool::new(false),
        }))
    }

    /// Starts one more daemon.
    pub async fn add(&self, overrides: &[(&str, &str)]) -> Arc<Node> {
        // The lock of a daemon that was killed a moment ago may still be held by its last transaction.
        until("a daemon starts", async || match self.try_add(overrides).await {
            Ok(node) => Some(node),
            Err(error) if format!("{error:#}").contains("another") => None,
            Err(error) => panic!("no daemon: {error:#}"),
        })
        .await
    }

    pub async fn try_add(&self, overrides: &[(&str, &str)]) -> anyhow::Result<Arc<Node>> {
        let config = self.settings(overrides);
        let within = millis(config.dispatch.dispatch_within_ms);
        let number = self.0.started.fetch_add(1, Ordering::Relaxed);
        let node = Arc::new(Node::start(config, self.0.witnessed.of_node(number), self.clock()).await?);
        let mut longest = self.0.dispatch_within.lock().unwrap_or_else(PoisonError::into_inner);
        *longest = longest.max(within);
        self.nodes_mut(|nodes| nodes.push(Arc::clone(&node)));
        Ok(node)
    }

    /// Has daemons that start from now on read the clocks of `machine`.
    pub fn on_machine(&self, machine: Arc<SteppedMachine>) {
        self.0.machine.set(machine).expect("once");
    }

    fn clock(&self) -> DatabaseClock {
        self.0.machine.get().map_or_else(DatabaseClock::here, |machine| DatabaseClock::unset(Arc::clone(machine) as _))
    }

    /// The address of the database, as `store.url` takes it.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// What a daemon of this house is told.
    pub fn settings(&self, overrides: &[(&str, &str)]) -> Config {
        settings(&self.0.url, overrides).expect("settings that hold together")
    }

    /// A wire to the database that can be cut; a daemon goes through it if it is told `("store.url", address)`.
    pub async fn proxy(&self) -> (ChaosProxy, String) {
        ChaosProxy::before_postgres(&self.0.url).await.expect("a proxy")
    }

    /// The database's own handle of the test: not one of a daemon.
    pub async fn store(&self) -> &Store {
        self.0.store.get_or_init(async || Store::open(&self.0.url, 2).await.expect("opens")).await
    }

    /// The folder with the files of the database.
    pub fn folder(&self) -> std::path::PathBuf {
        let database = self.0.database.lock().unwrap_or_else(PoisonError::into_inner);
        database.as_ref().expect("not finished").folder().to_owned()
    }

    /// The name of the database on its Postgres server.
    pub fn database_name(&self) -> &str {
        self.0.url.rsplit('/').next().expect("an address")
    }

    /// The first daemon that is alive.
    pub fn node(&self) -> Arc<Node> {
        self.nodes_mut(|nodes| nodes.iter().find(|node| node.is_alive()).cloned()).expect("a daemon")
    }

    pub fn witnessed(&self) -> &Witnessed {
        &self.0.witnessed
    }

    /// A new account with `purse` and a key, known to every daemon.
    pub async fn customer(&self, purse: Purse) -> Customer {
        self.customer_from(purse, &[]).await
    }

    /// The same, with a key that may be used from `allowlist` only.
    pub async fn customer_from(&self, purse: Purse, allowlist: &[&str]) -> Customer {
        let customer = Customer::create(self.store().await, self.node().api, purse, allowlist).await;
        for node in self.alive() {
            customer.known_at(node.api).await;
        }
        customer
    }

    pub async fn ledger(&self) -> Ledger {
        Ledger::read(self.store().await).await.expect("reads")
    }

    pub fn alive(&self) -> Vec<Arc<Node>> {
        self.nodes_mut(|nodes| nodes.iter().filter(|node| node.is_alive()).cloned().collect())
    }

    fn nodes_mut<T>(&self, with: impl FnOnce(&mut Vec<Arc<Node>>) -> T) -> T {
        with(&mut self.0.nodes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits for what is under way, stops every daemon and checks what must always hold, whatever the test did.
    pub async fn finish(self) {
        self.0.finished.store(true, Ordering::Relaxed);
        for node in self.alive() {
            quiet(&node).await;
            for name in [names::ACTOR_RESTARTS, names::INTERNAL_ERRORS, names::WALLET_BREACHES] {
                let count = node.metric(name).await;
                assert!(count == 0.0, "{name} is {count}");
            }
        }
        if !self.alive().is_empty() {
            until("nothing is overdue", async || (self.ledger().await.overdue(SWEEP_GRACE_US) == 0).then_some(()))
                .await;
        }
        for node in self.alive() {
            node.stop().await.expect("stops gracefully");
        }
        self.check().await;
        if let Some(store) = self.0.store.get() {
            store.close();
        }
        let database = self.0.database.lock().unwrap_or_else(PoisonError::into_inner).take();
        database.expect("finished once").remove().await.expect("goes");
    }

    /// Invariants 1, 2 and 3, and that nothing panicked.
    pub async fn check(&self) {
        let ledger = self.ledger().await;
        assert_eq!(ledger.breaches(), [""; 0]);
        let rows: BTreeSet<_> = ledger.deliveries.iter().map(|delivery| delivery.id).collect();
        let within = *self.0.dispatch_within.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(self.0.witnessed.breaches(&rows, within), [""; 0]);
        let panics = PANICS.lock().unwrap_or_else(PoisonError::into_inner).clone();
        assert_eq!(panics, [""; 0]);
    }
}

/// Waits until no request, charge or job is under way.
async fn quiet(node: &Node) {
    let running = &node.running;
    until("every permit and slot is back", async || {
        let held = (running.admission.in_flight_now(), running.admission.commits_now(), running.dispatch.slots_taken());
        (held == (0, 0, 0)).then_some(())
    })
    .await;
}

/// Keeps everything that the product logs, and the place of every panic of it; a test's own assertions are not its.
fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let filter = tracing_subscriber::EnvFilter::new("nexo_route=debug,warn");
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(|| Log).init();
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let at = info.location().map_or_else(String::new, ToString::to_string);
            if !at.starts_with("tests/") {
                PANICS.lock().unwrap_or_else(PoisonError::into_inner).push(at);
            }
            before(info);
        }));
    });
}

/// Keeps a line and prints it, so that a test that fails shows it.
struct Log;

impl io::Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        LOGS.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(line);
        io::stderr().write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Everything that this process has logged since its first house.
pub fn logs() -> String {
    String::from_utf8_lossy(&LOGS.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
}

impl Drop for Inner {
    fn drop(&mut self) {
        let unchecked = !self.finished.load(Ordering::Relaxed) && !std::thread::panicking();
        assert!(!unchecked, "a test ended without finish()");
    }
}
