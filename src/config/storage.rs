//! Where rows live.
//!
//! The address may hold a password: it is never printed, not even in an error.

use serde::Deserialize;

/// The database.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// `sqlite:PATH` or `postgres://…`.
    pub url: StoreUrl,
    /// Customers' reads at once (per node).
    pub readers: usize,
}

/// A database address; its `Debug` hides everything but the engine.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct StoreUrl(pub String);

impl StoreUrl {
    /// The engine that the address names; `None` if it is neither `sqlite:PATH` nor `postgres://…`.
    #[must_use]
    pub fn engine(&self) -> Option<&'static str> {
        match self.0.split_once(':') {
            Some(("sqlite", path)) if !path.is_empty() => Some("sqlite"),
            Some(("postgres" | "postgresql", rest)) if rest.len() > 2 && rest.starts_with("//") => Some("postgres"),
            _ => None,
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
            ("sqlite:", None),
            ("postgres:db", None),
            ("hunter2", None),
            ("hunter2:x", None),
        ] {
            let url = StoreUrl(url.to_owned());
            assert_eq!(url.engine(), engine);
            assert!(!format!("{url:?}").contains("hunter2"));
        }
    }
}
