//! What the system refuses is said in a sentence and with the code of `sysexits.h`, and not as "try later".

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Folder, free};
use crate::commands::nexo_route;

const REFUSED: i32 = 1;
const USAGE: i32 = 64;
const NOT_PERMITTED: i32 = 77;

/// Not an address of any machine (RFC 5737).
const NOBODYS: &str = "192.0.2.1:8080";

#[track_caller]
fn refused(command: &mut Command, code: i32, parts: &[&str]) {
    let output = command.stdout(Stdio::null()).stderr(Stdio::piped()).output().expect("runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
}

/// A daemon with everything that it needs but `setting`.
fn serve(folder: &Folder, setting: &str, value: &str) -> Command {
    let mut command = nexo_route(&folder.0);
    command.arg("serve").env("NEXO_HTTP__BIND", "127.0.0.1:0").env("NEXO_OPS__BIND", "127.0.0.1:0");
    command.env(setting, value);
    command
}

#[test]
fn a_port_that_is_taken_and_an_address_that_is_not_ours_are_said() {
    let folder = Folder::new();
    assert!(nexo_route(&folder.0).args(["secrets", "create"]).output().expect("runs").status.success());
    let [taken] = free();
    let _listener = TcpListener::bind(taken).expect("binds");
    let taken = taken.to_string();
    for (variable, setting) in [
        ("NEXO_HTTP__BIND", "http.bind"),
        ("NEXO_OPS__BIND", "ops.bind"),
        ("NEXO_CALLBACKS__LISTEN", "callbacks.listen"),
    ] {
        let is_taken = format!("{setting}: {taken} is taken");
        refused(&mut serve(&folder, variable, &taken), REFUSED, &[&is_taken]);
        let is_nobodys = format!("{setting}: {NOBODYS} is not an address of this machine");
        refused(&mut serve(&folder, variable, NOBODYS), USAGE, &[&is_nobodys]);
    }
    let port = taken.rsplit_once(':').expect("a port").1;
    for carrier in ["smpp", "http"] {
        let mut taken = nexo_route(&folder.0);
        refused(taken.args(["sim", carrier, "--port", port]), REFUSED, &["is taken"]);
        let mut nobodys = nexo_route(&folder.0);
        let not_ours = "not an address of this machine";
        refused(nobodys.args(["sim", carrier, "--port", "0", "--bind", "192.0.2.1"]), USAGE, &[not_ours]);
    }
}

#[test]
fn what_this_user_may_not_write_is_said() {
    let folder = Folder::new();
    let program = folder.program();
    let closed = folder.path("closed");
    std::fs::create_dir(&closed).expect("made");
    std::fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o555)).expect("sets");
    let may_not = "may not be written by this user";
    let of = |line: &str| {
        let mut command = folder.without_rights(&program);
        command.args(line.split_whitespace()).current_dir(&closed);
        command
    };
    for line in ["migrate", "verify", "account list"] {
        refused(&mut of(line), NOT_PERMITTED, &["store.url: data", may_not]);
        refused(of(line).env("NEXO_STORE__URL", "sqlite:nexo.db"), NOT_PERMITTED, &["store.url: .", may_not]);
    }
    refused(&mut of("secrets create"), NOT_PERMITTED, &["secrets.key_file: data/nexo-route.keys", may_not]);
    refused(&mut of("demo --dir demo"), NOT_PERMITTED, &["demo", may_not]);
    refused(&mut of("sim smpp --port 0 --journal journal"), NOT_PERMITTED, &["journal", may_not]);
    // The keys are there, the directory of the database may not be written.
    let keys = folder.path("keys");
    std::fs::create_dir(&keys).expect("made");
    std::fs::set_permissions(&keys, std::os::unix::fs::PermissionsExt::from_mode(0o777)).expect("sets");
    let key_file = keys.join("nexo.keys");
    let with_keys = |line: &str| {
        let mut command = of(line);
        command.env("NEXO_SECRETS__KEY_FILE", &key_file);
        command
    };
    assert!(with_keys("secrets create").output().expect("runs").status.success());
    refused(&mut with_keys("serve --port 0"), NOT_PERMITTED, &["store.url: data", may_not]);
}

#[test]
fn a_port_that_this_user_may_not_bind_is_said() {
    let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let first: u16 = first.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1_024);
    if first < 2 {
        eprintln!("SKIPPED: everybody may bind every port here");
        return;
    }
    let folder = Folder::new();
    let program = folder.program();
    let data = folder.path("data");
    std::fs::create_dir(&data).expect("made");
    std::fs::set_permissions(&data, std::os::unix::fs::PermissionsExt::from_mode(0o777)).expect("sets");
    assert!(folder.without_rights(&program).args(["secrets", "create"]).output().expect("runs").status.success());
    let run = |program: &Path, line: &str| {
        let mut command = folder.without_rights(program);
        command.args(line.split_whitespace()).env("NEXO_OPS__BIND", "127.0.0.1:0");
        command
    };
    let may_not = "127.0.0.1:1 may not be bound by this user: a port below 1024 needs CAP_NET_BIND_SERVICE";
    refused(run(&program, "serve").env("NEXO_HTTP__BIND", "127.0.0.1:1"), NOT_PERMITTED, &["http.bind", may_not]);
    refused(&mut run(&program, "sim smpp --port 1"), NOT_PERMITTED, &[may_not]);
    refused(&mut run(&program, "sim http --port 1"), NOT_PERMITTED, &[may_not]);
}
