//! One daemon of a house, on a runtime of its own: stopped gracefully, or killed with everything it had in memory.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use nexo_route::app::{Running, build_with};
use nexo_route::carrier::simulator::{Controls, Witness};
use nexo_route::clock::DatabaseClock;
use nexo_route::config::{Config, assemble};
use nexo_route::domain::sealing::{Keyring, SecretKey};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::client::{Answer, Request};

/// What every daemon of a test is told; a test's own settings come after it and win.
const SETTINGS: &str = r#"
[http]
bind = "127.0.0.1:0"
[ops]
bind = "127.0.0.1:0"
[store]
readers = 2
[keys]
poll_ms = 50
[sweeper]
every_ms = 100
[simulator]
ack_ms = 0
ack_jitter_ms = 0
receipt_ms = 20
receipt_jitter_ms = 0
[stop]
notice_ms = 0
grace_ms = 15000
"#;

/// A graceful stop that takes longer hangs.
const STOP_WITHIN: Duration = Duration::from_secs(40);

type Ended = JoinHandle<anyhow::Result<()>>;

/// A daemon that serves.
#[derive(Debug)]
pub struct Node {
    pub api: SocketAddr,
    pub ops: SocketAddr,
    pub running: Running,
    life: Mutex<Option<Life>>,
}

#[derive(Debug)]
struct Life {
    stop: oneshot::Sender<()>,
    ended: Ended,
    runtime: Runtime,
}

/// The settings of a node: what every test says, then `overrides` as `("section.key", "value")`; checked as a file is.
pub fn settings(url: &str, overrides: &[(&str, &str)]) -> anyhow::Result<Config> {
    let all = std::iter::once(("store.url", url)).chain(overrides.iter().copied());
    let variable = |name: &str| format!("NEXO_{}", name.replacen('.', "__", 1).to_ascii_uppercase());
    let variables = all.map(|(name, value)| (variable(name).into(), value.into()));
    Ok(assemble(Some((Path::new("house.toml"), SETTINGS)), variables)?.config)
}

/// The keys of every test's database.
pub fn keyring() -> Keyring {
    Keyring::new(1, vec![(1, SecretKey::new([7; 32]))], SecretKey::new([9; 32])).expect("names a key")
}

impl Node {
    /// Starts a daemon, with a clock that knows no time yet, and returns when it serves.
    pub async fn start(config: Config, witness: Witness, clock: DatabaseClock) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = oneshot::channel();
        let ended: Ended = runtime.spawn(async move {
            let app = build_with(config, keyring(), clock).await?.with_witness(witness);
            let addresses = app.addresses();
            let stopped = async {
                let _asked_or_dropped = stopped.await;
            };
            app.run_observed(stopped, move |running| {
                let _nobody_waits = tell.send((addresses, running));
            })
            .await
        });
        match told.await {
            Ok(((api, ops), running)) => {
                let life = Mutex::new(Some(Life { stop, ended, runtime }));
                Ok(Self { api, ops, running, life })
            }
            Err(_) => {
                let why = ended.await;
                runtime.shutdown_background();
                why??;
                anyhow::bail!("a daemon ended before it served")
            }
        }
    }

    /// The controls of one simulated carrier.
    pub fn carrier(&self, name: &str) -> &Controls {
        let found = self.running.carriers.iter().find(|(carrier, _)| carrier == name);
        &found.unwrap_or_else(|| panic!("no carrier {name}")).1
    }

    pub fn is_alive(&self) -> bool {
        self.life.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn end(&self) -> Option<Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Asks for a graceful stop and waits for it.
    pub async fn stop(&self) -> anyhow::Result<()> {
        let Some(Life { stop, ended, runtime }) = self.end() else { return Ok(()) };
        let _ended_already = stop.send(());
        let outcome = tokio::time::timeout(STOP_WITHIN, ended).await;
        runtime.shutdown_background();
        outcome.context("the graceful stop hangs")?.context("the daemon panicked")?
    }

    /// Takes the daemon away at whatever point it is: no task of it runs on, nothing is said to anybody.
    pub fn kill(&self) {
        if let Some(life) = self.end() {
            life.runtime.shutdown_background();
        }
    }

    /// Asks the operators' listener.
    pub async fn ask_ops(&self, path: &str) -> anyhow::Result<Answer> {
        Request::new("GET", path).send(self.ops).await
    }

    /// The sum of a metric over all its labels; 0 if it was never counted.
    pub async fn metric(&self, name: &str) -> f64 {
        self.metric_of(name, &[]).await
    }

    /// The sum of the series of a metric that have all of `labels`, as they are written.
    pub async fn metric_of(&self, name: &str, labels: &[&str]) -> f64 {
        let text = self.ask_ops("/metrics").await.expect("metrics").expect(200).text;
        let of = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            let is_meant = series.split('{').next() == Some(name) && labels.iter().all(|label| series.contains(label));
            is_meant.then(|| value.parse::<f64>().expect("a number"))
        };
        text.lines().filter_map(of).sum()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}
