//! Open files: every connection is one, and the system allows a process only so many.
//!
//! Without any left, nothing is accepted any more, not even the operators' port, and the database cannot be reached again.
//! So the soft limit is raised to the hard one, and the public listener keeps to what that leaves beside everything else.

use rustix::process::{Resource, getrlimit, setrlimit};

use super::start::StartError;
use crate::config::Config;

/// The operators' listener, the database (at most 144 connections and twice `store.readers`, or files), the carriers'
/// links, logs and the runtime.
const RESERVED: usize = 256 + 256 + 128;
/// For each POST of a webhook that may be under way: its connection, and one that is kept for the next.
const WEBHOOKS: usize = 2;
/// With room for fewer customers there is no point in starting.
const CONNECTIONS_MIN: usize = 64;

/// How many of the configured public connections there may be.
///
/// # Errors
/// [`StartError::Config`] if the limit leaves next to none.
pub(super) fn connections(config: &Config) -> Result<usize, StartError> {
    let (wanted, allowed) = (config.http.connections_max, raise());
    let carriers = config.callbacks.address().map_or(0, |_listens| config.callbacks.connections_max);
    let reserved = RESERVED + carriers + 2 * config.store.readers + WEBHOOKS * config.webhooks.posts_max;
    let Some(possible) = fit(wanted, allowed, reserved) else {
        return Err(StartError::Config(format!(
            "http.connections_max: {wanted} connections do not fit into {allowed} open files (ulimit -n), of which the \
             daemon itself needs {reserved} (two for each of webhooks.posts_max)"
        )));
    };
    if possible < wanted {
        tracing::warn!(wanted, possible, allowed, "http.connections_max is cut to the limit on open files (ulimit -n)");
    }
    Ok(possible)
}

fn fit(wanted: usize, allowed: usize, reserved: usize) -> Option<usize> {
    let possible = wanted.min(allowed.saturating_sub(reserved));
    (possible >= wanted.min(CONNECTIONS_MIN)).then_some(possible)
}

/// Raises the soft limit to the hard one; returns how many files may be open.
fn raise() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
        match setrlimit(Resource::Nofile, raised) {
            Ok(()) => limit = getrlimit(Resource::Nofile),
            Err(error) => tracing::debug!(%error, "the limit on open files stays"),
        }
    }
    limit.current.map_or(usize::MAX, |allowed| usize::try_from(allowed).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn customers_get_what_the_daemon_does_not_need() {
        for (wanted, allowed, possible) in [
            (10_000, usize::MAX, Some(10_000)),
            (10_000, 10_640, Some(10_000)),
            (10_000, 1_024, Some(384)),
            (10_000, 704, Some(64)),
            (10_000, 703, None),
            (10_000, 256, None),
            (10, 650, Some(10)),
            (10, 649, None),
        ] {
            assert_eq!(fit(wanted, allowed, 640), possible, "{wanted} of {allowed}");
        }
    }
}
