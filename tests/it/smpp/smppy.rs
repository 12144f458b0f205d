//! The link against a second SMSC that nobody here wrote: PyPI's `smppy`, which accepts without an id.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nexo_route::carrier::upstream::{Health, Outcome, Subject, Upstream as _};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::bed::{Sink, attempt, config, link};
use crate::house::until;

const PATIENCE: Duration = Duration::from_secs(45);

fn python() -> PathBuf {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-python/bin/python");
    std::env::var_os("NEXO_TEST_PYTHON").map_or(installed, PathBuf::from)
}

/// Whether `.ci/prepare` has been here; a run that must prove everything fails if it has not.
fn is_prepared() -> bool {
    let finds = Command::new(python()).args(["-c", "import smppy"]).stderr(Stdio::null()).status();
    let found = finds.is_ok_and(|status| status.success());
    assert!(found || std::env::var_os("CI").is_none(), "smppy is not installed: run `make test`");
    if !found {
        eprintln!("NOT RUN: smppy is not installed; `make test` prepares it");
    }
    found
}

/// The SMSC's process; it does not outlive the test.
struct Smsc {
    process: Child,
    seen: mpsc::Receiver<String>,
}

impl Smsc {
    fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/smsc/smppy_smsc.py");
        let mut command = Command::new(python());
        command.arg("-u").arg(script).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().expect("starts");
        let lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let (see, seen) = mpsc::channel(1_000);
        std::thread::spawn(move || lines.map_while(Result::ok).all(|line| see.blocking_send(line).is_ok()));
        Self { process, seen }
    }

    /// The next thing that it saw, which is `event`.
    async fn sees(&mut self, event: &str) -> Value {
        let line = timeout(PATIENCE, self.seen.recv()).await.unwrap_or_else(|_| panic!("no {event}")).expect("it runs");
        let seen: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(seen["event"], event, "{seen}");
        seen
    }
}

impl Drop for Smsc {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Trap 12.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_accepted_without_an_id_waits_for_its_time() {
    if !is_prepared() {
        return;
    }
    let mut smsc = Smsc::start();
    let port = smsc.sees("listening").await["port"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");
    let sink = Sink::default();
    // It reads one PDU of whatever came at once, so it is sent one at a time.
    let link = link(&config(port, "window = 1\n"), &sink);
    let health = link.health();
    until("the link is up", async || (*health.borrow() == Health::Up).then_some(())).await;
    assert_eq!(smsc.sees("bind").await["system_id"], "nexo");

    for before in 0..3 {
        let sent = attempt("00", 5_000);
        assert_eq!(link.dispatch(sent.clone()).await, Outcome::Accepted);
        let to = sent.phone.e164();
        assert_eq!(smsc.sees("submit_sm").await["to"], to.trim_start_matches('+'));
        // The receipt is known by its text, acknowledged, and finds nobody: the settle time ends the delivery.
        let receipt = until("the receipt", async || sink.receipts().get(before).cloned()).await;
        assert!(matches!(&receipt.subject, Subject::Reference { references, .. } if references[0].as_str() == "77"));
        assert_eq!(smsc.sees("deliver_sm_resp").await["status"], "ESME_ROK");
        assert!(sink.namings().is_empty() && sink.states_of(&sent).is_empty());
    }
    link.shutdown(Duration::from_secs(5)).await;
    smsc.sees("unbind").await;
}
