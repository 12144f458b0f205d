//! Receivers of webhooks as customers run them: the code of the guides and the published libraries, each a process of its own.
//!
//! `.ci/prepare` installs what they need below `target/`; their code is in `tests/receivers/`, as printed.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nexo_route::domain::signature::WebhookSecret;
use nexo_route::domain::webhook::KeyForm;

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
    fn secret(self, secrets: &Secrets) -> &str {
        match self {
            Self::NodeGuide | Self::ApiReference | Self::CurlGuide => &secrets.plain,
            Self::Npm | Self::PyPi => &secrets.library,
        }
    }

    /// The form of the key that it reads; a library reads neither.
    pub fn form(self) -> KeyForm {
        if self == Self::ApiReference { KeyForm::Hex } else { KeyForm::Raw }
    }
}

/// A secret as it is shown.
#[derive(Clone, Debug)]
pub struct Secrets {
    pub plain: String,
    pub library: String,
}

impl From<&WebhookSecret> for Secrets {
    fn from(secret: &WebhookSecret) -> Self {
        Self { plain: secret.expose().to_owned(), library: secret.signing_key().library_secret().to_string() }
    }
}

/// A port of this machine that nobody has.
pub fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr()).expect("a free port")
}

/// Where a receiver at `address` takes events.
pub fn url(address: SocketAddr) -> String {
    format!("http://{address}/webhooks/nexo")
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
    /// Starts one at `address` that holds a secret, and returns when it listens.
    pub async fn start(kind: Kind, address: SocketAddr, secrets: &Secrets) -> Self {
        // Below the installed packages, where Node looks for them.
        let folder = root().join(format!("target/receivers/run-{:016x}", rand::random::<u64>()));
        fs::create_dir(&folder).expect("made");
        for file in ["node-guide.ts", "api-reference.mjs", "curl-guide.sh", "serve.mjs", "serve.py"] {
            fs::copy(root().join("tests/receivers").join(file), folder.join(file)).expect("copied");
        }
        let python = python();
        let (program, arguments): (&Path, &[&str]) = match kind {
            Kind::NodeGuide => {
                set_port(&folder.join("node-guide.ts"), address.port());
                (Path::new("node"), &["--import", "tsx", "node-guide.ts"])
            }
            Kind::ApiReference => (Path::new("node"), &["serve.mjs", "api-reference"]),
            Kind::CurlGuide => (Path::new("node"), &["serve.mjs", "curl-guide"]),
            Kind::Npm => (Path::new("node"), &["serve.mjs", "library"]),
            Kind::PyPi => (&python, &["serve.py"]),
        };
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&folder).stdin(Stdio::null()).stdout(Stdio::null());
        command.env("NEXO_WEBHOOK_SECRET", kind.secret(secrets)).env("PORT", address.port().to_string());
        let process = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let receiver = Self { process, folder, address };
        until("the receiver listens", async || TcpStream::connect(address).ok()).await;
        receiver
    }
}

/// The guide's program has its port in its text.
fn set_port(path: &Path, port: u16) {
    let printed = fs::read_to_string(path).expect("reads");
    assert_eq!(printed.matches("app.listen(3000);").count(), 1);
    fs::write(path, printed.replace("app.listen(3000);", &format!("app.listen({port});"))).expect("writes");
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
