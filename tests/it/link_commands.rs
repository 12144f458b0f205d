//! `link` and SIGHUP as an operator uses them, on the real binary.

use std::io::BufReader;

use serde_json::{Value, json};

use crate::both_engines;
use crate::commands::{Daemon, Desk, address, nexo_route, text};
use crate::house::client::Request;
use crate::house::database::{Database, Engine};
use crate::house::until;

both_engines! {
    async fn an_operator_lists_pauses_and_resumes(desk: Desk) { pauses(&desk) }
}

const TABLE: &str = "price_usd = \"0.022\"\n\
    [carrier.viettel]\nchannels = [\"voice\", \"sms\"]\nprefixes = [\"98\"]\n\
    voice = [{ upstream = \"one\" }]\nsms = [{ upstream = \"one\" }, { upstream = \"two\", weight = 3 }]\n\
    [carrier.mobifone]\nchannels = [\"sms\"]\nprefixes = [\"90\"]\n\
    [upstream.one]\nkind = \"simulator\"\n[upstream.two]\nkind = \"simulator\"\n[upstream.spare]\nkind = \"simulator\"\n";

fn link<'a>(listed: &'a Value, name: &str) -> &'a Value {
    let links = listed["data"].as_array().expect("a list");
    links.iter().find(|link| link["upstream"] == name).unwrap_or_else(|| panic!("no {name} in {listed}"))
}

fn pauses(desk: &Desk) {
    let table = desk.folder.join("carriers.toml");
    std::fs::write(&table, TABLE).expect("written");
    desk.configure(&format!("[carriers]\nfile = {table:?}\n[ops]\nbind = \"127.0.0.1:1\"\n"));
    desk.ask("migrate");
    desk.ask("secrets create");
    let checked = desk.ask("check-config");
    assert_eq!((&checked["unused"], &checked["warnings"]), (&json!(["spare"]), &json!([])));

    let listed = desk.ask("link list");
    assert_eq!(listed["answered"], false, "nobody listens there");
    assert_eq!(link(&listed, "one")["carries"], json!(["viettel/voice:1", "viettel/sms:1"]));
    assert_eq!(link(&listed, "two")["carries"], json!(["viettel/sms:3"]));
    assert_eq!(link(&listed, "spare")["carries"], json!([]));
    assert_eq!(link(&listed, "sim_mobifone")["kind"], "simulator");

    let done =
        |already: bool, paused: bool| json!({"ok": true, "upstream": "two", "paused": paused, "already": already});
    assert_eq!(desk.ask("link pause two"), done(false, true));
    assert_eq!(desk.ask("link pause two"), done(true, true));
    assert!(link(&desk.ask("link list"), "two")["paused_since"].is_string());
    assert_eq!(desk.ask("link resume two"), done(false, false));
    assert_eq!(desk.ask("link resume two"), done(true, false));
    let said = desk.refused("link pause three", 1);
    assert!(said.contains("three") && said.contains("one, sim_mobifone, spare, two"), "{said}");

    // In an incident: no secret of the daemon's, then a table that is half edited.
    let secret = "[upstream.three]\nkind = \"smpp\"\npassword = { env = \"NEXO_NOT_THERE\" }\n";
    std::fs::write(&table, format!("{TABLE}{secret}")).expect("written");
    assert_eq!(desk.ask("link pause three")["paused"], true);
    assert_eq!(link(&desk.ask("link list"), "three")["kind"], "smpp");
    std::fs::write(&table, "[carrier.viettel\n").expect("written");
    assert!(desk.refused("link pause one", 64).contains("carriers.file"));
    assert!(link(&desk.ask("link list"), "three")["paused_since"].is_string());
    assert_eq!(desk.ask("link resume three")["paused"], false);
    std::fs::write(&table, TABLE).expect("written");

    const SPARE: &str = "[upstream.spare]\nkind = \"simulator\"\n";
    const HTTP: &str = "[upstream.spare]\nkind = \"http\"\nurl = \"https://tkc.example/\"\njson = { to = \"{phone}\", say = \"{code}\" }\n\
                        receipts = \"refunded\"\nextra_ca_file = \"/nowhere/ca.pem\"\n";
    const POLL: &str = "answers = [{ means = \"accepted\", reference = \"/id\" }]\n\
                        poll = { path = \"/{reference}\", every_ms = 500, status = \"/results/0/s\", delivered = [\"ok\"] }\n";
    std::fs::write(&table, TABLE.replace(SPARE, HTTP)).expect("written");
    let said = desk.refused("check-config", 64);
    assert!(said.contains("upstream.spare: ") && said.contains("/nowhere/ca.pem"), "{said}");
    let polled = HTTP.replace("receipts = \"refunded\"\nextra_ca_file = \"/nowhere/ca.pem\"\n", POLL);
    std::fs::write(&table, TABLE.replace(SPARE, &polled)).expect("written");
    let warnings = desk.ask("check-config")["warnings"].to_string();
    assert!(warnings.contains("upstream.spare.poll ") && warnings.contains("/results"), "{warnings}");
    std::fs::write(&table, TABLE.replace("weight = 3", "weight = 0")).expect("written");
    for line in ["check-config", "serve --port 0"] {
        assert!(desk.refused(line, 64).contains("carrier.viettel: sms: upstream two: weight"), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_has_the_daemon_read_its_table_anew() {
    let database = Database::fresh(Engine::Sqlite).await.expect("a folder");
    let folder = database.folder();
    let table = folder.join("carriers.toml");
    std::fs::write(&table, TABLE).expect("written");
    let mut command = nexo_route(folder);
    command.env("NEXO_CARRIERS__FILE", &table).args(["demo", "--port", "0", "--json"]);
    let (mut daemon, introduction) = Daemon::start(&mut command);
    let mut log = BufReader::new(daemon.0.stderr.take().expect("piped"));
    let (api, ops, key) = (address(&introduction, "api"), address(&introduction, "ops"), text(&introduction, "key"));
    let links = async || {
        let listed = Request::new("GET", "/links").send(ops).await.expect("answers").expect(200).json();
        let links = listed["links"].as_array().expect("a list").clone();
        links.iter().map(|link| text(link, "upstream")).collect::<Vec<_>>()
    };
    assert_eq!(links().await, ["one", "sim_mobifone", "two"]);

    std::fs::write(&table, "nonsense").expect("written");
    daemon.signal("-HUP");
    Daemon::read_log_to(&mut log, "the carrier table is not reloaded");
    assert_eq!(links().await, ["one", "sim_mobifone", "two"]);

    std::fs::write(&table, TABLE.replace("\"two\", weight", "\"spare\", weight").replace("0.022", "0.033"))
        .expect("written");
    daemon.signal("-HUP");
    let mut line = String::new();
    while !line.contains("the carrier table is reloaded") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut log, &mut line).expect("reads") > 0, "the log ended");
    }
    assert!(line.contains("viettel: price 0.022 to 0.033") && line.contains("viettel: sms links"), "{line}");
    until("the queues are exchanged", async || (links().await == ["one", "sim_mobifone", "spare"]).then_some(())).await;
    let order = json!({"phone": "+84981234567", "code": "123456"});
    let sent = Request::new("POST", "/api/v1/send-otp").key(&key).json(&order).send(api).await.expect("answers");
    assert_eq!(sent.expect(202).field("cost"), json!(0.033));
    drop(daemon);
    database.remove().await.expect("goes");
}
