//! Open files: every connection is one, and the system allows a process only so many.
//!
//! Without any left, nothing is accepted any more, not even the operators' port, and the database cannot be reached again.
//! So the soft limit is raised to the hard one, and the public listener keeps to what that leaves beside everything else. A
//! reload may bring only links that fit into what is left then, beside those that linger. Some are kept back for the case
//! that there are none all the same (`wire::descriptors`).

use rustix::process::{Resource, getrlimit, setrlimit};

use super::start::StartError;
use crate::config::Config;
use crate::config::carriers::CarrierTable;
use crate::config::upstreams::UpstreamConfig;
use crate::config::upstreams::smpp::BindMode;
use crate::wire;

/// The operators' listener, the database (at most 144 connections and twice `store.readers`, or files), what is kept back,
/// logs and the runtime.
const RESERVED: usize = 256 + 256;
/// For the links of carriers at least.
const LINKS_MIN: usize = 128;
/// For each POST of a webhook that may be under way: its connection, and one that is kept for the next.
const WEBHOOKS: usize = 2;
/// With room for fewer customers there is no point in starting.
const CONNECTIONS_MIN: usize = 64;

/// How open files are shared out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Shares {
    /// Of the configured public connections, those that there may be.
    pub(super) connections: usize,
    /// Those of all links, also of such as linger.
    pub(super) links: usize,
}

/// Raises the limit and keeps some back, before anything else takes the low numbers: a limit that is lowered while the daemon
/// runs leaves those.
pub(super) fn keep_some_back() {
    raise();
    wire::descriptors::hold();
}

/// Shares out what the system allows, with the links of `table` and as many beside them while a reload replaces them.
///
/// # Errors
/// [`StartError::Config`] if the limit leaves next to none for customers.
pub(super) fn shares(config: &Config, table: &CarrierTable) -> Result<Shares, StartError> {
    let (wanted, allowed) = (config.http.connections_max, raise());
    let carriers = config.callbacks.address().map_or(0, |_listens| config.callbacks.connections_max);
    let others = RESERVED + carriers + 2 * config.store.readers + WEBHOOKS * config.webhooks.posts_max;
    let reserved = others + LINKS_MIN.max(2 * of_links(table, |_| true));
    let Some(possible) = fit(wanted, allowed, reserved) else {
        return Err(StartError::Config(format!(
            "http.connections_max: {wanted} connections do not fit into {allowed} open files (ulimit -n), of which the \
             daemon itself needs {reserved} (two for each of webhooks.posts_max and for each connection of a carrier's link)"
        )));
    };
    if possible < wanted {
        tracing::warn!(wanted, possible, allowed, "http.connections_max is cut to the limit on open files (ulimit -n)");
    }
    Ok(Shares { connections: possible, links: allowed.saturating_sub(others + possible) })
}

/// Whether a reload that replaces `before` by `table` has its links in `room`.
///
/// # Errors
/// By how much it has not.
pub(super) fn check_links(before: &CarrierTable, table: &CarrierTable, room: usize) -> Result<(), String> {
    // What is written otherwise, or no more, stays connected for a while.
    let changed = |name: &str| {
        !table.upstreams.iter().any(|(id, now)| id.as_str() == name && before.upstreams.get(id) == Some(now))
    };
    let needed = of_links(table, |_| true) + of_links(before, changed);
    if needed <= room {
        return Ok(());
    }
    Err(format!(
        "the links of carriers need {needed} connections with those that they replace, and {room} open files (ulimit -n) are \
         left for them: fewer of in_flight_max and binds, or a restart with fewer http.connections_max"
    ))
}

/// The most connections that the links of `table` have, of those upstreams whose name `counts`, and its look-up.
fn of_links(table: &CarrierTable, counts: impl Fn(&str) -> bool) -> usize {
    let unused: Vec<_> = table.unused().collect();
    let used = table.upstreams.iter().filter(|(id, _)| !unused.contains(id) && counts(id.as_str()));
    let links = used.map(|(_, upstream)| match upstream {
        UpstreamConfig::Simulator(_) => 0,
        UpstreamConfig::Http(http) => http.in_flight_max,
        UpstreamConfig::Smpp(smpp) => match smpp.bind {
            BindMode::Transceiver => smpp.binds,
            BindMode::TransmitterReceiver => 2 * smpp.binds,
        },
    });
    links.sum::<usize>() + table.look_up.as_ref().map_or(0, |look_up| look_up.in_flight_max)
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

    fn table(upstreams: &str) -> CarrierTable {
        let carrier = "price_usd = \"0.022\"\n[carrier.a]\nchannels = [\"sms\"]\nprefixes = [\"98\"]\n\
                       sms = [{ upstream = \"tkc\" }]\n";
        CarrierTable::parse(&format!("{carrier}{upstreams}")).expect("holds")
    }

    fn http(name: &str, in_flight_max: usize) -> String {
        format!(
            "[upstream.{name}]\nkind = \"http\"\nurl = \"https://api.example/v1\"\njson = {{ code = \"{{code}}\" }}\n\
             receipts = \"refunded\"\nin_flight_max = {in_flight_max}\n"
        )
    }

    #[test]
    fn links_are_counted_with_those_that_they_replace_and_unused_ones_are_not() {
        let before = table(&(http("tkc", 1_000) + &http("spare", 5_000)));
        assert_eq!(of_links(&before, |_| true), 1_000);
        let more = table(&http("tkc", 2_000));
        assert_eq!(check_links(&before, &before, 1_000), Ok(()), "nothing is replaced");
        assert_eq!(check_links(&before, &more, 3_000), Ok(()));
        let refused = check_links(&before, &more, 2_999).expect_err("one too many");
        assert!(refused.contains("3000 connections") && refused.contains("2999 open files"), "{refused}");
    }

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
