//! The commands as an operator types them: what they answer, what they refuse, and the exit code that a script sees.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

use crate::both_engines;
use crate::house::Fixture;
use crate::house::client::Request;
use crate::house::database::{Database, Engine, cluster};

/// A folder with a configuration file over a fresh database, and the commands that work on it.
pub struct Desk {
    pub folder: PathBuf,
    config: PathBuf,
}

impl Fixture for Desk {
    async fn lend(engine: Engine, test: impl AsyncFnOnce(Self)) {
        let database = Database::fresh(engine).await.expect("a database");
        let folder = database.folder().to_owned();
        let desk = Self { config: folder.join("desk.toml"), folder };
        let keys = desk.folder.join("desk.keys");
        desk.write(&format!("[store]\nurl = {:?}\n[secrets]\nkey_file = {keys:?}\n", database.url));
        test(desk).await;
        database.remove().await.expect("goes");
    }
}

impl Desk {
    pub fn write(&self, config: &str) {
        std::fs::write(&self.config, config).expect("writes");
    }

    /// Adds to the configuration.
    pub fn configure(&self, more: &str) {
        let config = std::fs::read_to_string(&self.config).expect("reads");
        self.write(&format!("{config}{more}"));
    }

    /// Gives the database another address.
    pub fn readdress(&self, through: impl FnOnce(&str) -> String) {
        let config = std::fs::read_to_string(&self.config).expect("reads");
        let url = config.split('"').nth(1).expect("an address").to_owned();
        self.write(&config.replacen(&url, &through(&url), 1));
    }

    /// Puts fresh keys in the place of those that the database was written with.
    pub fn replace_keys(&self) {
        std::fs::remove_file(self.folder.join("desk.keys")).expect("removed");
        self.ask("secrets create");
    }

    pub fn run(&self, line: &str) -> Output {
        nexo_route(&self.folder).args(line.split_whitespace()).arg("--config").arg(&self.config).output().expect("runs")
    }

    /// Starts a daemon, which says where it listens.
    pub fn serve(&self) -> (Daemon, Value) {
        let mut command = nexo_route(&self.folder);
        command.args(["serve", "--port", "0", "--json", "--config"]).arg(&self.config);
        Daemon::start(&mut command)
    }

    /// Runs a command with `--json` and returns its answer.
    #[track_caller]
    pub fn ask(&self, line: &str) -> Value {
        let output = self.run(&format!("{line} --json"));
        assert_eq!(output.status.code(), Some(0), "{line}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{line}: {error}: {output:?}"))
    }

    /// Runs a command that is refused with `code`; returns what it says.
    #[track_caller]
    pub fn refused(&self, line: &str, code: i32) -> String {
        let output = self.run(line);
        assert_eq!(output.status.code(), Some(code), "{line}: {output:?}");
        String::from_utf8(output.stderr).expect("text")
    }
}

/// The binary in `folder`, without what the environment of this test run might tell it.
pub fn nexo_route(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nexo-route"));
    command.env_clear().current_dir(folder).stdin(Stdio::null());
    command
}

pub fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("no text `{field}` in {value}")).to_owned()
}

both_engines! {
    async fn an_operator_opens_an_account_and_closes_it(desk: Desk) { a_life(&desk) }
    async fn what_cannot_be_is_refused_with_its_code(desk: Desk) { refusals(&desk) }
}

#[tokio::test]
async fn a_database_out_of_reach_is_named_and_its_password_is_not() {
    Desk::lend(Engine::Postgres, async |desk: Desk| {
        let config = std::fs::read_to_string(&desk.config).expect("reads");
        desk.ask("secrets create");
        let server = cluster().expect("a cluster").rsplit_once('@').expect("a user").1;
        for (url, why) in [
            ("postgres://me:hunter2@127.0.0.1:1/x".to_owned(), "refused"),
            (format!("postgres://throwaway:hunter2@{server}"), "password authentication failed"),
        ] {
            desk.write(&config.replacen("url = ", &format!("url = {url:?} # "), 1));
            let said = desk.refused("serve --port 0", 75);
            assert!(said.contains("store.url") && said.contains(why), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    })
    .await;
}

fn a_life(desk: &Desk) {
    assert_eq!(desk.ask("migrate"), json!({"ok": true, "applied": [1, 2, 3, 4, 5, 6]}));
    assert_eq!(desk.ask("migrate"), json!({"ok": true, "applied": []}));
    desk.ask("secrets create");
    assert_eq!(desk.ask("check-config")["ok"], true);

    let account = text(&desk.ask("account create acme --free-otps"), "account");
    let credit = format!("credit --account {account} --bucket balance --usd 10 --reference inv-1");
    let wallet = json!({"balance": "10.000", "bonus_credit": "0.000", "free_credit": "0.110", "total": "10.110"});
    for already in [false, true] {
        let expected = json!({"ok": true, "account": account, "already": already, "wallet": wallet});
        assert_eq!(desk.ask(&credit), expected);
    }
    let other = desk.refused(&credit.replace("--usd 10", "--usd 11"), 1);
    assert!(other.contains("10.000 balance"), "{other}");

    let made = desk.ask(&format!("key create --account {account} --allow 10.0.0.0/8 --allow ::1"));
    let (key, id) = (text(&made, "key"), text(&made, "id"));
    assert!(key.starts_with("sk_live_"));
    assert_eq!(made["allow"], json!(["10.0.0.0/8", "::1"]));
    let shown = desk.ask(&format!("account show {account}"));
    assert_eq!((&shown["wallet"], shown["live_keys"].as_i64(), &shown["closed_at"]), (&wallet, Some(1), &Value::Null));
    let listed = desk.ask(&format!("key list --account {account}"));
    assert_eq!(text(&listed["data"][0], "id"), id);
    assert!(!shown.to_string().contains(&key) && !listed.to_string().contains(&key), "a key is shown once");
    let actions: Vec<String> =
        shown["changes"].as_array().expect("a list").iter().map(|change| text(change, "action")).collect();
    assert_eq!(actions, ["key.create", "account.credit", "account.credit", "account.create"]);

    desk.ask(&format!("key revoke {id}"));
    desk.ask(&format!("key create --account {account}"));
    assert_eq!(desk.ask(&format!("account close {account}"))["keys_revoked"], 1);
    assert!(desk.refused(&format!("key create --account {account}"), 1).contains("closed"));
    assert_eq!(desk.ask("account list")["data"][0]["live_keys"], 0);
    assert_eq!(desk.ask("verify")["ok"], true);
}

fn refusals(desk: &Desk) {
    const NOBODY: &str = "01997d0a-0000-7000-8000-000000000001";
    assert!(desk.refused("account list", 1).contains("nexo-route migrate"));
    desk.ask("migrate");
    assert!(desk.refused("check-config", 64).contains("secrets.key_file"));
    assert!(desk.refused("serve", 64).contains("secrets.key_file"));
    desk.ask("secrets create");
    assert!(desk.refused("secrets create", 1).contains("secrets.key_file"), "it is never overwritten");
    let keys = desk.folder.join("desk.keys");
    std::fs::set_permissions(&keys, PermissionsExt::from_mode(0o644)).expect("sets");
    assert!(desk.refused("serve", 64).contains("0600"));

    for line in [
        format!("account show {NOBODY}"),
        format!("account close {NOBODY}"),
        format!("key create --account {NOBODY}"),
        format!("key list --account {NOBODY}"),
        format!("key revoke {NOBODY}"),
        format!("credit --account {NOBODY} --bucket balance --usd 1 --reference r"),
    ] {
        let said = desk.refused(&line, 1);
        assert!(said.contains(NOBODY), "{said}");
        let refusal: Value = serde_json::from_slice(&desk.run(&format!("{line} --json")).stdout).expect("one line");
        assert_eq!((&refusal["ok"], &refusal["error"]), (&json!(false), &json!("refused")));
    }
    for line in ["", "fly", "account show 1", &format!("key create --account {NOBODY} --allow nowhere")] {
        desk.refused(line, 64);
    }
    desk.write("[send]\nack_wait = 1\n");
    for line in ["serve", "check-config", "verify", "account list"] {
        assert!(desk.refused(line, 64).contains("send.ack_wait"));
    }
    // Nobody listens there.
    desk.write("[store]\nurl = \"postgres://me:hunter2@127.0.0.1:1/none\"\n");
    for line in ["verify", "migrate"] {
        let said = desk.refused(line, 75);
        assert!(!said.contains("hunter2"), "{said}");
    }
}

/// A daemon that a test started; it does not outlive it.
pub struct Daemon(pub Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Daemon {
    pub fn start(command: &mut Command) -> (Self, Value) {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("speaks");
        (Self(child), serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
    }

    fn terminate(&self) {
        self.signal("-TERM");
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.0.id().to_string()]).status().expect("kill is there");
        assert!(sent.success());
    }

    /// Reads the log up to a line with `part`.
    pub fn read_log_to(log: &mut impl std::io::BufRead, part: &str) {
        let mut line = String::new();
        while !line.contains(part) {
            line.clear();
            assert!(log.read_line(&mut line).expect("reads") > 0, "the log ended before {part:?}");
        }
    }
}

pub fn address(introduction: &Value, field: &str) -> SocketAddr {
    text(introduction, field).trim_start_matches("http://").parse().expect("an address")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_runs_the_demo() {
    let database = Database::fresh(Engine::Sqlite).await.expect("a folder");
    let folder = database.folder();
    let (mut daemon, introduction) = Daemon::start(nexo_route(folder).args(["demo", "--port", "0", "--json"]));
    let (api, key) = (address(&introduction, "api"), text(&introduction, "key"));

    let order = json!({"phone": "+84981234567", "code": "123456"});
    let sent = Request::new("POST", "/api/v1/send-otp").key(&key).json(&order).send(api).await.expect("answers");
    let sent = sent.expect(202);
    assert_eq!((sent.field("cost"), sent.field("balance")), (json!(0.022), json!(10.088)));
    let metrics = Request::new("GET", "/metrics").send(address(&introduction, "ops")).await.expect("answers");
    assert!(metrics.expect(200).text.contains("nexo_orders_accepted_total{carrier=\"viettel\"} 1"));

    // Every other command works on the same data while it runs.
    let desk = Desk { folder: folder.to_owned(), config: text(&introduction, "config").into() };
    let shown = desk.ask(&format!("account show {}", text(&introduction, "account")));
    assert_eq!(shown["wallet"]["free_credit"], "0.088");
    assert_eq!(desk.ask("verify")["figures"]["deliveries"], 1);
    assert!(desk.refused("serve --port 0", 75).contains("another daemon"));

    daemon.terminate();
    assert_eq!(daemon.0.wait().expect("ends").code(), Some(0));
    database.remove().await.expect("goes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_the_daemon_at_once() {
    let database = Database::fresh(Engine::Sqlite).await.expect("a folder");
    let mut command = nexo_route(database.folder());
    command.env("NEXO_STOP__NOTICE_MS", "600000").args(["demo", "--port", "0", "--json"]);
    let (mut daemon, _) = Daemon::start(&mut command);
    let mut log = BufReader::new(daemon.0.stderr.take().expect("piped"));
    daemon.terminate();
    Daemon::read_log_to(&mut log, "stopping");
    daemon.terminate();
    assert_eq!(daemon.0.wait().expect("ends").code(), Some(130));
    database.remove().await.expect("goes");
}
