//! Real wires: the daemon over an HTTP provider and an SMSC, both rehearsed, as an operator configures them; pauses, and
//! reloads that move carriers while codes are under way.

mod changed;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nexo_route::carrier::simulator::{Delay, Script};
use nexo_route::domain::reference::UpstreamId;
use nexo_route::records::audit::{self, Actor};
use nexo_route::records::link_pauses;
use nexo_route::rehearsal::provider::{self, Provider};
use nexo_route::rehearsal::smsc::{self, IdBase, ReceiptForm, Smsc};
use nexo_route::telemetry::names;
use serde_json::json;
use tokio::task::JoinSet;

use crate::both_engines;
use crate::house::customer::{Customer, Purse, SEND, forced, phone};
use crate::house::database::Engine;
use crate::house::node::Node;
use crate::house::{House, until, write_secret};

both_engines! {
    async fn codes_go_by_voice_and_sms_over_real_wires(engine: Engine) { both_wires(engine).await }
    async fn a_reload_under_load_moves_a_carrier_and_loses_nothing(engine: Engine) { moved(engine).await }
    async fn a_changed_upstream_whose_smsc_allows_one_session_is_away_for_a_moment_at_most(engine: Engine) { changed::changed(engine).await }
    async fn a_changed_upstream_whose_new_bind_does_not_stand_goes_on_by_the_old_one(engine: Engine) { changed::awaited(engine).await }
    async fn a_paused_upstream_takes_no_work_until_it_is_resumed(house: House) { paused(house).await }
    async fn a_wrong_table_leaves_the_old_one_in_force(engine: Engine) { wrong_table(engine).await }
}

const SECRET: &str = "rehears";

/// A house whose carriers are reached over wires of this test.
struct Scene {
    house: House,
    table: PathBuf,
    callbacks: SocketAddr,
    running: JoinSet<()>,
}

impl Scene {
    async fn set(engine: Engine) -> Self {
        let house = House::empty(engine).await;
        let table = house.folder().join("carriers.toml");
        write_secret(&house.folder().join("secret"), SECRET);
        // A port that was free a moment ago: providers must be told before the daemon listens.
        let free = TcpListener::bind("127.0.0.1:0").expect("binds");
        let callbacks = free.local_addr().expect("bound");
        Self { house, table, callbacks, running: JoinSet::new() }
    }

    fn secret(&self) -> String {
        format!("{{ file = {:?} }}", self.house.folder().join("secret"))
    }

    /// Starts an SMSC whose receipts come after `receipt_ms`; returns its entry in the table.
    async fn smsc(&mut self, name: &str, receipt_ms: u64) -> String {
        self.smsc_at(SocketAddr::from(([127, 0, 0, 1], 0)), name, receipt_ms).await
    }

    async fn smsc_at(&mut self, address: SocketAddr, name: &str, receipt_ms: u64) -> String {
        let settings = smsc::Settings {
            system_id: "nexo".to_owned(),
            password: SECRET.to_owned(),
            script: script(receipt_ms),
            response_ids: IdBase::Hex,
            receipt_ids: IdBase::Decimal,
            receipts: ReceiptForm::Both,
            journal: Some(self.journal(name)),
        };
        let smsc = Smsc::bind(address, settings).await.expect("binds");
        let address = smsc.address().expect("bound");
        self.running.spawn(smsc.run(std::future::pending()));
        format!(
            "[upstream.{name}]\nkind = \"smpp\"\naddress = \"{address}\"\nsystem_id = \"nexo\"\npassword = {}\n\
             sender = \"NEXO\"\nreconnect_min_ms = 50\n",
            self.secret()
        )
    }

    fn journal(&self, name: &str) -> PathBuf {
        self.house.folder().join(format!("{name}.journal"))
    }

    /// How many messages an SMSC was given.
    fn submits(&self, name: &str) -> usize {
        let journal = std::fs::read_to_string(self.journal(name)).unwrap_or_default();
        journal.lines().filter(|line| line.contains("submit")).count()
    }

    /// Starts the provider of the worked example; returns its entry.
    async fn tkc(&mut self) -> String {
        let settings = provider::Settings {
            script: script(20),
            phone_gap: Duration::from_secs(30),
            callback_key: SECRET.to_owned(),
        };
        let provider = Provider::bind(SocketAddr::from(([127, 0, 0, 1], 0)), settings).await.expect("binds");
        let address = provider.address().expect("bound");
        self.running.spawn(provider.run(std::future::pending()));
        include_str!("../../config/upstreams/tkc.toml")
            .replace("https://api.tkc.example", &format!("http://{address}"))
            .replace("https://otp.example.com", &format!("http://{}", self.callbacks))
            .replace("203.0.113.0/24", "127.0.0.1")
            .replace("{ env = \"NEXO_TKC_TOKEN\" }", &self.secret())
            .replace("{ env = \"NEXO_TKC_CALLBACK_KEY\" }", &self.secret())
    }

    fn write(&self, carriers: &str, upstreams: &[&str]) {
        let text = format!("price_usd = \"0.022\"\n{carriers}\n{}", upstreams.join("\n"));
        std::fs::write(&self.table, text).expect("written");
    }

    async fn open(&self) -> (Arc<Node>, Customer) {
        let (table, callbacks) = (self.table.display().to_string(), self.callbacks.to_string());
        let node = self.house.add(&[("carriers.file", &table), ("callbacks.listen", &callbacks)]).await;
        let customer = self.house.customer(Purse::full()).await;
        (node, customer)
    }

    async fn close(self) {
        self.house.finish().await;
        drop(self.running);
    }
}

fn script(receipt_ms: u64) -> Script {
    let receipt = Delay { base: Duration::from_millis(receipt_ms), ..Delay::default() };
    Script { receipt, ..Script::default() }
}

async fn all_up(node: &Node, count: usize) {
    until("every link is up", async || {
        let links = node.ask_ops("/links").await.ok()?.json();
        let links = links["links"].as_array()?.clone();
        (links.len() == count && links.iter().all(|link| link["health"] == "up")).then_some(())
    })
    .await;
}

/// Sends and returns the delivery, once it has ended.
async fn ended(customer: &Customer, phone: &str, channel: &str) -> serde_json::Value {
    let body = json!({"phone": phone, "code": "482917", "channel": channel});
    let sent = customer.ask(&customer.request("POST", SEND).json(&body)).await.expect(202);
    customer.ended(&sent.string("id")).await
}

async fn both_wires(engine: Engine) {
    let mut scene = Scene::set(engine).await;
    let (smsc, tkc) = (scene.smsc("vt_smsc", 20).await, scene.tkc().await);
    scene.write(
        "[carrier.viettel]\nchannels = [\"voice\", \"sms\"]\nprefixes = [\"98\"]\nnetworks = [\"452-04\"]\n\
         voice = [{ upstream = \"tkc\" }]\nsms = [{ upstream = \"vt_smsc\" }]\n\
         [carrier.mobifone]\nchannels = [\"sms\"]\nprefixes = [\"90\"]\nnetworks = [\"452-01\"]\nsms = [{ upstream = \"vt_smsc\" }]",
        &[&smsc, &tkc],
    );
    let (node, customer) = scene.open().await;
    all_up(&node, 2).await;
    for (phone, channel, by) in [
        (phone(1), "auto", "voice"),
        (phone(2), "sms", "sms"),
        ("+84901234567".to_owned(), "auto", "sms"),
        // Voice is refused, and voice fails by receipt.
        (forced(1, 6), "auto", "sms"),
        (forced(1, 18), "auto", "sms"),
    ] {
        let delivery = ended(&customer, &phone, channel).await;
        assert_eq!((&delivery["status"], &delivery["channel"]), (&json!("delivered"), &json!(by)), "{delivery}");
    }
    let failed = ended(&customer, &forced(1, 3), "sms").await;
    assert_eq!((&failed["status"], &failed["refunded"]), (&json!("failed"), &json!(true)));
    assert_eq!(scene.submits("vt_smsc"), 5);

    pause(&scene.house, "tkc", true).await;
    until("voice is paused", async || (paused_now(&node, "tkc").await == Some(true)).then_some(())).await;
    let delivery = ended(&customer, &phone(3), "auto").await;
    assert_eq!((&delivery["status"], &delivery["channel"]), (&json!("delivered"), &json!("sms")), "{delivery}");
    scene.close().await;
}

async fn moved(engine: Engine) {
    const ROUNDS: u32 = 12;
    let mut scene = Scene::set(engine).await;
    // Receipts of the old one are still owed when it is taken away.
    let (old, new) = (scene.smsc("old", 700).await, scene.smsc("new", 20).await);
    let carriers = |upstream: &str| {
        format!("[carrier.viettel]\nchannels = [\"sms\"]\nprefixes = [\"98\"]\nsms = [{{ upstream = \"{upstream}\" }}]")
    };
    scene.write(&carriers("old"), &[&old]);
    let (node, customer) = scene.open().await;
    all_up(&node, 1).await;
    let volley =
        |round: u32| customer.volley((0..10).map(move |n| (round, n)).map(|(r, n)| customer.order(&phone(r * 10 + n))));
    let mut ids = Vec::new();
    for round in 0..ROUNDS {
        let (answers, ()) = tokio::join!(volley(round), async {
            if round == ROUNDS / 2 {
                scene.write(&carriers("new"), &[&new]);
                assert!(node.running.reload.now().await);
            }
        });
        // The new link is bound before it takes over: nobody is refused.
        ids.extend(answers.into_iter().map(|answer| answer.expect(202).string("id")));
    }
    for id in &ids {
        let delivery = customer.ended(id).await;
        assert_eq!(delivery["status"], "delivered", "{delivery}");
    }
    let (by_old, by_new) = (scene.submits("old"), scene.submits("new"));
    assert!(by_old >= 60 && by_new >= 50, "{by_old} went by the old one, {by_new} by the new one");
    assert_eq!(by_old + by_new, ids.len(), "each was submitted once");
    scene.close().await;
}

/// Writes what `link pause` and `link resume` write.
async fn pause(house: &House, upstream: &'static str, pause: bool) {
    let upstream = UpstreamId::new(upstream).expect("sane");
    let changed = house.store().await.write(move |tx| {
        let (upstream, actor) = (upstream.clone(), Actor("tester".into()));
        Box::pin(async move {
            if pause {
                link_pauses::pause(tx, &actor, &upstream).await
            } else {
                link_pauses::resume(tx, &actor, &upstream).await
            }
        })
    });
    assert_eq!(changed.await, Ok(true));
}

async fn paused_now(node: &Node, upstream: &str) -> Option<bool> {
    let links = node.ask_ops("/links").await.ok()?.json();
    links["links"].as_array()?.iter().find(|link| link["upstream"] == upstream)?["paused"].as_bool()
}

async fn paused(house: House) {
    let (node, customer) = (house.node(), house.customer(Purse::full()).await);
    customer.send(&phone(1)).await.expect(202);
    pause(&house, "sim_viettel", true).await;
    until("the pause is heard", async || (paused_now(&node, "sim_viettel").await == Some(true)).then_some(())).await;
    let refused = customer.send(&phone(2)).await.expect(429);
    assert_eq!(refused.error(), "no_route");
    customer.send("+84912345678").await.expect(202);
    node.ask_ops("/readyz").await.expect("an answer").expect(200);
    // It holds for a reload and for a daemon that starts now.
    assert!(node.running.reload.now().await);
    customer.send(&phone(3)).await.expect(429);
    pause(&house, "sim_viettel", false).await;
    until("it is resumed", async || (customer.send(&phone(4)).await.status == 202).then_some(())).await;
    let rows = house.store().await.read(|tx| Box::pin(async move { audit::list(tx, "sim_viettel", 10).await })).await;
    let actions: Vec<String> = rows.expect("reads").into_iter().map(|row| row.action).collect();
    assert_eq!(actions, ["link.resume", "link.pause"]);
}

async fn wrong_table(engine: Engine) {
    let house = House::empty(engine).await;
    let (table, ported) = (house.folder().join("carriers.toml"), house.folder().join("ported.csv"));
    let write = |path: &Path, text: &str| std::fs::write(path, text).expect("written");
    const GOOD: &str = "price_usd = \"0.022\"\n[carrier.viettel]\nchannels = [\"sms\"]\nprefixes = [\"98\"]\n\
                        [carrier.mobifone]\nchannels = [\"sms\"]\nprefixes = [\"90\"]\n";
    write(&table, GOOD);
    write(&ported, "phone,carrier\n+84982100001,mobifone\n");
    let (file, list) = (table.display().to_string(), ported.display().to_string());
    let node = house.add(&[("carriers.file", &file), ("carriers.ported_file", &list)]).await;
    let customer = house.customer(Purse::full()).await;
    let carrier = async |n: u32| customer.send(&phone(n)).await.expect(202).string("carrier");
    assert_eq!((carrier(1).await.as_str(), carrier(2).await.as_str()), ("mobifone", "viettel"));

    write(&table, &GOOD.replace("\"sms\"", "\"fax\""));
    assert!(!node.running.reload.now().await);
    write(&table, &GOOD.replace("0.022", "0.030"));
    write(&ported, "+84982100003,mobifone\n+84982100004,vodafone\n");
    assert!(!node.running.reload.now().await, "line 2 of the list is wrong");
    assert_eq!(carrier(3).await, "viettel", "nothing of what was wrong is in force");
    let before = customer.purse().await.total();
    carrier(5).await;
    assert_eq!(before - customer.purse().await.total(), 22_000);

    write(&ported, "+84982100006,mobifone\n");
    assert!(node.running.reload.now().await);
    let before = customer.purse().await.total();
    assert_eq!(carrier(6).await, "mobifone");
    assert_eq!(before - customer.purse().await.total(), 30_000, "the price is the new one");
    // A carrier that is served no more, and one that is new.
    write(&table, &GOOD.replace("[carrier.mobifone]", "[carrier.vinaphone]"));
    write(&ported, "");
    assert!(node.running.reload.now().await);
    assert_eq!(customer.send("+84901234567").await.expect(202).string("carrier"), "vinaphone");
    assert!(node.metric(names::RELOADS).await >= 4.0, "two were taken, two refused");
    house.finish().await;
}
