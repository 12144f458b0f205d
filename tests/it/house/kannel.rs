//! Debian's Kannel as a client of a centre: bearerbox and smsbox, and the addresses that it calls back.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::centre::{PASSWORD, SYSTEM_ID};
use super::client::Request;
use super::published::free_address;
use super::until;

const BEARERBOX: &str = "/usr/sbin/bearerbox";
const SMSBOX: &str = "/usr/sbin/smsbox";

/// Whether Kannel is installed; a run that must prove everything fails if it is not.
pub fn is_installed() -> bool {
    let installed = Path::new(BEARERBOX).exists() && Path::new(SMSBOX).exists();
    assert!(installed || std::env::var_os("CI").is_none(), "Kannel is not installed: run `make test`");
    if !installed {
        eprintln!("NOT RUN: Kannel is not installed; `make test` installs it");
    }
    installed
}

/// Both daemons, running; they do not outlive the test.
#[derive(Debug)]
pub struct Kannel {
    daemons: Vec<Child>,
    folder: PathBuf,
    sendsms: SocketAddr,
    calls: Arc<Mutex<Vec<String>>>,
    callbacks: SocketAddr,
}

impl Kannel {
    /// Starts it with the settings that its guide shows, against the centre at `smsc`; returns when it takes messages.
    pub async fn start(smsc: SocketAddr) -> Self {
        let folder = std::env::temp_dir().join(format!("nexo-kannel-{:016x}", rand::random::<u64>()));
        fs::create_dir(&folder).expect("made");
        let [admin, smsbox, sendsms] = [(); 3].map(|()| free_address());
        let configuration = folder.join("kannel.conf");
        fs::write(&configuration, settings(smsc, [admin, smsbox, sendsms], &folder)).expect("written");
        let (callbacks, calls) = listen();
        let mut kannel = Self { daemons: Vec::new(), folder, sendsms, calls, callbacks };
        kannel.run(BEARERBOX, &configuration);
        until("bearerbox takes its smsbox", async || std::net::TcpStream::connect(smsbox).ok()).await;
        kannel.run(SMSBOX, &configuration);
        // It listens before it answers: a stranger is told so once it does.
        let stranger = Request::new("GET", "/cgi-bin/sendsms?username=nobody");
        until("smsbox takes messages", async || stranger.send(sendsms).await.ok()).await;
        until("it is bound", async || {
            let status = Request::new("GET", "/status.txt?password=bar").send(admin).await.ok()?;
            status.text.contains("(online").then_some(())
        })
        .await;
        kannel
    }

    fn run(&mut self, program: &str, configuration: &Path) {
        let mut command = Command::new(program);
        command.arg(configuration).current_dir(&self.folder).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        self.daemons.push(command.spawn().unwrap_or_else(|error| panic!("{program}: {error}")));
    }

    /// Hands it a message to `phone` (`84…`); every report is called back.
    pub async fn send(&self, phone: &str) {
        let callback = format!("http%3A%2F%2F{}%2F{phone}%2F%25d", self.callbacks.to_string().replace(':', "%3A"));
        let path = format!(
            "/cgi-bin/sendsms?username=u&password=p&from=NEXO&to={phone}&text=482917&dlr-mask=31&dlr-url={callback}"
        );
        let answer = Request::new("GET", &path).send(self.sendsms).await.expect("answers");
        assert_eq!((answer.status, answer.text.as_str()), (202, "0: Accepted for delivery"));
    }

    /// The kinds of reports on `phone` so far: 1 delivered, 2 failed, 4 buffered, 8 accepted, 16 refused by the centre. Sorted:
    /// each comes over a connection of its own.
    pub fn reports(&self, phone: &str) -> Vec<u32> {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |path: &String| path.strip_prefix(&format!("/{phone}/")).and_then(|kind| kind.parse().ok());
        let mut kinds: Vec<u32> = calls.iter().filter_map(of).collect();
        kinds.sort_unstable();
        kinds
    }

    /// Waits for the reports on `phone` and fails the test if they are others.
    pub async fn reported(&self, phone: &str, expected: &[u32]) {
        until("every report came", async || (self.reports(phone).len() >= expected.len()).then_some(())).await;
        assert_eq!(self.reports(phone), expected, "{phone}");
    }
}

impl Drop for Kannel {
    fn drop(&mut self) {
        // smsbox first: it complains when its bearerbox is gone.
        for daemon in self.daemons.iter_mut().rev() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn settings(smsc: SocketAddr, [admin, smsbox, sendsms]: [SocketAddr; 3], folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "group = core
admin-port = {}
admin-password = bar
admin-interface = 127.0.0.1
smsbox-port = {}
smsbox-interface = 127.0.0.1
log-file = \"{folder}/bearerbox.log\"
log-level = 0
dlr-storage = internal

group = smsc
smsc = smpp
smsc-id = centre
host = {}
port = {}
transceiver-mode = true
smsc-username = \"{SYSTEM_ID}\"
smsc-password = \"{PASSWORD}\"
system-type = \"\"
interface-version = 34

group = smsbox
bearerbox-host = 127.0.0.1
bearerbox-port = {}
sendsms-port = {}
sendsms-interface = 127.0.0.1
log-file = \"{folder}/smsbox.log\"

group = sendsms-user
username = u
password = p

group = sms-service
keyword = default
text = \"x\"
",
        admin.port(),
        smsbox.port(),
        smsc.ip(),
        smsc.port(),
        smsbox.port(),
        sendsms.port()
    )
}

/// Answers 200 to whatever is called and keeps its path; ends with the test's process.
fn listen() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let (address, calls) = (listener.local_addr().expect("bound"), Arc::<Mutex<Vec<String>>>::default());
    let kept = Arc::clone(&calls);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
            let (mut head, mut piece) = (Vec::new(), [0; 1_024]);
            while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                match stream.read(&mut piece) {
                    Ok(count @ 1..) => head.extend_from_slice(&piece[..count]),
                    _ => break,
                }
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            if let Some(path) = head.split(' ').nth(1) {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(path.to_owned());
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    (address, calls)
}
