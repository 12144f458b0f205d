//! The scripted SMSC as a process: what it sees, and what it is told.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::house::until;

const PATIENCE: Duration = Duration::from_secs(45);

fn packages() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/smsc")
}

/// Whether `.ci/prepare` has been here; a run that must prove everything fails if it has not.
pub fn is_prepared() -> bool {
    let stamp = packages().join("installed");
    assert!(stamp.exists() || std::env::var_os("CI").is_none(), "{stamp:?} is missing: run `make test`");
    if !stamp.exists() {
        eprintln!("NOT RUN: {stamp:?} is not there; `make test` prepares it");
    }
    stamp.exists()
}

/// An SMSC that runs; it does not outlive the test.
#[derive(Debug)]
pub struct Smsc {
    process: Child,
    told: ChildStdin,
    folder: PathBuf,
    seen: mpsc::Receiver<Value>,
    passed: Vec<Value>,
    pub port: u16,
}

impl Smsc {
    /// Starts one on a free port, or on `port`; with `tls`, the files of its key and its certificate.
    pub async fn start(port: u16, tls: Option<(&Path, &Path)>) -> Self {
        // Below the installed packages, where Node looks for them.
        let folder = packages().join(format!("run-{:016x}", rand::random::<u64>()));
        fs::create_dir(&folder).expect("made");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/smsc/smsc.js");
        fs::copy(script, folder.join("smsc.js")).expect("copied");
        let mut command = Command::new("node");
        command.arg("smsc.js").current_dir(&folder).env("PORT", port.to_string());
        if let Some((key, certificate)) = tls {
            command.env("KEY", key).env("CERT", certificate);
        }
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("node starts");
        let lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let (see, seen) = mpsc::channel(100_000);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let event = serde_json::from_str(&line).expect("JSON");
                if see.blocking_send(event).is_err() {
                    break;
                }
            }
        });
        let told = process.stdin.take().expect("piped");
        let mut smsc = Self { process, told, folder, seen, passed: Vec::new(), port };
        let listening = smsc.sees("listening").await;
        smsc.port = u16::try_from(listening["port"].as_u64().expect("a port")).expect("a port");
        smsc
    }

    /// The next event of this name; those before it are passed.
    pub async fn sees(&mut self, event: &str) -> Value {
        self.sees_where(event, |_| true).await
    }

    /// The next event of this name that `fits`; those before it are passed.
    pub async fn sees_where(&mut self, event: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let next = async {
            loop {
                let seen = self.seen.recv().await.expect("the SMSC runs");
                self.passed.push(seen.clone());
                if seen["event"] == event && fits(&seen) {
                    return seen;
                }
            }
        };
        timeout(PATIENCE, next).await.unwrap_or_else(|_| panic!("the SMSC never saw: {event}"))
    }

    /// Everything of this name that was seen and not passed yet.
    pub fn all(&mut self, event: &str) -> Vec<Value> {
        let before = self.passed.len();
        self.ever(event);
        self.passed[before..].iter().filter(|seen| seen["event"] == event).cloned().collect()
    }

    /// Everything of this name that was ever seen.
    pub fn ever(&mut self, event: &str) -> Vec<Value> {
        self.passed.extend(std::iter::from_fn(|| self.seen.try_recv().ok()));
        self.passed.iter().filter(|seen| seen["event"] == event).cloned().collect()
    }

    /// Everything of this name that was ever seen, when there is so much of it.
    pub async fn has_seen(&mut self, event: &str, count: usize) -> Vec<Value> {
        until(event, async || Some(self.ever(event)).filter(|seen| seen.len() >= count)).await
    }

    /// Has it do something, and returns when it has.
    pub async fn tell(&mut self, command: &str) {
        writeln!(self.told, "{command}").expect("it listens");
        self.sees("told").await;
    }
}

impl Drop for Smsc {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
