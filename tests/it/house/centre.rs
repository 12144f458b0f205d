//! `nexo-route sim smpp` as an operator starts it: a process of its own, with a journal that tests read.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// Who binds at every centre of the tests.
pub const SYSTEM_ID: &str = "nexo";
pub const PASSWORD: &str = "secret";

/// A centre that runs; it does not outlive the test.
#[derive(Debug)]
pub struct Centre {
    process: Child,
    folder: PathBuf,
    pub address: SocketAddr,
}

impl Centre {
    /// Starts one with more `arguments`; `settings` are of `[simulator]`, whose delays are short here.
    pub fn start(arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        let folder = std::env::temp_dir().join(format!("nexo-centre-{:016x}", rand::random::<u64>()));
        fs::create_dir(&folder).expect("made");
        let mut command = Command::new(env!("CARGO_BIN_EXE_nexo-route"));
        command.args(["sim", "smpp", "--json", "--port", "0", "--system-id", SYSTEM_ID, "--password", PASSWORD]);
        command.arg("--journal").arg(folder.join("journal")).args(arguments);
        for (name, value) in [("ack_ms", "0"), ("ack_jitter_ms", "0"), ("receipt_ms", "50"), ("receipt_jitter_ms", "0")]
            .iter()
            .chain(settings)
        {
            command.env(format!("NEXO_SIMULATOR__{}", name.to_ascii_uppercase()), value);
        }
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("starts");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("piped")).read_line(&mut line).expect("reads");
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        let address = said["address"].as_str().and_then(|address| address.parse().ok()).expect("an address");
        Self { process, folder, address }
    }

    /// What it saw so far.
    pub fn journal(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.join("journal")).expect("reads");
        // The last line may be half written.
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The lines of one kind.
    pub fn saw(&self, what: &str) -> Vec<Value> {
        self.journal().into_iter().filter(|line| line["what"] == what).collect()
    }

    pub fn cut(&self) {
        self.signal("USR1");
    }

    pub fn mend(&self) {
        self.signal("USR2");
    }

    /// Asks it to stop and returns its exit code.
    pub fn stop(mut self) -> Option<i32> {
        self.signal("TERM");
        self.process.wait().expect("ends").code()
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.process.id().to_string()]).status();
        assert!(sent.expect("runs").success(), "{name}");
    }
}

impl Drop for Centre {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
