//! Receivers of webhooks as customers run them: the code of the guides and the published libraries, each a process of its own.
//!
//! `.ci/prepare` installs what they need below `target/`; their code is in `tests/receivers/`, as printed.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nexo_route::domain::signature::WebhookSecret;

use super::until;

/// Whose code verifies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The Express receiver of the Node guide: the key's bytes.
    NodeGuide,
    /// `verify()` of the API reference: the key's hexadecimal text.
    ApiReference,
    /// The openssl lines of the cURL guide: the key's bytes.
    CurlGuide,
    /// `standardwebhooks` of npm.
    Npm,
    /// `standardwebhooks` of PyPI.
    PyPi,
}

impl Kind {
    pub const ALL: [Self; 5] = [Self::NodeGuide, Self::ApiReference, Self::CurlGuide, Self::Npm, Self::PyPi];

    /// What its owner copies from `webhook create`.
    fn secret(self, secret: &WebhookSecret) -> String {
        match self {
            Self::NodeGuide | Self::ApiReference | Self::CurlGuide => secret.expose().to_owned(),
            Self::Npm | Self::PyPi => secret.signing_key().library_secret().to_string(),
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Whether `.ci/prepare` has been here; a run that must prove everything fails if it has not.
pub fn are_prepared() -> bool {
    let missing: Vec<PathBuf> =
        [root().join("target/receivers/installed"), python()].into_iter().filter(|path| !path.exists()).collect();
    assert!(missing.is_empty() || std::env::var_os("CI").is_none(), "{missing:?}: run `make test`");
    if !missing.is_empty() {
        eprintln!("NOT RUN: {missing:?} is not there; `make test` prepares it");
    }
    missing.is_empty()
}

fn python() -> PathBuf {
    std::env::var_os("NEXO_TEST_PYTHON").map_or_else(|| root().join("target/test-python/bin/python"), PathBuf::from)
}

/// A receiver that runs; it does not outlive the test.
#[derive(Debug)]
pub struct Receiver {
    process: Child,
    folder: PathBuf,
    pub address: SocketAddr,
}

impl Receiver {
    /// Starts one that holds `secret`, and returns when it listens.
    pub async fn start(kind: Kind, secret: &WebhookSecret) -> Self {
        // Below the installed packages, where Node looks for them.
        let folder = root().join(format!("target/receivers/run-{:016x}", rand::random::<u64>()));
        fs::create_dir(&folder).expect("made");
        for file in ["node-guide.ts", "api-reference.mjs", "curl-guide.sh", "serve.mjs", "serve.py"] {
            fs::copy(root().join("tests/receivers").join(file), folder.join(file)).expect("copied");
        }
        match kind {
            Kind::NodeGuide => Self::start_node_guide(folder, &kind.secret(secret)).await,
            Kind::ApiReference => {
                Self::start_server(folder, "node", &["serve.mjs", "api-reference"], &kind.secret(secret))
            }
            Kind::CurlGuide => Self::start_server(folder, "node", &["serve.mjs", "curl-guide"], &kind.secret(secret)),
            Kind::Npm => Self::start_server(folder, "node", &["serve.mjs", "library"], &kind.secret(secret)),
            Kind::PyPi => Self::start_server(folder, &python().to_string_lossy(), &["serve.py"], &kind.secret(secret)),
        }
    }

    /// A program that prints its port once it listens.
    fn start_server(folder: PathBuf, program: &str, arguments: &[&str], secret: &str) -> Self {
        let mut process = spawn(program, arguments, &folder, secret, Stdio::piped());
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("piped")).read_line(&mut line).expect("reads");
        let port = line.trim().parse().unwrap_or_else(|error| panic!("{program} {arguments:?}: {error}: {line:?}"));
        Self { process, folder, address: (Ipv4Addr::LOCALHOST, port).into() }
    }

    /// The guide's program says neither its port nor that it listens: its port is changed, and asked until it answers.
    async fn start_node_guide(folder: PathBuf, secret: &str) -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr()).expect("a free port");
        let path = folder.join("node-guide.ts");
        let printed = fs::read_to_string(&path).expect("reads");
        assert_eq!(printed.matches("app.listen(3000);").count(), 1);
        fs::write(&path, printed.replace("app.listen(3000);", &format!("app.listen({});", free.port())))
            .expect("writes");
        let process = spawn("node", &["--import", "tsx", "node-guide.ts"], &folder, secret, Stdio::null());
        let receiver = Self { process, folder, address: free };
        until("the guide's receiver listens", async || TcpStream::connect(free).ok()).await;
        receiver
    }

    /// Where it takes events.
    pub fn url(&self) -> String {
        format!("http://{}/webhooks/nexo", self.address)
    }
}

fn spawn(program: &str, arguments: &[&str], folder: &Path, secret: &str, output: Stdio) -> Child {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).env("NEXO_WEBHOOK_SECRET", secret);
    command.stdin(Stdio::null()).stdout(output).spawn().unwrap_or_else(|error| panic!("{program}: {error}"))
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
