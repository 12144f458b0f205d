//! The loader's promises: every field is on the page, the order of the sources, refusals by name, and no secret in any.

use super::*;

fn variables(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

fn with_file(text: &str) -> Result<Loaded, ConfigError> {
    assemble(Some((Path::new("nexo.toml"), text)), [])
}

fn refusal(result: Result<Loaded, ConfigError>) -> String {
    result.expect_err("refused").to_string()
}

/// No field has a default in code, so that the page parses only if every field is on it.
#[test]
fn every_field_is_on_the_page_under_a_comment_that_explains_it() {
    let config = assemble(None, []).expect("the defaults hold").config;
    assert_eq!((config.admission.commits_max, config.admission.commit_wait_ms), (512, 250));
    assert_eq!((config.admission.in_flight_max, config.admission.in_flight_per_account_max), (100_000, 50_000));
    assert_eq!((config.send.ack_wait_ms, config.dispatch.dispatch_within_ms), (3_000, 5_000));
    assert_eq!((config.dispatch.receipt_wait_ms, config.dispatch.attempt_needs_ms), (60_000, 20_000));
    assert_eq!((config.keys.poll_ms, config.keys.stale_after_ms), (250, 1_000));
    assert_eq!(config.http.bind.to_string(), "127.0.0.1:8080");
    assert_eq!(config.ops.bind.to_string(), "127.0.0.1:9464");
    assert_eq!(config.store.url.0, "sqlite:data/nexo-route.db");

    let mut above = "";
    for line in DEFAULTS.lines() {
        let starts = |line: &str| line.starts_with(|c: char| c == '#' || c.is_ascii_lowercase());
        assert!(!line.starts_with(|c: char| c.is_ascii_lowercase()) || starts(above), "{line} has no comment");
        above = line;
    }
}

#[test]
fn a_file_overrides_the_page_and_the_environment_overrides_the_file() {
    let file = "[http]\nbind = \"0.0.0.0:80\"\nidle_ms = 7\n[simulator]\nfail_rate = 1\n";
    let names = variables(&[
        ("NEXO_HTTP__BIND", "[::1]:0"),
        ("NEXO_HTTP__TRUSTED_PROXIES", "10.0.0.0/8, 192.168.1.1/32,"),
        ("NEXO_WEBHOOKS__PORTS", "443,8443"),
        ("NEXO_LOG__FORMAT", "json"),
        ("NEXO_SIMULATOR__HANG", "true"),
        ("NEXO_SIMULATOR__LOSE_RECEIPT_RATE", "0.25"),
        ("NEXO_KEYS", "active = 1"),
        ("NEXO_SOMEBODY_ELSE", "1"),
        ("PATH", "/bin"),
    ]);
    let loaded = assemble(Some((Path::new("nexo.toml"), file)), names).expect("valid");
    let config = loaded.config;
    assert_eq!(config.http.bind.to_string(), "[::1]:0");
    assert_eq!(config.http.idle_ms, 7);
    assert_eq!(config.http.trusted_proxies.len(), 2);
    assert_eq!(config.webhooks.ports, [443, 8443]);
    assert!(config.simulator.hang);
    assert!((config.simulator.fail_rate - 1.0).abs() < f64::EPSILON);
    assert!((config.simulator.lose_receipt_rate - 0.25).abs() < f64::EPSILON);
    let last = loaded.overridden.iter().rfind(|(field, _)| field == "http.bind");
    assert_eq!(last.map(|(_, origin)| origin.as_str()), Some("NEXO_HTTP__BIND"));
    assert!(assemble(None, variables(&[("NEXO_HTTP__TRUSTED_PROXIES", "")])).is_ok());
    let lists = [("NEXO_WEBHOOKS__PORTS", "443, 8443"), ("NEXO_WEBHOOKS__ALLOW_NETWORKS", "10.0.0.0/8,::1/128")];
    let webhooks = assemble(None, variables(&lists)).expect("valid").config.webhooks;
    assert_eq!((webhooks.ports, webhooks.allow_networks.len()), (vec![443, 8443], 2));
}

#[test]
fn what_is_not_a_setting_is_refused_by_name() {
    for (text, parts) in [
        ("[htp]\nbind = 1", &["nexo.toml", "htp"][..]),
        ("bind = 1", &["nexo.toml", "bind"]),
        ("http = 1", &["http must be a section, not a whole number"]),
        ("[http]\nbnd = \"x\"", &["http.bnd", "[http] has", "bind"]),
        ("[http]\nbind = 8080", &["http.bind must be a text, not a whole number"]),
        ("[http]\nbind = \"8080\"", &["http.bind", "invalid socket address"]),
        ("[http]\nidle_ms = \"1s\"", &["http.idle_ms must be a whole number, not a text"]),
        ("[http]\nidle_ms = -1", &["http.idle_ms"]),
        ("[http]\ntrusted_proxies = [\"localhost\"]", &["http.trusted_proxies"]),
        ("[dispatch]\nbreaker_failures = 99999999999", &["dispatch.breaker_failures"]),
        ("[log]\nformat = \"xml\"", &["log.format", "`text`"]),
        ("[send]\nack_wait_ms = 1.5", &["send.ack_wait_ms"]),
        ("[simulator.hang]\nx = 1", &["simulator.hang must be true or false, not a section"]),
    ] {
        let message = refusal(with_file(text));
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }
    for (name, value, part) in [
        ("NEXO_HTTP__BND", "x", "NEXO_HTTP__BND"),
        ("NEXO_HTP__BIND", "x", "NEXO_HTP__BIND"),
        ("NEXO_HTTP_BIND", "x", "did you mean NEXO_HTTP__BIND"),
        ("NEXO_HTTP__IDLE_MS", "soon", "http.idle_ms (NEXO_HTTP__IDLE_MS) must be a whole number"),
        ("NEXO_SIMULATOR__HANG", "yes", "true or false"),
        ("NEXO_HTTP__BIND", "nowhere", "http.bind"),
        ("NEXO_WEBHOOKS__PORTS", "443,https", "webhooks.ports"),
    ] {
        let message = refusal(assemble(None, variables(&[(name, value)])));
        assert!(message.contains(part), "{message}");
    }
    let missing = load(Some(Path::new("/nonexistent/nexo.toml")));
    assert!(refusal(missing).contains("/nonexistent/nexo.toml"));
}

#[test]
fn a_refusal_never_repeats_a_secret() {
    for text in [
        "[store]\nurl = \"postgres://me:hunter2@db/x\" oops",
        "[store]\nurl = \"postgres://me:hunter2@db/x\nreaders = 2",
        "[store]\nurl = \"mysql://me:hunter2@db/x\"",
        "[store]\nurl = [\"hunter2\"]",
        "[store]\nurl = \"hunter2\"\nurl = \"hunter2\"",
    ] {
        let error = with_file(text).expect_err("refused");
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    let error = assemble(None, variables(&[("NEXO_STORE__URL", "mysql://me:hunter2@db")])).expect_err("refused");
    assert!(error.to_string().starts_with("store.url: ") && !error.to_string().contains("hunter2"), "{error}");
    let loaded = with_file("[store]\nurl = \"postgres://me:hunter2@db/x\"").expect("valid");
    assert!(!format!("{loaded:?}").contains("hunter2"));
}

#[test]
fn white_space_around_a_setting_is_not_part_of_it() {
    let file = "[http]\nbind = \" 0.0.0.0:80\\t\"\ntrusted_proxies = [\" 10.0.0.0/8\\n\"]\n[callbacks]\nlisten = \"127.0.0.1:1\\n\"";
    let names = [("NEXO_STORE__URL", " postgres://me:hunter2@db/x\r\n"), ("NEXO_OPS__BIND", "[::1]:9464\n")];
    let loaded = assemble(Some((Path::new("nexo.toml"), file)), variables(&names)).expect("valid");
    let config = loaded.config;
    assert_eq!(
        (config.http.bind.to_string().as_str(), config.ops.bind.to_string().as_str()),
        ("0.0.0.0:80", "[::1]:9464")
    );
    assert_eq!(config.store.url.0, "postgres://me:hunter2@db/x");
    assert_eq!(config.callbacks.address(), "127.0.0.1:1".parse().ok());
    assert_eq!(config.http.trusted_proxies.len(), 1);
}

#[test]
fn the_address_of_the_database_may_stand_in_a_file() {
    let file = SecretFile::holding(" postgres://me:hunter2@db/x \n");
    let told = |more: &str| with_file(&format!("[store]\nurl_file = {:?}\n{more}", file.0));
    let loaded = told("").expect("valid");
    assert_eq!(loaded.config.store.url.0, "postgres://me:hunter2@db/x");
    assert!(!format!("{loaded:?}").contains("hunter2"));
    assert!(refusal(told("url = \"sqlite:x\"")).starts_with("store.url_file: store.url is set too, by nexo.toml"));

    file.set_mode(0o644);
    let exposed = refusal(told(""));
    assert!(exposed.starts_with("store.url_file: ") && exposed.contains("0600"), "{exposed}");
    file.set_mode(0o600);
    std::fs::write(&file.0, "mysql://me:hunter2@db/x").expect("writes");
    let wrong = refusal(told(""));
    assert!(wrong.starts_with("store.url: must be") && !wrong.contains("hunter2"), "{wrong}");
    let missing = refusal(with_file("[store]\nurl_file = \"/nowhere/at/all\""));
    assert!(missing.starts_with("store.url_file: cannot read /nowhere/at/all"), "{missing}");
}

/// A file that is its owner's alone and goes with its test.
struct SecretFile(std::path::PathBuf);

impl SecretFile {
    fn holding(text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("nexo-load-{:016x}", rand::random::<u64>()));
        std::fs::write(&path, text).expect("writes");
        let file = Self(path);
        file.set_mode(0o600);
        file
    }

    fn set_mode(&self, mode: u32) {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(&self.0, mode).expect("sets");
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_syntax_error_names_its_line() {
    assert!(refusal(with_file("[http]\n\nbind =\n")).starts_with("nexo.toml, line 3: "));
}
