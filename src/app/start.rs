//! What is checked of the database before a port is bound.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::engine::EngineRoom;
use crate::carrier::look_up::{Directory, Provider};
use crate::clock::DatabaseClock;
use crate::config::carriers::{CarrierTable, CarrierTableError};
use crate::config::upstreams::UpstreamConfig;
use crate::config::{CarriersConfig, SecretFiles, StoreConfig};
use crate::domain::sealing::Keyring;
use crate::records::acceptance::{ID_SKEW_MAX, WINDOW};
use crate::records::{house_clock, keyring};
use crate::store::{FileRefused, Store, StoreError};
use crate::wire::tls;

/// Clocks further apart make logs and rows tell different stories: somebody must mend one.
const SKEW_MAX: Duration = Duration::from_secs(2);

/// Why a daemon does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The configuration is wrong, or contradicts the database; exit code 64.
    #[error("{0}")]
    Config(String),
    /// The database is away or held by another daemon; try again.
    #[error("store.url: {0}")]
    Unavailable(String),
    /// The files of the database may not be made or written.
    #[error("store.url: {0}")]
    Files(#[from] FileRefused),
    /// Nothing can listen on the address of this setting.
    #[error("{setting}: cannot listen on {address}: {source}")]
    Port { setting: &'static str, address: SocketAddr, source: io::Error },
    #[error("{0}")]
    Internal(String),
}

impl From<StoreError> for StartError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(why) | StoreError::Conflict(why) | StoreError::Locked(why) => {
                Self::Unavailable(why)
            }
            StoreError::Unfit(why) | StoreError::Internal(why) => Self::Config(format!("store.url: {why}")),
        }
    }
}

/// The carrier table and the ported numbers, read where reading may block.
pub(super) async fn carriers(config: &CarriersConfig) -> Result<CarrierTable, StartError> {
    let config = config.clone();
    let read = tokio::task::spawn_blocking(move || read_carriers(&config)).await;
    read.map_err(|error| StartError::Internal(error.to_string()))?
}

/// Reads the carrier table and the ported numbers and checks all that can be wrong with them before anybody is connected to.
///
/// # Errors
/// [`StartError::Config`] naming the entry, or the line, that is wrong.
pub fn read_carriers(config: &CarriersConfig) -> Result<CarrierTable, StartError> {
    let table = CarrierTable::load_whole(config).map_err(|error| match error {
        CarrierTableError::Ported(_) => StartError::Config(error.to_string()),
        error => StartError::Config(format!("carriers.file: {error}")),
    })?;
    let wrong = |why: String| StartError::Config(format!("carriers.file: {why}"));
    look_up(&table).map_err(wrong)?;
    for (id, upstream) in &table.upstreams {
        let authorities = match upstream {
            UpstreamConfig::Http(http) => http.extra_ca_file.as_ref().map(Path::new),
            UpstreamConfig::Smpp(smpp) => smpp.tls.as_ref().and_then(|tls| tls.ca_file.as_deref()),
            UpstreamConfig::Simulator(_) => None,
        };
        tls::client(authorities).map_err(|error| wrong(format!("upstream.{}: {error}", id.as_str())))?;
    }
    Ok(table)
}

/// Whom the table has asked for the network of numbers, if anybody.
pub(super) fn look_up(table: &CarrierTable) -> Result<Option<Arc<dyn Directory>>, String> {
    let Some(config) = &table.look_up else { return Ok(None) };
    let provider = Provider::new(config).map_err(|why| format!("lookup: {why}"))?;
    Ok(Some(Arc::new(provider)))
}

/// Upstreams that are written down and carry nothing are left out, and told.
pub(super) fn warn_of_unused(table: &CarrierTable) {
    for upstream in table.unused() {
        tracing::warn!(upstream = upstream.as_str(), "no carrier uses this upstream: it is not started");
    }
}

/// Opens the database, brings its schema up to date and compares settings, privileges, keys and clocks.
pub(super) async fn open_store(
    storage: &EngineRoom,
    config: &StoreConfig,
    files: SecretFiles,
    keyring: &Arc<Keyring>,
    clock: DatabaseClock,
) -> Result<Store, StartError> {
    Store::check_files(&config.url.0)?;
    let store = Store::open_on(storage.handle(), &config.url.0, config.readers, files, clock)?;
    store.lock_for_serving()?;
    store.check_server().await?;
    let applied = store.migrate().await?;
    if !applied.is_empty() {
        tracing::info!(versions = ?applied, "migrations applied");
    }
    store.check_privileges().await?;
    let told = house_clock::begin(&store).await?;
    let (now, here) = (told.server, store.clock().wall());
    let skew = now.since(here).max(here.since(now));
    if skew > SKEW_MAX {
        return Err(StartError::Config(format!(
            "the clocks of this node and of the database are {:.1} s apart: at most {:.0} s are allowed",
            skew.as_secs_f64(),
            SKEW_MAX.as_secs_f64()
        )));
    }
    store.remember_windows(WINDOW, ID_SKEW_MAX).await?;
    let enrolled = Arc::clone(keyring);
    let enrol = store
        .write(move |tx| {
            let keyring = Arc::clone(&enrolled);
            Box::pin(async move { keyring::enrol(tx, &keyring).await })
        })
        .await?;
    if let Some(mismatch) = enrol {
        return Err(StartError::Config(format!(
            "secrets: the {} key {} is not the one that this database was written with",
            mismatch.purpose, mismatch.key_id
        )));
    }
    Ok(store)
}
