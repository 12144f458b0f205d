//! From an order to its end over SMPP: the whole house with our own SMSC simulator as a carrier's upstream.

use std::time::Duration;

use serde_json::json;

use crate::both_engines;
use crate::house::centre::{Centre, PASSWORD, SYSTEM_ID};
use crate::house::customer::{Customer, Purse, body, forced};
use crate::house::database::Engine;
use crate::house::{House, until, write_secret};

both_engines! {
    async fn an_order_ends_as_its_number_says_over_smpp(engine: Engine) { ends(engine).await }

    async fn a_line_that_is_cut_loses_and_repeats_nothing(engine: Engine) { cut(engine).await }
}

/// A table that leads Viettel's SMS to `centre`, and nothing else.
fn table(house: &House, centre: &Centre) -> String {
    let (secret, file) = (house.folder().join("smpp.password"), house.folder().join("carriers.toml"));
    write_secret(&secret, PASSWORD);
    let text = format!(
        "price_usd = \"0.022\"
[upstream.centre]
kind = \"smpp\"
address = \"{}\"
system_id = \"{SYSTEM_ID}\"
password = {{ file = {secret:?} }}
sender = \"NEXO\"
window = 20
reconnect_min_ms = 100
reconnect_max_ms = 500
[carrier.viettel]
channels = [\"sms\"]
prefixes = [\"98\"]
sms = [{{ upstream = \"centre\" }}]
",
        centre.address
    );
    std::fs::write(&file, text).expect("written");
    file.display().to_string()
}

async fn open(engine: Engine, centre: &Centre) -> (House, Customer) {
    let house = House::empty(engine).await;
    house.add(&[("carriers.file", &table(&house, centre))]).await;
    until("the link is bound", async || (!centre.saw("bound").is_empty()).then_some(())).await;
    let customer = house.customer(Purse::full()).await;
    (house, customer)
}

async fn ends(engine: Engine) {
    let centre = Centre::start(&["--receipt-ids", "decimal"], &[]);
    let (house, customer) = open(engine, &centre).await;
    // 00 and 12: the receipts that Kannel loses with its defaults, in another base and before the answer.
    let taken = [
        (0, "delivered", json!(null)),
        (2, "failed", json!("unreachable")),
        (3, "failed", json!("invalid_number")),
        (4, "failed", json!("rejected")),
        (5, "failed", json!("expired")),
        (11, "delivered", json!(null)),
        (12, "delivered", json!(null)),
        (21, "delivered", json!(null)),
    ];
    for (number, status, error) in &taken {
        let id = customer.send(&forced(0, *number)).await.expect(202).string("id");
        let ended = customer.ended(&id).await;
        assert_eq!((&ended["status"], &ended["error_code"]), (&json!(status), error), "{number}: {ended}");
        assert_eq!(ended["refunded"], json!(*status == "failed"), "{number}");
    }
    for number in [7, 8, 19] {
        customer.send(&forced(0, number)).await.expect(502);
    }
    let submits = centre.saw("submit");
    assert_eq!(submits.len(), taken.len() + 3, "each once: {submits:?}");
    assert!(centre.saw("receipt").iter().all(|receipt| receipt["status"] == 0));
    let text = format!("{:?}", centre.journal());
    assert!(!text.contains(body(&forced(0, 0))["code"].as_str().expect("a code")), "{text}");
    house.finish().await;
}

async fn cut(engine: Engine) {
    let centre = Centre::start(&[], &[("receipt_ms", "2000")]);
    let (house, customer) = open(engine, &centre).await;
    let mut ids = Vec::new();
    for series in 1..=5 {
        ids.push(customer.send(&forced(series, 0)).await.expect(202).string("id"));
    }
    centre.cut();
    // While the line is cut nothing is taken, and nothing is charged for good.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let refused = customer.send(&forced(6, 0)).await;
    assert!(matches!(refused.status, 429 | 502), "{refused:?}");
    centre.mend();
    for id in &ids {
        assert_eq!(customer.ended(id).await["status"], json!("delivered"));
    }
    assert_eq!(centre.saw("submit").len(), ids.len(), "{:?}", centre.saw("submit"));
    house.finish().await;
}
