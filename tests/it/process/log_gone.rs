//! A log that cannot be written, or that nobody reads, costs lines of the log and nothing else.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use nexo_route::telemetry::{self, logs};
use serde_json::Value;

use super::{CODE, Demo, Folder, free, full, speaking, standing_still, without_reader};
use crate::commands::{Daemon, address, nexo_route};

const SIGABRT: i32 = 6;

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_written_ends_nothing_and_is_counted() {
    let folder = Folder::new();
    for (name, format) in [("text", "text"), ("json", "json")] {
        for gone in ["full", "left"] {
            let dir = folder.path(&format!("{name}-{gone}"));
            std::fs::create_dir(&dir).expect("made");
            let log: Stdio = if gone == "full" { full().into() } else { without_reader().into() };
            let demo = Demo::start(&dir, log, &[("NEXO_LOG__FORMAT", format)]);
            demo.order("+84981234567").await.expect(202);
            // The link panics: the hook cannot write its line either.
            demo.order("+84981000027").await.expect(202);
            demo.order("+84981234568").await.expect(202);
            assert_eq!(demo.metric("nexo_panics_total").await, Some(1), "{format} {gone}");
            let lost = demo.metric("nexo_log_lines_lost_total").await;
            assert!(lost >= Some(1), "{format} {gone}: {lost:?}");
            assert_eq!(demo.stop(), Some(0), "{format} {gone}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_stands_still_delays_no_order_and_no_stop() {
    let folder = Folder::new();
    let (reader, writer) = standing_still();
    let demo = Demo::start(&folder.0, writer, &[("NEXO_LOG__FILTER", "trace")]);
    for n in 0..20 {
        demo.order(&format!("+8498123{n:04}")).await.expect(202);
    }
    demo.order("+84981000027").await.expect(202);
    assert_eq!(demo.metric("nexo_panics_total").await, Some(1));
    assert_eq!(demo.metric("nexo_log_lines_lost_total").await, Some(0), "8 MiB are not full");
    assert_eq!(demo.stop(), Some(0));

    // A second signal ends it at once, and an error its start, though their lines cannot be written.
    let (another, writer) = standing_still();
    let dir = folder.path("second");
    std::fs::create_dir(&dir).expect("made");
    let mut demo = Demo::start(&dir, writer, &[("NEXO_STOP__NOTICE_MS", "600000")]);
    let pid = demo.daemon.0.id();
    while demo.daemon.0.try_wait().expect("looks").is_none() {
        demo.daemon.signal("-TERM");
        tokio::task::yield_now().await;
    }
    assert_eq!(demo.daemon.0.wait().expect("ends").code(), Some(130), "{pid}");
    let (third, writer) = standing_still();
    let [taken] = free();
    let _listener = std::net::TcpListener::bind(taken).expect("binds");
    let refused = nexo_route(&dir)
        .args(["demo", "--dir", "third", "--port", "0"])
        .env("NEXO_OPS__BIND", taken.to_string())
        .stdout(Stdio::null())
        .stderr(writer)
        .status()
        .expect("runs");
    assert_eq!(refused.code(), Some(1));
    drop((reader, another, third));
}

#[test]
fn an_smsc_to_rehearse_with_goes_on_without_a_log_too() {
    let folder = Folder::new();
    for log in [Stdio::from(full()), Stdio::from(without_reader())] {
        let mut command = nexo_route(&folder.0);
        let (mut daemon, listening) = speaking(command.args(["sim", "smpp", "--port", "0", "--json"]).stderr(log));
        // A session that is out of step is logged, twice.
        for _ in 0..2 {
            let mut session = TcpStream::connect(address(&listening, "address")).expect("listens");
            session.write_all(&[0; 16]).expect("written");
            session.read_to_end(&mut Vec::new()).expect("it is closed");
        }
        daemon.signal("-TERM");
        assert_eq!(daemon.0.wait().expect("ends").code(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_lines_of_a_log_are_written_and_at_trace_those_of_libraries_too() {
    let folder = Folder::new();
    let settings =
        [("NEXO_LOG__FILTER", "trace"), ("NEXO_LOG__FORMAT", "json"), ("HTTPS_PROXY", "http://me:hunter2@p")];
    let mut demo = Demo::start(&folder.0, Stdio::piped(), &settings);
    let log = demo.daemon.0.stderr.take().expect("piped");
    let lines = tokio::task::spawn_blocking(move || BufReader::new(log).lines().collect::<Result<Vec<_>, _>>());
    demo.order("+84981234567").await.expect(202);
    demo.order("+84981000027").await.expect(202);
    let key = demo.key.clone();
    assert_eq!(demo.stop(), Some(0));
    let lines = lines.await.expect("no panic").expect("text");
    let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.last().expect("lines")["message"], "stopped");
    let panicked = lines.iter().find(|line| line["message"] == "panicked").expect("the panic is logged");
    assert!(panicked["at"].as_str().is_some_and(|at| at.starts_with("src/")), "{panicked}");
    let proxy = lines.iter().find(|line| line["variable"] == "HTTPS_PROXY").expect("a proxy is said to be ignored");
    assert!(proxy["message"].as_str().is_some_and(|message| message.starts_with("ignored")), "{proxy}");
    let is_a_librarys = |line: &&Value| !line["target"].as_str().is_some_and(|target| target.starts_with("nexo_route"));
    assert!(lines.iter().any(|line| is_a_librarys(&line)), "no line of a library");
    for line in lines.iter().map(ToString::to_string) {
        for secret in [CODE, &key, "981234567", "hunter2"] {
            assert!(!line.contains(secret), "{line}");
        }
    }
}

/// The test runs itself: its child panics while it panics.
#[test]
fn a_panic_within_a_panic_is_logged_before_the_abort() {
    const CHILD: &str = "NEXO_TEST_ABORTS";
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("the second");
        }
    }
    if std::env::var_os(CHILD).is_some() {
        telemetry::install_panic_hook();
        logs::install(logs::Format::Text, "info").expect("installs");
        let _panics = Panics;
        panic!("the first");
    }
    let name = std::thread::current().name().expect("a test's name").to_owned();
    let output = Command::new(std::env::current_exe().expect("this one"))
        .args(["--exact", &name, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(SIGABRT), "{said}");
    for text in ["text=\"the first\"", "text=\"the second\""] {
        assert!(said.lines().any(|line| line.contains("panicked at=tests/it/") && line.contains(text)), "{said}");
    }
}

#[test]
fn a_command_says_why_it_is_refused_where_its_log_would_be() {
    let folder = Folder::new();
    let mut child = nexo_route(&folder.0)
        .args(["serve", "--config", "nowhere.toml"])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("starts");
    let mut said = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut said).expect("reads");
    assert_eq!(Daemon(child).0.wait().expect("ends").code(), Some(64));
    assert!(said.starts_with("nexo-route: cannot read nowhere.toml"), "{said}");
}
