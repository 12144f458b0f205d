//! Who types, and on which database: what every operator's command begins with.

use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::error::CliError;
use crate::app::StartError;
use crate::clock::DatabaseClock;
use crate::config::{self, Config};
use crate::domain::sealing::Keyring;
use crate::records::audit::Actor;
use crate::records::{house_clock, keyring};
use crate::store::Store;

/// The database of the configuration with its schema up to date, and the keys that it is sealed with.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) store: Store,
    pub(super) keyring: Arc<Keyring>,
    pub(super) config: Config,
}

/// Opens the database, and compares the keys with those that it was written with: what a daemon could not open must not be
/// sealed here.
pub(super) async fn open_sealed(config: Option<&Path>) -> Result<Sealed, CliError> {
    let config = config::load(config)?.config;
    let ring = Arc::new(config::keyring(&config.secrets)?);
    let store = up_to_date(open(&config).await?).await?;
    let enrolled = Arc::clone(&ring);
    let mismatch = store
        .write(move |tx| {
            let keyring = Arc::clone(&enrolled);
            Box::pin(async move { keyring::enrol(tx, &keyring).await })
        })
        .await?;
    match mismatch {
        None => Ok(Sealed { store, keyring: ring, config }),
        Some(mismatch) => Err(CliError::Usage(format!(
            "secrets: the {} key {} is not the one that this database was written with",
            mismatch.purpose, mismatch.key_id
        ))),
    }
}

/// The database of the configuration, with its schema up to date.
pub(super) async fn open_store(config: Option<&Path>) -> Result<Store, CliError> {
    up_to_date(open_any_store(config).await?).await
}

async fn up_to_date(store: Store) -> Result<Store, CliError> {
    if store.schema_current().await? {
        // What is written here is written at the house's time, even where the database's clock is behind it.
        house_clock::begin(&store).await?;
        Ok(store)
    } else {
        Err(CliError::Refused("the database's schema is not up to date: run `nexo-route migrate`".to_owned()))
    }
}

/// The database of the configuration, whatever its schema.
pub(super) async fn open_any_store(config: Option<&Path>) -> Result<Store, CliError> {
    open(&config::load(config)?.config).await
}

/// The database of `config`, for one reader; no connection is made yet. What is wrong with its address or its certificates is
/// the configuration's fault, as at the daemon's start.
pub(super) async fn open(config: &Config) -> Result<Store, CliError> {
    Store::check_files(&config.store.url.0)?;
    let (url, files) = (&config.store.url.0, config.secrets.files());
    Ok(Store::open_on(&Handle::current(), url, 1, files, DatabaseClock::here()).map_err(StartError::from)?)
}

/// The operating system's user of this process: its name, or its number if it has none.
pub(super) fn actor() -> Actor {
    // Not the owner of /proc/self, which is root: the process is not dumpable.
    let uid = rustix::process::getuid().as_raw();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    Actor(user_name(&passwd, uid).unwrap_or_else(|| format!("uid {uid}")))
}

fn user_name(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_named_as_the_system_names_it() {
        let passwd = "root:x:0:0:root:/:/bin/sh\nbroken\nnexo:x:998:998::/nonexistent:/bin/false\n";
        assert_eq!(user_name(passwd, 998).as_deref(), Some("nexo"));
        assert_eq!(user_name(passwd, 0).as_deref(), Some("root"));
        assert_eq!(user_name(passwd, 1), None);
        assert!(!actor().0.is_empty());
    }
}
