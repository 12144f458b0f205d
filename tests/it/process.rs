//! The process as the system sees it: its descriptors, its exit codes, its memory, and the container that it is in.

mod answers;
mod container;
mod exit_codes;
mod log_gone;
mod no_cores;

use std::fs::{File, Permissions};
use std::io::{BufRead as _, BufReader, PipeReader, PipeWriter};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::commands::{Daemon, address, nexo_route, text};
use crate::house::client::{Answer, Request};

/// The code of every order here; it may stand in no log.
const CODE: &str = "482917";

/// A folder that anybody may enter, with what a test puts there; it goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("nexo-process-{:016x}", rand::random::<u64>()));
        std::fs::create_dir(&path).expect("made");
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("sets");
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The program where another user reaches it, for the folder of the build may be its owner's alone.
    fn program(&self) -> PathBuf {
        let program = self.path("nexo-route");
        std::fs::copy(env!("CARGO_BIN_EXE_nexo-route"), &program).expect("copied");
        std::fs::set_permissions(&program, Permissions::from_mode(0o755)).expect("sets");
        program
    }

    /// A command in this folder as a user without rights; if the test has none itself, as its own user.
    fn without_rights(&self, program: &Path) -> Command {
        const NOBODY: &str = "65534";
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--inh-caps=-all", "--"])
                .arg(program);
            command
        } else {
            Command::new(program)
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.env_clear().env("PATH", path).current_dir(&self.0).stdin(Stdio::null());
        command
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _removed = std::fs::remove_dir_all(&self.0);
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Addresses that were free a moment ago.
fn free<const N: usize>() -> [SocketAddr; N] {
    let listeners: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("bound"))
}

/// A pipe whose reader has left.
fn without_reader() -> PipeWriter {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer
}

/// A device on which every write fails: the disk is full.
fn full() -> File {
    File::options().write(true).open("/dev/full").expect("Linux has it")
}

/// A pipe that is full and whose reader does not read.
fn standing_still() -> (PipeReader, PipeWriter) {
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let (reader, writer) = std::io::pipe().expect("a pipe");
    // A description of its own: the daemon's writes must block.
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).expect("a flag");
    let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
    let mut filler = File::options().write(true).custom_flags(flags).open(path).expect("opens");
    while filler.write(&[b'x'; 4_096]).is_ok() {}
    while filler.write(b"x").is_ok() {}
    (reader, writer)
}

/// A demo whose log goes to `log`.
struct Demo {
    daemon: Daemon,
    api: SocketAddr,
    ops: SocketAddr,
    key: String,
}

impl Demo {
    fn start(folder: &Path, log: impl Into<Stdio>, settings: &[(&str, &str)]) -> Self {
        let mut command = nexo_route(folder);
        command.args(["demo", "--port", "0", "--json"]).envs(settings.iter().copied()).stderr(log);
        let (daemon, introduction) = speaking(&mut command);
        let (api, ops) = (address(&introduction, "api"), address(&introduction, "ops"));
        Self { daemon, api, ops, key: text(&introduction, "key") }
    }

    async fn order(&self, phone: &str) -> Answer {
        let order = json!({"phone": phone, "code": CODE});
        let request = Request::new("POST", "/api/v1/send-otp").key(&self.key).json(&order);
        request.send(self.api).await.expect("answers")
    }

    /// The line of a metric without labels; `None` if there is none.
    async fn metric(&self, name: &str) -> Option<u64> {
        let text = Request::new("GET", "/metrics").send(self.ops).await.expect("answers").expect(200).text;
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    fn stop(mut self) -> Option<i32> {
        self.daemon.signal("-TERM");
        self.daemon.0.wait().expect("ends").code()
    }
}

/// Starts a process and returns it with its first line, which is JSON.
fn speaking(command: &mut Command) -> (Daemon, Value) {
    let mut child = command.stdout(Stdio::piped()).spawn().expect("starts");
    let line = first_line(&mut child);
    (Daemon(child), serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
}

fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("reads");
    line
}
