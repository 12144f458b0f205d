//! Debian's PgBouncer before the private cluster, in the pool mode that a test asks for.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::database::cluster;
use super::published::free_address;
use super::until;

const PGBOUNCER: &str = "/usr/sbin/pgbouncer";

/// Whether PgBouncer is installed; a run that must prove everything fails if it is not.
pub fn is_installed() -> bool {
    let installed = Path::new(PGBOUNCER).exists();
    assert!(installed || std::env::var_os("CI").is_none(), "PgBouncer is not installed: run `make test`");
    if !installed {
        eprintln!("NOT RUN: PgBouncer is not installed; `make test` installs it");
    }
    installed
}

/// A pooler that runs; it does not outlive the test.
#[derive(Debug)]
pub struct PgBouncer {
    daemon: Child,
    folder: PathBuf,
    pub address: SocketAddr,
}

impl PgBouncer {
    /// Starts it before the cluster, with `settings` as lines of its section; returns when it listens.
    pub async fn start(settings: &[&str]) -> Self {
        let folder = std::env::temp_dir().join(format!("nexo-pgbouncer-{:016x}", rand::random::<u64>()));
        fs::create_dir(&folder).expect("made");
        let address = free_address();
        let file = folder.join("pgbouncer.ini");
        fs::write(&file, configuration(address, settings)).expect("written");
        // It refuses to run as root.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("opened");
        let daemon = unprivileged(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let pooler = Self { daemon: daemon.expect("runs"), folder, address };
        until("PgBouncer listens", async || std::net::TcpStream::connect(address).ok()).await;
        pooler
    }

    /// The address of a database of the cluster, through it.
    pub fn through(&self, url: &str) -> String {
        let (user, rest) = url.rsplit_once('@').expect("a user");
        format!("{user}@{}/{}", self.address, rest.rsplit_once('/').expect("a database").1)
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn unprivileged(file: &Path) -> Command {
    use std::os::unix::fs::MetadataExt as _;
    if fs::metadata("/proc/self").expect("this process").uid() != 0 {
        let mut command = Command::new(PGBOUNCER);
        command.arg(file);
        return command;
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--", PGBOUNCER]).arg(file);
    command
}

fn configuration(address: SocketAddr, settings: &[&str]) -> String {
    let (user, server) = cluster().expect("a cluster").rsplit_once('@').expect("a user");
    let (name, password) = user.trim_start_matches("postgres://").split_once(':').expect("a password");
    let port = server.split(['/', ':']).nth(1).expect("a port");
    format!(
        "[databases]
* = host=127.0.0.1 port={port} user={name} password={password}
[pgbouncer]
listen_addr = {}
listen_port = {}
unix_socket_dir =
auth_type = any
{}
",
        address.ip(),
        address.port(),
        settings.join("\n")
    )
}
