//! The rules that a configuration must keep beyond its types: capacities above zero, and fields that do not contradict
//! each other. All breaches are reported at once.

use std::fmt::Display;
use std::net::SocketAddr;

use super::error::{ConfigError, Problem};
use super::{Config, SimulatorConfig};

/// More than a week is a typing error.
const MS_MAX: u64 = 7 * 24 * 3_600 * 1_000;

/// # Errors
/// [`ConfigError::Refused`] with every field that breaks a rule.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    let mut rules = Rules(Vec::new());
    listeners(config, &mut rules);
    callbacks(config, &mut rules);
    storage(config, &mut rules);
    capacities(config, &mut rules);
    durations(config, &mut rules);
    time_of_one_otp(config, &mut rules);
    simulator(&config.simulator, &mut rules);
    logs(config, &mut rules);
    if rules.0.is_empty() { Ok(()) } else { Err(ConfigError::Refused(rules.0)) }
}

struct Rules(Vec<Problem>);

impl Rules {
    fn require(&mut self, holds: bool, field: &str, reason: impl Display) {
        if !holds {
            self.0.push(Problem { field: field.to_owned(), reason: reason.to_string() });
        }
    }

    fn between<T: PartialOrd + Copy + Display>(&mut self, field: &str, value: T, least: T, most: T) {
        let holds = value >= least && value <= most;
        self.require(holds, field, format!("must be from {least} to {most}, not {value}"));
    }
}

fn listeners(config: &Config, rules: &mut Rules) {
    let (http, ops) = (&config.http, &config.ops);
    let differ = http.bind.port() == 0 || http.bind != ops.bind;
    rules.require(differ, "ops.bind", "must differ from http.bind");
    let host = http.deposit_url.strip_prefix("https://").or_else(|| http.deposit_url.strip_prefix("http://"));
    let is_url = host.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic()));
    rules.require(is_url, "http.deposit_url", "must be an address that begins with https:// or http://");
    rules.require(
        http.connections_per_ip_max <= http.connections_max,
        "http.connections_per_ip_max",
        "must not be above http.connections_max",
    );
}

fn callbacks(config: &Config, rules: &mut Rules) {
    let callbacks = &config.callbacks;
    let address = callbacks.address();
    rules.require(
        callbacks.listen.is_empty() || address.is_some(),
        "callbacks.listen",
        "must be ADDRESS:PORT, or empty for none",
    );
    let taken = |other: &SocketAddr| address.is_some_and(|address| address.port() != 0 && address == *other);
    rules.require(
        !taken(&config.http.bind) && !taken(&config.ops.bind),
        "callbacks.listen",
        "must differ from http.bind and ops.bind",
    );
    rules.between("callbacks.connections_max", callbacks.connections_max, 1, 65_536);
    rules.between("callbacks.connections_per_ip_max", callbacks.connections_per_ip_max, 1, 65_536);
    rules.require(
        callbacks.connections_per_ip_max <= callbacks.connections_max,
        "callbacks.connections_per_ip_max",
        "must not be above callbacks.connections_max",
    );
    rules.between("callbacks.body_bytes_max", callbacks.body_bytes_max, 256, 1 << 20);
    rules.between("callbacks.read_ms", callbacks.read_ms, 1, MS_MAX);
    rules.between("callbacks.idle_ms", callbacks.idle_ms, 1, MS_MAX);
}

fn storage(config: &Config, rules: &mut Rules) {
    if let Err(wrong) = config.store.url.database() {
        rules.require(false, "store.url", wrong);
    }
    rules.between("store.readers", config.store.readers, 1, 64);
}

fn capacities(config: &Config, rules: &mut Rules) {
    let Config { http, admission, wallet, tracking, dispatch, sweeper, simulator, webhooks, .. } = config;
    for (field, value, most) in [
        ("http.connections_max", http.connections_max, 1_000_000),
        ("http.connections_per_ip_max", http.connections_per_ip_max, 1_000_000),
        ("admission.commits_max", admission.commits_max, 65_536),
        ("admission.commit_waiters_max", admission.commit_waiters_max, 1_000_000),
        ("admission.in_flight_max", admission.in_flight_max, 10_000_000),
        ("admission.in_flight_per_account_max", admission.in_flight_per_account_max, 10_000_000),
        ("wallet.shards", wallet.shards, 64),
        ("wallet.batch_max", wallet.batch_max, 4_096),
        ("tracking.shards", tracking.shards, 64),
        ("tracking.batch_max", tracking.batch_max, 4_096),
        ("dispatch.queue_max", dispatch.queue_max, 10_000_000),
        ("sweeper.batch_max", sweeper.batch_max, 4_096),
        ("simulator.in_flight_max", simulator.in_flight_max, 10_000_000),
        ("webhooks.posts_per_endpoint", webhooks.posts_per_endpoint, 1_024),
        ("webhooks.posts_max", webhooks.posts_max, 65_536),
    ] {
        rules.between(field, value, 1, most);
    }
    rules.between("dispatch.breaker_failures", dispatch.breaker_failures, 1, 1_000_000);
    rules.between("sweeper.keep_deliveries_days", sweeper.keep_deliveries_days, 1, 36_600);
    rules.between("webhooks.keep_attempts_days", webhooks.keep_attempts_days, 1, 36_600);
    rules.require(
        webhooks.posts_per_endpoint <= webhooks.posts_max,
        "webhooks.posts_per_endpoint",
        "must not be above webhooks.posts_max",
    );
    rules.require(!webhooks.ports.is_empty(), "webhooks.ports", "must name at least one port");
    rules.require(
        admission.in_flight_per_account_max <= admission.in_flight_max,
        "admission.in_flight_per_account_max",
        "must not be above admission.in_flight_max",
    );
    rules.require(
        admission.commits_max <= admission.in_flight_max,
        "admission.commits_max",
        "must not be above admission.in_flight_max: an order that awaits its commit is in flight",
    );
}

fn durations(config: &Config, rules: &mut Rules) {
    let Config { http, admission, send, keys, dispatch, sweeper, stop, webhooks, .. } = config;
    for (field, ms) in [
        ("http.first_byte_ms", http.first_byte_ms),
        ("http.header_read_ms", http.header_read_ms),
        ("http.body_read_ms", http.body_read_ms),
        ("http.idle_ms", http.idle_ms),
        ("http.write_ms", http.write_ms),
        ("admission.commit_wait_ms", admission.commit_wait_ms),
        ("send.ack_wait_ms", send.ack_wait_ms),
        ("keys.poll_ms", keys.poll_ms),
        ("keys.stale_after_ms", keys.stale_after_ms),
        ("dispatch.dispatch_within_ms", dispatch.dispatch_within_ms),
        ("dispatch.receipt_wait_ms", dispatch.receipt_wait_ms),
        ("dispatch.attempt_needs_ms", dispatch.attempt_needs_ms),
        ("dispatch.attempt_timeout_ms", dispatch.attempt_timeout_ms),
        ("dispatch.breaker_open_ms", dispatch.breaker_open_ms),
        ("sweeper.every_ms", sweeper.every_ms),
        ("stop.grace_ms", stop.grace_ms),
        ("webhooks.poll_ms", webhooks.poll_ms),
        ("webhooks.keep_alive_ms", webhooks.keep_alive_ms),
    ] {
        rules.between(field, ms, 1, MS_MAX);
    }
    rules.between("stop.notice_ms", stop.notice_ms, 0, MS_MAX);
    rules.between("webhooks.timeout_ms", webhooks.timeout_ms, 1, 30_000);
}

/// Waits that depend on each other.
fn time_of_one_otp(config: &Config, rules: &mut Rules) {
    let Config { send, keys, dispatch, .. } = config;
    rules.require(
        keys.stale_after_ms > keys.poll_ms,
        "keys.stale_after_ms",
        "must be above keys.poll_ms, or every list is stale",
    );
    rules.require(
        keys.stale_after_ms <= 1_000,
        "keys.stale_after_ms",
        "must be at most 1000: a revoked key is refused everywhere within one second",
    );
    rules.require(
        dispatch.attempt_needs_ms <= dispatch.receipt_wait_ms,
        "dispatch.attempt_needs_ms",
        "must not be above dispatch.receipt_wait_ms, or what had to wait could not leave any more",
    );
    rules.require(
        dispatch.attempt_timeout_ms <= dispatch.attempt_needs_ms,
        "dispatch.attempt_timeout_ms",
        "must not be above dispatch.attempt_needs_ms, or an attempt outlives its delivery",
    );
    rules.require(
        send.ack_wait_ms <= dispatch.dispatch_within_ms.saturating_add(dispatch.attempt_timeout_ms),
        "send.ack_wait_ms",
        "must not be above dispatch.dispatch_within_ms + dispatch.attempt_timeout_ms: by then every attempt has an outcome",
    );
}

fn simulator(simulator: &SimulatorConfig, rules: &mut Rules) {
    for (field, rate) in [
        ("simulator.refuse_rate", simulator.refuse_rate),
        ("simulator.fail_rate", simulator.fail_rate),
        ("simulator.lose_receipt_rate", simulator.lose_receipt_rate),
        ("simulator.duplicate_receipt_rate", simulator.duplicate_receipt_rate),
        ("simulator.late_receipt_rate", simulator.late_receipt_rate),
    ] {
        rules.between(field, rate, 0.0, 1.0);
    }
    for (field, ms) in [
        ("simulator.ack_ms", simulator.ack_ms),
        ("simulator.ack_jitter_ms", simulator.ack_jitter_ms),
        ("simulator.receipt_ms", simulator.receipt_ms),
        ("simulator.receipt_jitter_ms", simulator.receipt_jitter_ms),
    ] {
        rules.between(field, ms, 0, MS_MAX);
    }
}

fn logs(config: &Config, rules: &mut Rules) {
    if let Err(error) = tracing_subscriber::EnvFilter::builder().parse(&config.log.filter) {
        rules.require(false, "log.filter", error);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::assemble;

    fn refused_fields(text: &str) -> Vec<String> {
        match assemble(Some((Path::new("nexo.toml"), text)), []) {
            Ok(_) => Vec::new(),
            Err(ConfigError::Refused(problems)) => problems.into_iter().map(|problem| problem.field).collect(),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn contradictions_are_refused_by_field() {
        for (text, fields) in [
            ("", &[][..]),
            ("[http]\nbind = \"127.0.0.1:9464\"", &["ops.bind"]),
            ("[http]\nbind = \"127.0.0.1:0\"\n[ops]\nbind = \"127.0.0.1:0\"", &[]),
            ("[callbacks]\nlisten = \"here\"", &["callbacks.listen"]),
            ("[callbacks]\nlisten = \"127.0.0.1:9464\"\nread_ms = 0", &["callbacks.listen", "callbacks.read_ms"]),
            ("[callbacks]\nlisten = \"127.0.0.1:0\"", &[]),
            ("[callbacks]\nconnections_max = 8", &["callbacks.connections_per_ip_max"]),
            ("[callbacks]\nconnections_per_ip_max = 0", &["callbacks.connections_per_ip_max"]),
            ("[http]\nconnections_max = 10", &["http.connections_per_ip_max"]),
            ("[http]\nconnections_per_ip_max = 0", &["http.connections_per_ip_max"]),
            ("[http]\ndeposit_url = \"javascript:x\"", &["http.deposit_url"]),
            ("[http]\ndeposit_url = \"https://x y\"", &["http.deposit_url"]),
            ("[store]\nurl = \"mysql://x\"\nreaders = 0", &["store.url", "store.readers"]),
            ("[admission]\nin_flight_max = 1000", &["admission.in_flight_per_account_max"]),
            ("[admission]\nin_flight_max = 100\nin_flight_per_account_max = 100", &["admission.commits_max"]),
            ("[admission]\ncommits_max = 0", &["admission.commits_max"]),
            ("[wallet]\nshards = 0\nbatch_max = 0", &["wallet.shards", "wallet.batch_max"]),
            ("[tracking]\nshards = 65", &["tracking.shards"]),
            ("[sweeper]\nkeep_deliveries_days = 0", &["sweeper.keep_deliveries_days"]),
            ("[keys]\npoll_ms = 1000", &["keys.stale_after_ms"]),
            ("[keys]\nstale_after_ms = 2000", &["keys.stale_after_ms"]),
            ("[keys]\npoll_ms = 0", &["keys.poll_ms"]),
            ("[send]\nack_wait_ms = 17001", &["send.ack_wait_ms"]),
            ("[dispatch]\nreceipt_wait_ms = 19000", &["dispatch.attempt_needs_ms"]),
            ("[dispatch]\nattempt_timeout_ms = 21000", &["dispatch.attempt_timeout_ms"]),
            ("[dispatch]\ndispatch_within_ms = 99999999999", &["dispatch.dispatch_within_ms"]),
            ("[simulator]\nfail_rate = 1.1", &["simulator.fail_rate"]),
            ("[simulator]\nlate_receipt_rate = -0.1", &["simulator.late_receipt_rate"]),
            ("[simulator]\nrefuse_rate = nan", &["simulator.refuse_rate"]),
            ("[simulator]\nin_flight_max = 0", &["simulator.in_flight_max"]),
            ("[log]\nfilter = \"nexo_route=loud,,=\"", &["log.filter"]),
            ("[webhooks]\nposts_per_endpoint = 9\nposts_max = 8", &["webhooks.posts_per_endpoint"]),
            ("[webhooks]\ntimeout_ms = 30001\nports = []", &["webhooks.ports", "webhooks.timeout_ms"]),
            ("[webhooks]\nkeep_attempts_days = 0", &["webhooks.keep_attempts_days"]),
            ("[stop]\nnotice_ms = 0\ngrace_ms = 0", &["stop.grace_ms"]),
        ] {
            assert_eq!(refused_fields(text), fields, "{text}");
        }
    }
}
