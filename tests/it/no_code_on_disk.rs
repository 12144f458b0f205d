//! The code exists in memory until its delivery ends, and nowhere else: not on disk, in logs, metrics or answers. Nor do
//! whole phones, metadata or keys lie about in the clear.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;

use crate::both_engines;
use crate::house::customer::{Purse, SEND, forced, phone};
use crate::house::database::{Engine, cluster};
use crate::house::whole::logs;
use crate::house::{House, until};

both_engines! {
    async fn a_secret_leaves_no_trace(engine: Engine) { no_trace(engine).await }
}

const CODE: &str = "73519264";
/// No code, and given as one.
const SLIP: &str = "Kq7351x";
const METADATA: &str = "canary-metadata-of-a-customer";
/// Stored as it is: shows that the search finds what is there.
const KEY: &str = "canary-idempotency-key";

/// Asks the private cluster for one value.
async fn ask_cluster(question: &str) -> String {
    let (client, connection) =
        tokio_postgres::connect(cluster().expect("a cluster"), tokio_postgres::NoTls).await.expect("connects");
    let ask = async {
        let row = client.query_one(question, &[]).await.expect("answers");
        drop(client);
        row.get(0)
    };
    let (connection, answer) = tokio::join!(connection, ask);
    connection.expect("ends");
    answer
}

/// The segment of the write-ahead log that is written now.
async fn segment() -> String {
    ask_cluster("SELECT pg_walfile_name(pg_current_wal_insert_lsn())").await
}

/// Everything that the database may have written since `first` was its segment: its own files, the write-ahead log, and
/// the server's log.
async fn written(house: &House, first: Option<String>) -> Vec<PathBuf> {
    let mut places = vec![house.folder()];
    if let Some(first) = first {
        let data = PathBuf::from(ask_cluster("SELECT current_setting('data_directory')").await);
        let name = house.database_name();
        let oid = ask_cluster(&format!("SELECT oid::text FROM pg_database WHERE datname = '{name}'")).await;
        places.push(data.join("base").join(oid));
        places.push(data.parent().expect("in a folder").join("log"));
        let last = segment().await;
        let segments = std::fs::read_dir(data.join("pg_wal")).expect("reads").map(|entry| entry.expect("reads"));
        let ours = segments.filter(|entry| {
            let name = entry.file_name();
            (first.as_str()..=last.as_str()).contains(&name.to_string_lossy().as_ref())
        });
        places.extend(ours.map(|entry| entry.path()));
    }
    places
}

/// Which of `texts` lie in a file.
fn found<'a>(places: &[PathBuf], texts: &[&'a str]) -> BTreeSet<&'a str> {
    let mut grep = Command::new("grep");
    grep.env("LC_ALL", "C").args(["-r", "-h", "-o", "-a", "-F"]).args(texts.iter().flat_map(|text| ["-e", text]));
    let output = grep.args(places).output().expect("grep");
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    texts.iter().copied().filter(|text| lines.lines().any(|line| line == *text)).collect()
}

async fn no_trace(engine: Engine) {
    let settings = [
        ("send.ack_wait_ms", "500"),
        ("dispatch.dispatch_within_ms", "500"),
        ("dispatch.receipt_wait_ms", "2000"),
        ("dispatch.attempt_needs_ms", "1000"),
        ("dispatch.attempt_timeout_ms", "1000"),
    ];
    let first = if engine == Engine::Postgres { Some(segment().await) } else { None };
    let house = House::with(engine, &settings).await;
    let customer = house.customer(Purse::full()).await;
    let phones: Vec<String> =
        [0, 2, 6, 7, 8, 9, 13, 15, 19].map(|nn| forced(3, nn)).into_iter().chain([phone(7)]).collect();
    let mut answers = Vec::new();
    for (n, to) in phones.iter().enumerate() {
        let order = json!({"phone": to, "code": CODE, "metadata": {"note": METADATA}});
        let order = customer.request("POST", SEND).json(&order).header("Idempotency-Key", &format!("{KEY}-{n}"));
        answers.push(customer.ask(&order).await);
        answers.push(customer.ask(&order).await);
    }
    for wrong in [
        json!({"phone": phones[0], "code": SLIP}),
        json!({"phone": SLIP, "code": CODE}),
        json!({"phone": phones[0], "code": CODE, "channel": SLIP}),
        json!({"phone": phones[0], "code": CODE, "metadata": SLIP}),
    ] {
        answers.push(customer.ask(&customer.request("POST", SEND).json(&wrong)).await.expect(400));
    }
    let broken = format!("{{\"phone\":\"{}\",\"code\":\"{CODE}\"", phones[0]);
    answers.push(customer.ask(&customer.request("POST", SEND).body(&broken)).await.expect(400));
    let key_in_path = customer.get(&format!("/api/v1/deliveries/{CODE}")).await;
    assert!(!key_in_path.text.contains(CODE));
    until("all have ended", async || (house.ledger().await.with_status(0) == 0).then_some(())).await;

    for answer in &answers {
        let whole = format!("{answer:?}");
        assert!(![CODE, SLIP, METADATA, &customer.key].iter().any(|secret| whole.contains(secret)), "{whole}");
    }
    let metrics = house.node().ask_ops("/metrics").await.expect("metrics").text;
    // Without the figures: a sum of seconds like 0.0009830000000000001 is no phone.
    let named = metrics.lines().filter_map(|line| line.rsplit_once(' ')).map(|(named, _)| named);
    let metrics = named.collect::<Vec<_>>().join("\n");
    let account = customer.account.to_string();
    let logs = logs();
    for (name, secret) in [("the code", CODE), ("a slip", SLIP), ("metadata", METADATA), ("the key", &customer.key)] {
        assert!(!logs.contains(secret), "{name} was logged");
        assert!(!metrics.contains(secret), "{name} is in the metrics");
    }
    assert!(!metrics.contains(&account), "an account is in the metrics");
    for to in &phones {
        assert!(!logs.contains(&to[3..]), "{to} was logged whole");
        assert!(!metrics.contains(&to[3..]), "{to} is in the metrics");
    }
    let secrets = [CODE, SLIP, METADATA, customer.key.as_str(), &phones[9][3..]];
    let texts: Vec<&str> = secrets.into_iter().chain([KEY]).collect();
    // That the one thing which is stored as it is was found shows that the search finds.
    assert_eq!(found(&written(&house, first).await, &texts), BTreeSet::from([KEY]));
    house.finish().await;
}
