//! Where rows live.
//!
//! The address may hold a password: it is never printed, not even in an error.

use std::path::PathBuf;

use serde::Deserialize;

use super::postgres::{InvalidAddress, PostgresAddress};

/// The database.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// `sqlite:PATH` or `postgres://…`; what `url_file` holds, once it is read.
    pub url: StoreUrl,
    /// A secret file that holds `url`; empty: none.
    pub url_file: PathBuf,
    /// Customers' reads at once (per node).
    pub readers: usize,
}

/// A database address; its `Debug` hides everything but the engine.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct StoreUrl(pub String);

/// A database address, read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Database {
    Sqlite(PathBuf),
    Postgres(Box<PostgresAddress>),
}

impl StoreUrl {
    /// The engine that the address names; `None` if it is neither `sqlite:PATH` nor meant for Postgres.
    #[must_use]
    pub fn engine(&self) -> Option<&'static str> {
        match self.0.strip_prefix("sqlite:") {
            Some(path) => (!path.is_empty()).then_some("sqlite"),
            None => PostgresAddress::is_meant_by(&self.0).then_some("postgres"),
        }
    }

    /// Reads the address.
    ///
    /// # Errors
    /// [`InvalidAddress`], which repeats no value.
    pub fn database(&self) -> Result<Database, InvalidAddress> {
        match (self.engine(), self.0.strip_prefix("sqlite:")) {
            (None, _) => Err(InvalidAddress::NoEngine),
            (Some(_), Some(path)) => Ok(Database::Sqlite(path.into())),
            (Some(_), None) => PostgresAddress::parse(&self.0).map(Box::new).map(Database::Postgres),
        }
    }
}

impl std::fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:[redacted]", self.engine().unwrap_or("unknown"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_its_engine_and_nothing_else() {
        for (url, engine) in [
            ("sqlite:data/x.db", Some("sqlite")),
            ("postgres://me:hunter2@db/x", Some("postgres")),
            ("postgresql://db/x", Some("postgres")),
            ("host=db password=hunter2", Some("postgres")),
            ("hunter2=", None),
            ("sqlite:", None),
            ("postgres:db", None),
            ("hunter2", None),
            ("hunter2:x", None),
        ] {
            let url = StoreUrl(url.to_owned());
            assert_eq!(url.engine(), engine);
            assert!(!format!("{url:?} {:?}", url.database()).contains("hunter2"));
            assert_eq!(url.database().is_ok(), engine.is_some());
        }
    }
}
