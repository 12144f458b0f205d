//! No file descriptor is left: who is connected is served all the same, and who comes is told at once.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Stdio};

use futures_util::future::join_all;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::Value;

use crate::both_engines;
use crate::commands::{Desk, nexo_route, text};
use crate::house::client::{Kept, Request};
use crate::house::customer::{SEND, body, phone};
use crate::house::until;

both_engines! {
    async fn without_a_descriptor_connected_clients_are_served(desk: Desk) { none_left(&desk).await }
}

/// `nexo-route serve` as a process of its own, whose limit may be lowered; it does not outlive the test.
struct Daemon {
    process: Child,
    api: SocketAddr,
    ops: SocketAddr,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Daemon {
    fn start(desk: &Desk) -> Self {
        let mut command = nexo_route(&desk.folder);
        command.args(["serve", "--json", "--config", "desk.toml"]).stdout(Stdio::piped());
        let mut process = command.spawn().expect("starts");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("piped")).read_line(&mut line).expect("reads");
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        let address = |name| text(&said, name).trim_start_matches("http://").parse().expect("an address");
        Self { process, api: address("api"), ops: address("ops") }
    }

    /// Lowers its limit to what it has open now, or gives it back.
    fn limit(&self, lowered: bool) {
        let maximum = getrlimit(Resource::Nofile).maximum;
        let open = fs::read_dir(format!("/proc/{}/fd", self.process.id())).expect("its descriptors").count();
        let current = if lowered { u64::try_from(open).ok() } else { maximum };
        let process = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        prlimit(process, Resource::Nofile, Rlimit { current, maximum }).expect("may be set");
    }

    async fn metric(&self, series: &str) -> f64 {
        let text = Request::new("GET", "/metrics").send(self.ops).await.expect("answers").expect(200).text;
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
        value.unwrap_or_default()
    }
}

/// What a client asks on its connection, and the answer to each.
async fn asks(client: &mut Kept, key: &str, phones: [u32; 2]) {
    let order = |n: u32| Request::new("POST", SEND).key(key).json(&body(&phone(n)));
    let repeated = order(phones[1]).header("Idempotency-Key", &format!("order-{}", phones[1]));
    let get = |path: &str| Request::new("GET", path).key(key);
    for (request, status) in [
        (order(phones[0]), 202),
        (get("/api/v1/balance"), 200),
        (repeated, 202),
        (get("/api/v1/deliveries"), 200),
        (get("/api/v1/webhooks/attempts"), 200),
    ] {
        client.ask(&request).await.unwrap_or_else(|error| panic!("{request:?}: {error:#}")).expect(status);
    }
}

async fn none_left(desk: &Desk) {
    desk.configure(
        "[http]\nbind = \"127.0.0.1:0\"\n[ops]\nbind = \"127.0.0.1:0\"\n[simulator]\nack_ms = 0\nack_jitter_ms = 0\n",
    );
    desk.ask("secrets create");
    desk.ask("migrate");
    let account = text(&desk.ask("account create shop"), "account");
    desk.ask(&format!("credit --account {account} --bucket balance --usd 100 --reference one"));
    let key = text(&desk.ask(&format!("key create --account {account}")), "key");
    let daemon = Daemon::start(desk);
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = Kept::connect(daemon.api).await.expect("connects");
        let balance = Request::new("GET", "/api/v1/balance").key(&key);
        until("the key is known", async || (client.ask(&balance).await.ok()?.status == 200).then_some(())).await;
        clients.push(client);
    }

    daemon.limit(true);
    // Numbers below the limit may still be free: others take them.
    let nowhere = Request::new("GET", "/nowhere");
    let mut others = Vec::new();
    until("a new connection is closed at once", async || {
        let mut other = Kept::connect(daemon.api).await.expect("the kernel takes it");
        let is_served = other.ask(&nowhere).await.is_ok_and(|answer| answer.status == 404);
        others.push(other);
        (!is_served).then_some(())
    })
    .await;
    for round in 0..5 {
        let rounds = clients.iter_mut().zip((round * 8..).step_by(2));
        join_all(rounds.map(|(client, n)| asks(client, &key, [n, n + 1]))).await;
    }
    Request::new("GET", "/readyz").send(daemon.ops).await.expect("answers").expect(200);
    let cut = "nexo_http_connections_cut_total{listener=\"http\",reason=\"no_file\"}";
    assert!(daemon.metric(cut).await >= 1.0);
    nowhere.send(daemon.api).await.expect_err("still none");

    daemon.limit(false);
    until("who comes is served again", async || nowhere.send(daemon.api).await.ok().map(|answer| answer.expect(404)))
        .await;
}
