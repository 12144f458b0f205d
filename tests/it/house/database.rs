//! A database of its own for every test, on either engine.
//!
//! Postgres databases live in one private cluster per run: `NEXO_TEST_POSTGRES` names it (nextest's setup script and
//! `make test` start it), and without that the first test that asks starts one that ends with this process. SQLite files
//! live under `target/tmp`. What a failed test leaves behind dies with the cluster or with `target`.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, ensure};
use tokio_postgres::NoTls;

/// The storage engine that a test runs on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// One empty database.
#[derive(Debug)]
pub struct Database {
    pub engine: Engine,
    /// As `store.url` takes it.
    pub url: String,
    name: String,
    folder: PathBuf,
}

impl Database {
    pub async fn fresh(engine: Engine) -> anyhow::Result<Self> {
        let name = unique_name();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&name);
        std::fs::create_dir_all(&folder)?;
        let url = match engine {
            Engine::Sqlite => format!("sqlite:{}", folder.join("nexo.db").display()),
            Engine::Postgres => {
                administer(&format!("CREATE DATABASE {name}")).await?;
                let (server, _) = cluster()?.rsplit_once('/').context("a cluster's address names a database")?;
                format!("{server}/{name}")
            }
        };
        Ok(Self { engine, url, name, folder })
    }

    /// A folder of the test's own, for whatever files belong to the database: it goes with it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub async fn remove(self) -> anyhow::Result<()> {
        // DROP DATABASE forces a checkpoint, which takes longer than most tests; a throw-away cluster drops them all.
        if self.engine == Engine::Postgres && !cluster()?.starts_with("postgres://throwaway:") {
            administer(&format!("DROP DATABASE {} WITH (FORCE)", self.name)).await?;
        }
        std::fs::remove_dir_all(&self.folder).context("the folder of the database")
    }
}

/// The address of the private cluster, with its maintenance database.
pub fn cluster() -> anyhow::Result<&'static str> {
    static CLUSTER: OnceLock<Result<String, String>> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| match std::env::var("NEXO_TEST_POSTGRES") {
        Ok(url) if !url.is_empty() => Ok(url),
        _ => start_cluster(&[]).map_err(|error| format!("{error:#}")),
    });
    cluster.as_deref().map_err(|error| anyhow::anyhow!("no Postgres to test on: {error}"))
}

/// Starts a cluster of this process's own, which ends with it, and returns its address.
pub fn start_cluster(settings: &[String]) -> anyhow::Result<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/postgres");
    let mut command = Command::new(script);
    command.arg(std::process::id().to_string()).args(settings).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let mut address = String::new();
    child.stdout.take().context("piped")?.read_to_string(&mut address)?;
    ensure!(child.wait()?.success(), ".ci/postgres failed");
    Ok(address.trim().to_owned())
}

/// Runs one statement on the cluster's maintenance database.
pub async fn administer(statement: &str) -> anyhow::Result<()> {
    administer_at(cluster()?, statement).await
}

/// Runs one statement on the database of `address`.
pub async fn administer_at(address: &str, statement: &str) -> anyhow::Result<()> {
    let (client, connection) = tokio_postgres::connect(address, NoTls).await.context("the private cluster")?;
    let work = async {
        let outcome = client.batch_execute(statement).await;
        drop(client);
        outcome
    };
    let (connection, outcome) = tokio::join!(connection, work);
    outcome.with_context(|| statement.to_owned())?;
    connection.context("the connection to the private cluster")
}

fn unique_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("it_{}_{count}_{:08x}", std::process::id(), rand::random::<u32>())
}
