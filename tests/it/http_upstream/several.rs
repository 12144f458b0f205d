//! Receipts as other providers bring them, through the daemon: several in one callback, and by GET.

use std::net::SocketAddr;

use nexo_route::domain::signature::{hex, hmac_sha256};
use serde_json::json;
use tokio::task::JoinSet;

use super::KEY;
use super::daemon::{pairs, provider, written};
use crate::both_engines;
use crate::house::client::Request;
use crate::house::customer::{PRICE, Purse, forced};
use crate::house::database::Engine;
use crate::house::whole::logs;

both_engines! {
    async fn every_receipt_of_one_callback_settles_its_delivery(engine: Engine) { several(engine).await }
    async fn a_receipt_by_another_upstreams_url_is_counted_and_changes_nothing(engine: Engine) { misdirected(engine).await }
    async fn a_receipt_by_get_settles_and_its_query_is_in_no_log(engine: Engine) { by_get(engine).await }
}

/// The provider brings nothing by itself: the test does.
fn brings_nothing(example: &str) -> String {
    example.replace("callback = \"{callback_url}\"\n", "")
}

async fn post(callbacks: SocketAddr, body: &serde_json::Value, status: u16) {
    post_to("/callbacks/tkc", callbacks, body, status).await;
}

async fn post_to(path: &str, callbacks: SocketAddr, body: &serde_json::Value, status: u16) {
    let text = body.to_string();
    let signature = format!("sha256={}", *hex(&hmac_sha256(KEY.as_bytes(), &[text.as_bytes()])));
    let request = Request::new("POST", path).header("X-TKC-Signature", &signature).json(body);
    request.send(callbacks).await.expect("answers").expect(status);
}

async fn several(engine: Engine) {
    let mut running = JoinSet::new();
    let in_lists =
        |example: String| brings_nothing(&example).replace("form = \"json\"", "form = \"json\"\neach = \"/results\"");
    let (house, settings, callbacks) = written(engine, provider(&mut running).await, in_lists).await;
    let node = house.add(&pairs(&settings)).await;
    let customer = house.customer(Purse::cash(3 * PRICE)).await;
    let mut ids = Vec::new();
    for number in 0..3 {
        ids.push(customer.send(&forced(number, 0)).await.expect(202).string("id"));
    }
    let element = |id: &str, status: &str| json!({ "client_ref": format!("{id}-voice"), "status": status });
    let results = [
        element(&ids[0], "answered"),
        json!({ "status": "answered" }),
        element(&ids[1], "busy"),
        element(&ids[2], "answered"),
    ];
    post(callbacks, &json!({ "results": results }), 200).await;
    for (id, status) in ids.iter().zip(["delivered", "failed", "delivered"]) {
        assert_eq!(customer.delivery(id).await["status"], status, "durable before the 200");
    }
    post(callbacks, &json!({ "results": [] }), 200).await;
    for (result, count) in [("taken", 3.0), ("unreadable", 1.0), ("empty", 1.0)] {
        let label = format!("result=\"{result}\"");
        assert!((node.metric_of("nexo_callbacks_total", &[&label]).await - count).abs() < 0.1, "{result}");
    }
    assert_eq!(customer.purse().await, Purse::cash(PRICE));
    house.finish().await;
}

async fn by_get(engine: Engine) {
    let mut running = JoinSet::new();
    let by_get = |example: String| {
        let (head, callback) = example.split_once("[upstream.tkc.callback]").expect("the example has it");
        let secret = callback.split("key = ").nth(1).and_then(|rest| rest.split('}').next()).expect("a file");
        format!(
            "{}[upstream.tkc.callback]\nmethod = \"GET\"\nquery = {{ name = \"token\", value = {secret} }} }}\n\
             attempt = \"?ref\"\nstatus = \"?dlr\"\ndelivered = [\"DELIVRD\"]\n",
            brings_nothing(head)
        )
    };
    let (house, settings, callbacks) = written(engine, provider(&mut running).await, by_get).await;
    house.add(&pairs(&settings)).await;
    let customer = house.customer(Purse::cash(PRICE)).await;
    let id = customer.send(&forced(0, 0)).await.expect(202).string("id");
    let marker = format!("{:032x}", rand::random::<u128>());
    let path = |token: &str| format!("/callbacks/tkc?token={token}&ref={id}-voice&dlr=DELIVRD&m={marker}");
    Request::new("HEAD", &path(KEY)).send(callbacks).await.expect("answers").expect(405);
    Request::new("GET", &path("wrong")).send(callbacks).await.expect("answers").expect(401);
    assert_eq!(customer.delivery(&id).await["status"], "sent");
    Request::new("GET", &path(KEY)).send(callbacks).await.expect("answers").expect(200);
    assert_eq!(customer.delivery(&id).await["status"], "delivered");
    assert!(!logs().contains(&marker), "a query bears the secret");
    house.finish().await;
}

async fn misdirected(engine: Engine) {
    let mut running = JoinSet::new();
    let twice = |example: String| {
        let one = brings_nothing(&example);
        let two = one.replace("upstream.tkc", "upstream.tkc2");
        let vinaphone =
            "[carrier.vinaphone]\nchannels = [\"voice\"]\nprefixes = [\"91\"]\nvoice = [{ upstream = \"tkc2\" }]\n";
        format!("{vinaphone}{one}\n{two}")
    };
    let (house, settings, callbacks) = written(engine, provider(&mut running).await, twice).await;
    let node = house.add(&pairs(&settings)).await;
    let customer = house.customer(Purse::cash(PRICE)).await;
    let id = customer.send(&forced(0, 0)).await.expect(202).string("id");
    for status in ["answered", "busy"] {
        let receipt = json!({ "client_ref": format!("{id}-voice"), "status": status });
        post_to("/callbacks/tkc2", callbacks, &receipt, 200).await;
    }
    assert_eq!(customer.delivery(&id).await["status"], "sent");
    let counted = node.metric_of("nexo_receipts_misdirected_total", &["upstream=\"tkc2\""]).await;
    assert!((counted - 2.0).abs() < 0.1, "{counted}");
    post(callbacks, &json!({ "client_ref": format!("{id}-voice"), "status": "answered" }), 200).await;
    assert_eq!(customer.delivery(&id).await["status"], "delivered");
    house.finish().await;
}
