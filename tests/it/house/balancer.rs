//! Debian's load balancers before the daemons of a house: HAProxy with its health checks, nginx with its own.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::node::Node;
use super::published::free_address;
use super::until;

const HAPROXY: &str = "/usr/sbin/haproxy";
const NGINX: &str = "/usr/sbin/nginx";

/// Whether both are installed; a run that must prove everything fails if they are not.
pub fn are_installed() -> bool {
    let installed = Path::new(HAPROXY).exists() && Path::new(NGINX).exists();
    assert!(installed || std::env::var_os("CI").is_none(), "HAProxy or nginx is not installed: run `make test`");
    if !installed {
        eprintln!("NOT RUN: HAProxy or nginx is not installed; `make test` installs them");
    }
    installed
}

/// One of them, running in the foreground as the test's own user; it does not outlive the test.
#[derive(Debug)]
pub struct Balancer {
    process: Child,
    folder: PathBuf,
    /// Where customers send to.
    pub front: SocketAddr,
    /// And the other way that they may take; with HAProxy it is the same.
    pub side: SocketAddr,
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A health check of HAProxy: the name of its backend, the lines that configure it, and the status of a ready node.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    pub name: &'static str,
    pub lines: &'static str,
    pub ready: u16,
}

/// What HAProxy says of one server of one backend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    pub backend: String,
    pub server: String,
    /// `UP` or `DOWN`, without the steps between.
    pub is_up: bool,
    /// The result of the last check and its HTTP status, as `L7OK 200`.
    pub said: String,
}

impl Balancer {
    /// HAProxy before `nodes`, with a backend for every check; customers' requests go to that of the first.
    pub async fn haproxy(nodes: &[&Node], checks: &[Check]) -> Self {
        let backend = |check: &Check| {
            let server = |(at, node): (usize, &&Node)| {
                format!("  server n{at} {} check port {} inter 100ms rise 1 fall 2\n", node.api, node.ops.port())
            };
            let servers: String = nodes.iter().enumerate().map(server).collect();
            format!("backend {}\n  option httpchk{}\n{servers}", check.name, check.lines)
        };
        let backends: String = checks.iter().map(backend).collect();
        Self::run(HAPROXY, &["-db", "-f"], |front, side, folder| {
            format!(
                "global\n  maxconn 200\n  stats socket {}/statistics\ndefaults\n  mode http\n  timeout connect 5s\n  \
                 timeout client 30s\n  timeout server 30s\n  timeout check 5s\n  option redispatch\n\
                 frontend api\n  bind {front}\n  bind {side}\n  default_backend {}\n{backends}",
                folder.display(),
                checks[0].name
            )
        })
        .await
    }

    /// nginx before `nodes`: in front as it is without a word about protocols, at the side with connections that are kept.
    /// `/readyz` leads to the first node's, with no `Host`.
    pub async fn nginx(nodes: &[&Node]) -> Self {
        let server = |node: &&Node| format!("server {} max_fails=1 fail_timeout=60s; ", node.api);
        let servers: String = nodes.iter().map(server).collect();
        let ops = nodes[0].ops;
        Self::run(NGINX, &["-c"], |front, side, folder| {
            let folder = folder.display();
            let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
            let paths: String = paths.iter().map(|path| format!("{path}_temp_path {folder}/{path}; ")).collect();
            format!(
                "daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;\n\
                 events {{ worker_connections 256; }}\n\
                 http {{ access_log off; {paths}\n\
                 upstream plain {{ {servers} }}\n\
                 upstream kept {{ {servers} keepalive 8; }}\n\
                 server {{ listen {front}; location / {{ proxy_pass http://plain; }}\n\
                 location = /readyz {{ proxy_pass http://{ops}/readyz; proxy_set_header Host \"\"; }} }}\n\
                 server {{ listen {side}; location / {{ proxy_pass http://kept; proxy_http_version 1.1; \
                 proxy_set_header Connection \"\"; }} }} }}\n"
            )
        })
        .await
    }

    async fn run(
        program: &str,
        arguments: &[&str],
        settings: impl FnOnce(SocketAddr, SocketAddr, &Path) -> String,
    ) -> Self {
        let folder = std::env::temp_dir().join(format!("nexo-balancer-{:016x}", rand::random::<u64>()));
        fs::create_dir(&folder).expect("made");
        let [front, side] = [(); 2].map(|()| free_address());
        let configuration = folder.join("settings");
        fs::write(&configuration, settings(front, side, &folder)).expect("written");
        let mut command = Command::new(program);
        command.args(arguments).arg(&configuration).current_dir(&folder);
        let process = command.stdin(Stdio::null()).spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
        let balancer = Self { process, folder, front, side };
        for address in [front, side] {
            until("the load balancer listens", async || TcpStream::connect(address).ok()).await;
        }
        balancer
    }

    /// Every server of every backend as HAProxy sees it now.
    pub fn seen(&self) -> Vec<Seen> {
        let mut statistics = String::new();
        let mut socket = UnixStream::connect(self.folder.join("statistics")).expect("connects");
        socket.write_all(b"show stat\n").and_then(|()| socket.read_to_string(&mut statistics)).expect("answers");
        let mut lines = statistics.trim_start_matches("# ").lines().map(|line| line.split(',').collect::<Vec<_>>());
        let names = lines.next().expect("a line of names");
        let column = |name: &str| names.iter().position(|known| *known == name).expect("a column");
        let [backend, server, status, check, code] =
            ["pxname", "svname", "status", "check_status", "check_code"].map(column);
        let seen = |line: Vec<&str>| Seen {
            backend: line[backend].to_owned(),
            server: line[server].to_owned(),
            is_up: line[status].starts_with("UP"),
            said: format!("{} {}", line[check].trim_start_matches("* "), line[code]),
        };
        lines.filter(|line| line.len() > code && line[server].starts_with('n')).map(seen).collect()
    }

    /// Waits until every check says of `server` what it is.
    pub async fn sees(&self, server: &str, is_up: bool) -> Vec<Seen> {
        until("every check has noticed", async || {
            let seen: Vec<Seen> = self.seen().into_iter().filter(|seen| seen.server == server).collect();
            let noticed = seen.iter().all(|seen| seen.is_up == is_up && seen.said.starts_with("L7OK") == is_up);
            noticed.then_some(seen)
        })
        .await
    }
}
