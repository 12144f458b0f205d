//! What is written to standard output: an answer that is lost is a failure of its command, and of no daemon.

use std::process::{Output, Stdio};

use serde_json::Value;
use tokio::net::TcpStream;

use super::{Folder, free, full, is_root, standing_still, without_reader};
use crate::commands::{Daemon, nexo_route, text};
use crate::house::client::Request;
use crate::house::until;

const UNWRITTEN: i32 = 74;

/// The commands in one folder, with the settings that are there without being said.
struct Desk(Folder);

impl Desk {
    fn run(&self, line: &str, out: impl Into<Stdio>) -> Output {
        let mut command = nexo_route(&self.0.0);
        command.args(line.split_whitespace()).stdout(out).stderr(Stdio::piped());
        command.spawn().and_then(std::process::Child::wait_with_output).expect("runs")
    }

    fn ask(&self, line: &str) -> Value {
        let output = self.run(&format!("{line} --json"), Stdio::piped());
        assert_eq!(output.status.code(), Some(0), "{line}: {output:?}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// Runs a command with its answer lost; returns what it says of that.
    fn unheard(&self, line: &str, out: impl Into<Stdio>) -> String {
        let output = self.run(line, out);
        assert_eq!(output.status.code(), Some(UNWRITTEN), "{line}: {output:?}");
        String::from_utf8(output.stderr).expect("text")
    }
}

#[test]
fn a_command_whose_answer_cannot_be_written_ends_with_74() {
    let desk = Desk(Folder::new());
    desk.ask("secrets create");
    for line in ["migrate", "migrate --json", "account list", "verify", "check-config --json", "--help", "--version"] {
        for said in [desk.unheard(line, full()), desk.unheard(line, without_reader())] {
            let explained = said.contains("could not be written to standard output");
            assert!(explained || line.starts_with("--"), "{line}: {said}");
        }
    }
}

#[test]
fn a_secret_that_is_lost_is_not_lost_in_silence() {
    let desk = Desk(Folder::new());
    let _made = desk.unheard("secrets create", full());
    assert!(desk.0.path("data/nexo-route.keys").exists(), "what it did stands");
    desk.ask("migrate");
    let account = text(&desk.ask("account create acme"), "account");
    let create = format!("key create --account {account}");
    let keys = || desk.ask(&format!("key list --account {account}"))["data"].clone();

    // Where nobody would see it, it is not even made.
    let said = desk.unheard(&create, Stdio::null());
    assert!(said.contains("/dev/null"), "{said}");
    let closed = std::process::Command::new("sh")
        .args(["-c", &format!("exec {} {create} >&-", env!("CARGO_BIN_EXE_nexo-route"))])
        .env_clear()
        .current_dir(&desk.0.0)
        .status();
    assert_eq!(closed.expect("runs").code(), Some(UNWRITTEN));
    assert_eq!(keys(), Value::Array(Vec::new()));

    // Where it was made and not seen, the operator is told what to do.
    for lost in [desk.unheard(&create, full()), desk.unheard(&format!("{create} --json"), without_reader())] {
        let revoke = lost.split('`').nth(1).expect("a command").strip_prefix("nexo-route ").expect("ours");
        assert!(!lost.contains("sk_live_"), "{lost}");
        desk.ask(revoke);
    }
    let keys = keys();
    assert_eq!(keys.as_array().map(Vec::len), Some(2));
    assert!(keys.as_array().is_some_and(|keys| keys.iter().all(|key| key["revoked_at"].is_string())), "{keys}");
}

/// Whether a thread of the process waits for a pipe to be read. Only root may look; anybody else takes it for granted when the
/// process awaits signals.
fn stands_in_a_write(pid: u32) -> bool {
    if !is_root() {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("reads");
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("a mask").trim();
        return u64::from_str_radix(caught, 16).expect("a mask") & (1 << 14) != 0;
    }
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("lists").flatten();
    let waits = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("wchan")).unwrap_or_default();
    tasks.map(waits).any(|waits| waits.contains("pipe_write"))
}

/// A pipe that is full and is not read: a signal ends a command that waits for it, and a daemon does not wait.
#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_stands_still_holds_nobody() {
    let desk = Desk(Folder::new());
    desk.ask("secrets create");
    let [api, ops] = free();
    let spawn = |arguments: &[&str]| {
        let (reader, writer) = standing_still();
        let mut command = nexo_route(&desk.0.0);
        command.args(arguments).env("NEXO_OPS__BIND", ops.to_string()).env("NEXO_STOP__NOTICE_MS", "0");
        (Daemon(command.stdout(writer).stderr(Stdio::null()).spawn().expect("starts")), reader)
    };
    let (mut daemon, _reader) = spawn(&["serve", "--json", "--port", &api.port().to_string()]);
    until("it serves", async || Request::new("GET", "/livez").send(ops).await.ok()).await.expect(200);
    daemon.signal("-TERM");
    assert_eq!(daemon.0.wait().expect("ends").code(), Some(0));

    let (mut listing, _reader) = spawn(&["account", "list", "--json"]);
    until("it stands in its write", async || stands_in_a_write(listing.0.id()).then_some(())).await;
    listing.signal("-TERM");
    assert_eq!(listing.0.wait().expect("ends").code(), Some(130));
    let (mut refused, _reader) = spawn(&["account", "show", "01997d0a-0000-7000-8000-000000000001", "--json"]);
    assert_eq!(refused.0.wait().expect("ends").code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_goes_on_when_standard_output_is_gone_and_its_log_too() {
    for gone in ["full", "left"] {
        let folder = Folder::new();
        let out = || -> Stdio { if gone == "full" { full().into() } else { without_reader().into() } };
        let [api, ops, smsc, provider] = free();
        let serves = |arguments: &[&str]| {
            let mut command = nexo_route(&folder.0);
            command.args(arguments).env("NEXO_OPS__BIND", ops.to_string()).env("NEXO_STOP__NOTICE_MS", "0");
            Daemon(command.stdout(out()).stderr(out()).spawn().expect("starts"))
        };
        let ended = |mut daemon: Daemon| {
            daemon.signal("-TERM");
            daemon.0.wait().expect("ends").code()
        };
        let port = api.port().to_string();
        let desk = Desk(Folder(folder.0.clone()));
        desk.ask("secrets create");
        for arguments in [["serve", "--port", port.as_str()], ["demo", "--port", port.as_str()]] {
            let daemon = serves(&arguments);
            let alive =
                async || Request::new("GET", "/livez").send(ops).await.ok().filter(|answer| answer.status == 200);
            until("it serves", alive).await;
            assert_eq!(ended(daemon), Some(0), "{arguments:?} {gone}");
        }
        for (carrier, address) in [("smpp", smsc), ("http", provider)] {
            let daemon = serves(&["sim", carrier, "--port", &address.port().to_string()]);
            until("it listens", async || TcpStream::connect(address).await.ok()).await;
            assert_eq!(ended(daemon), Some(0), "sim {carrier} {gone}");
        }
    }
}
