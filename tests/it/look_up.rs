//! A provider that knows the network of numbers, asked before anything is charged.

use std::sync::{Arc, Mutex, PoisonError};

use nexo_route::store::Statement;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::both_engines;
use crate::house::House;
use crate::house::customer::{Purse, SEND, phone};
use crate::house::database::Engine;
use crate::learning::TABLE;

both_engines! {
    async fn a_look_up_decides_and_is_remembered(engine: Engine) { looked_up(engine).await }
}

/// Answers by the last digit of the number: 1 mobifone, 2 gmobile, 3 nonsense, 4 nothing, ever; counts what it is asked.
async fn directory(listener: TcpListener, asked: Arc<Mutex<Vec<String>>>) {
    let mut connections = JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        let asked = Arc::clone(&asked);
        connections.spawn(async move {
            let mut request = vec![0; 4_096];
            let count = stream.read(&mut request).await.unwrap_or(0);
            let text = String::from_utf8_lossy(&request[..count]).into_owned();
            let number = text.split(['/', ' ']).find(|part| part.starts_with("84")).unwrap_or_default().to_owned();
            let last = number.chars().last();
            asked.lock().unwrap_or_else(PoisonError::into_inner).push(number);
            let body = match last {
                Some('1') => "{\"network\":\"452-01\"}",
                Some('2') => "{\"network\":\"Gtel\"}",
                Some('3') => "<html>",
                _ => std::future::pending().await,
            };
            let length = body.len();
            let answer = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
            let _gone = stream.write_all(answer.as_bytes()).await;
        });
    }
}

async fn looked_up(engine: Engine) {
    let house = House::empty(engine).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("bound");
    let asked = Arc::new(Mutex::new(Vec::new()));
    let mut running = JoinSet::new();
    running.spawn(directory(listener, Arc::clone(&asked)));
    let table = house.folder().join("carriers.toml");
    let look_up = format!(
        "[lookup]\nurl = \"http://{address}/{{phone_digits}}\"\npointer = \"/network\"\nnames = {{ Gtel = \"gmobile\" }}\n"
    );
    std::fs::write(&table, format!("{TABLE}{look_up}")).expect("written");
    let node = house.add(&[("carriers.file", &table.display().to_string())]).await;
    let customer = house.customer(Purse::full()).await;
    let order = |phone: &str, channel: &str| {
        customer.request("POST", SEND).json(&json!({"phone": phone, "code": "482917", "channel": channel}))
    };
    let before = customer.purse().await;
    // Its prefix says Viettel, which has voice; it is on MobiFone, which has not.
    let refused = customer.ask(&order(&phone(1), "voice")).await.expect(400);
    assert_eq!((refused.error().as_str(), refused.string("param").as_str()), ("invalid_request", "channel"));
    let refused = customer.send(&phone(2)).await.expect(400);
    assert_eq!((refused.error().as_str(), refused.string("reason").as_str()), ("invalid_phone", "carrier_not_served"));
    assert_eq!(customer.purse().await, before, "nothing was charged");
    let sent = customer.send(&phone(11)).await.expect(202);
    assert_eq!(
        (sent.string("carrier").as_str(), customer.ended(&sent.string("id")).await["channel"].as_str()),
        ("mobifone", Some("sms"))
    );
    // Without an answer that means something, or in time, the prefix counts.
    for n in [3, 4] {
        assert_eq!(customer.send(&phone(n)).await.expect(202).string("carrier"), "viettel");
    }
    // What was answered is not asked again.
    let count = || asked.lock().unwrap_or_else(PoisonError::into_inner).len();
    let before = count();
    assert_eq!(customer.send(&phone(1)).await.expect(202).string("carrier"), "mobifone");
    customer.send(&phone(2)).await.expect(400);
    assert_eq!(count(), before);

    static SOURCES: Statement = Statement::new(
        "test.sources",
        &[],
        &[],
        "SELECT carrier, COALESCE(carrier_source, 0) FROM deliveries ORDER BY carrier, carrier_source",
    );
    let rows = house.store().await.read(|tx| Box::pin(async move { tx.query(&SOURCES, &[], &[]).await }));
    let rows = rows.await.expect("reads");
    let mut rows: Vec<(String, i64)> =
        rows.iter().map(|row| (row.text(0).expect("text"), row.i64(1).expect("a number"))).collect();
    rows.sort();
    let expected = [("mobifone", 2), ("mobifone", 3), ("viettel", 0), ("viettel", 0)];
    assert_eq!(rows, expected.map(|(carrier, source)| (carrier.to_owned(), source)));
    drop(running);
    // A provider that is gone changes nothing but the carrier.
    assert_eq!(customer.send(&phone(21)).await.expect(202).string("carrier"), "viettel");
    assert!(node.metric("nexo_look_ups_total").await >= 6.0);
    house.finish().await;
}
