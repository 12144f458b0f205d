//! Receipts that are asked for: they survive the daemon that asked, whether it was killed, stopped, or is another node's.

use std::time::Duration;

use nexo_route::carrier::simulator::{Delay, Script};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::KEY;
use super::daemon::{pairs, provider_with, written};
use crate::both_engines;
use crate::commands::{Desk, address, text};
use crate::house::client::Request;
use crate::house::customer::{PRICE, Purse, forced};
use crate::house::database::Engine;
use crate::house::{until, write_secret};

both_engines! {
    async fn receipts_that_are_asked_for_survive_a_kill_9(desk: Desk) { killed(&desk).await }
    async fn a_stopped_daemon_leaves_its_questions_to_the_next(engine: Engine) { stopped(engine).await }
}

const TAKEN_OVER: &str = "nexo_http_link_polls_taken_over_total";

/// Long after whoever asked is gone.
fn slow() -> Script {
    Script { receipt: Delay { base: Duration::from_secs(4), ..Delay::default() }, ..Script::default() }
}

/// The example for a provider that brings nothing.
fn polled(example: &str) -> String {
    let (head, _) = example.split_once("[upstream.tkc.callback]").expect("the example has it");
    let head = head.replace("callback = \"{callback_url}\"\n", "");
    format!(
        "{head}[upstream.tkc.poll]\npath = \"/v1/calls/{{reference}}\"\nevery_ms = 200\nstatus = \"/status\"\n\
         delivered = [\"answered\"]\nin_progress = [\"queued\", \"ringing\"]\nfailed = {{ no_answer = \"unreachable\" }}\n"
    )
}

/// The binary itself, ended by SIGKILL.
async fn killed(desk: &Desk) {
    let mut running = JoinSet::new();
    let provider = provider_with(slow(), &mut running).await;
    let (table, secret) = (desk.folder.join("carriers.toml"), desk.folder.join("tkc.secret"));
    write_secret(&secret, KEY);
    let tkc = polled(super::TKC)
        .replace("https://api.tkc.example", &format!("http://{provider}"))
        .replace("{ env = \"NEXO_TKC_TOKEN\" }", &format!("{{ file = {secret:?} }}"));
    let viettel = "price_usd = \"0.022\"\n[carrier.viettel]\nchannels = [\"voice\"]\nprefixes = [\"98\"]\nvoice = [{ upstream = \"tkc\" }]\n";
    std::fs::write(&table, format!("{viettel}{tkc}")).expect("written");
    desk.configure(&format!("[carriers]\nfile = {table:?}\n[ops]\nbind = \"127.0.0.1:0\"\n"));
    desk.ask("migrate");
    desk.ask("secrets create");
    let account = text(&desk.ask("account create acme"), "account");
    desk.ask(&format!("credit --account {account} --bucket balance --usd 1 --reference r"));
    let key = text(&desk.ask(&format!("key create --account {account}")), "key");

    let (daemon, listening) = desk.serve();
    let api = address(&listening, "api");
    let mut ids = Vec::new();
    for phone in [forced(0, 0), forced(1, 2)] {
        let order =
            Request::new("POST", "/api/v1/send-otp").key(&key).json(&json!({ "phone": phone, "code": "482917" }));
        ids.push(order.send(api).await.expect("answers").expect(202).string("id"));
    }
    daemon.signal("-KILL");
    drop(daemon);

    let (_daemon, listening) = desk.serve();
    let (api, ops) = (address(&listening, "api"), address(&listening, "ops"));
    let mut ends: Vec<Value> = Vec::new();
    for id in &ids {
        let read = Request::new("GET", &format!("/api/v1/deliveries/{id}")).key(&key);
        let ended = until("the delivery ends", async || {
            let delivery = read.send(api).await.ok().filter(|answer| answer.status == 200)?.json();
            (delivery["status"] != "sent").then_some(delivery)
        });
        ends.push(ended.await);
    }
    assert_eq!((&ends[0]["status"], &ends[0]["carrier_status"]), (&json!("delivered"), &json!("answered")));
    assert_eq!((&ends[1]["status"], &ends[1]["error_code"]), (&json!("failed"), &json!("unreachable")));
    let metrics = Request::new("GET", "/metrics").send(ops).await.expect("answers").expect(200).text;
    assert!(metrics.contains(&format!("{TAKEN_OVER}{{link=\"tkc\"}} 2")), "{metrics}");
    assert_eq!(desk.ask("verify")["ok"], true);
}

async fn stopped(engine: Engine) {
    let mut running = JoinSet::new();
    let provider = provider_with(slow(), &mut running).await;
    let (house, settings, _) = written(engine, provider, |example| polled(&example)).await;
    let node = house.add(&pairs(&settings)).await;
    let customer = house.customer(Purse::cash(PRICE)).await;
    let id = customer.send(&forced(0, 0)).await.expect(202).string("id");
    node.stop().await.expect("stops gracefully");
    let node = house.add(&pairs(&settings)).await;
    let customer = customer.at(node.api);
    customer.known_at(node.api).await;
    assert_eq!(customer.ended(&id).await["status"], "delivered");
    house.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_asks_where_one_was_killed_and_only_there() {
    let mut running = JoinSet::new();
    let provider = provider_with(slow(), &mut running).await;
    let (house, settings, _) = written(Engine::Postgres, provider, |example| polled(&example)).await;
    let one = house.add(&pairs(&settings)).await;
    let mut beside = settings.clone();
    beside.retain(|(name, _)| *name != "callbacks.listen");
    let other = house.add(&pairs(&beside)).await;
    let customer = house.customer(Purse::cash(2 * PRICE)).await.at(one.api);
    let first = customer.send(&forced(0, 0)).await.expect(202).string("id");
    assert_eq!(customer.ended(&first).await["status"], "delivered");
    assert!(other.metric(TAKEN_OVER).await < 0.1, "who asks lives");
    let second = customer.send(&forced(1, 0)).await.expect(202).string("id");
    one.kill();
    let customer = customer.at(other.api);
    assert_eq!(customer.ended(&second).await["status"], "delivered");
    assert!((other.metric(TAKEN_OVER).await - 1.0).abs() < 0.1, "what has ended is not asked for again");
    house.finish().await;
}
