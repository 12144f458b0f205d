//! The seeds' examples as they are printed, with only the base URL, the key and the phone changed: every field, in its
//! order, with its shape.

use serde_json::json;

use crate::both_engines;
use crate::house::House;
use crate::house::client::{Answer, Request};
use crate::house::customer::{Customer, PRICE, Purse, SEND, body, forced, micros, phone};

both_engines! {
    /// The quick start, the cURL guide and HTTPie.
    async fn a_code_is_sent_and_charged(house: House) { quick_start(house).await }
    /// The Node.js and Python examples, with the headers that their clients add.
    async fn every_client_of_the_guides_is_understood(house: House) { clients(house).await }
    async fn a_delivery_can_be_polled_until_it_ends(house: House) { polling(house).await }
    async fn the_balance_is_shown_by_bucket(house: House) { balance(house).await }
    async fn a_channel_may_be_chosen(house: House) { channels(house).await }
    async fn metadata_is_echoed_and_never_needed(house: House) { metadata(house).await }
    async fn a_caller_names_his_request(house: House) { request_ids(house).await }
}

/// The text of a 202 with its id taken out.
fn without_id(answer: &Answer) -> String {
    let id = answer.string("id");
    let parsed: uuid::Uuid = id.parse().expect("a UUID");
    assert_eq!(parsed.get_version_num(), 7, "{id}");
    answer.text.replace(&id, "…")
}

async fn quick_start(house: House) {
    let customer = house.customer(Purse::cash(10_000_000)).await;
    let curl = Request::new("POST", SEND)
        .header("User-Agent", "curl/8.5.0")
        .header("Accept", "*/*")
        .header("Authorization", &format!("Bearer {}", customer.key))
        .header("Content-Type", "application/json")
        .body(r#"{"phone":"+84981234567","code":"123456"}"#);
    let answer = customer.ask(&curl).await.expect(202);
    assert_eq!(
        without_id(&answer),
        r#"{"ok":true,"id":"…","carrier":"viettel","status":"sent","cost":0.022,"balance":9.978}"#
    );
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(customer.ended(&answer.string("id")).await["status"], "delivered");
    assert_eq!(customer.purse().await, Purse::cash(9_978_000));

    // The cURL guide starts from the five free codes of a sign-up.
    let newcomer = house.customer(Purse { free: 110_000, ..Purse::default() }).await;
    let answer = newcomer.send(&phone(1)).await.expect(202);
    assert_eq!(
        without_id(&answer),
        r#"{"ok":true,"id":"…","carrier":"viettel","status":"sent","cost":0.022,"balance":0.088}"#
    );
}

async fn clients(house: House) {
    let customer = house.customer(Purse::full()).await;
    let key = format!("Bearer {}", customer.key);
    let fetch = Request::new("POST", SEND)
        .header("authorization", &key)
        .header("content-type", "application/json")
        .header("accept", "*/*")
        .header("accept-language", "*")
        .header("sec-fetch-mode", "cors")
        .header("user-agent", "node")
        .header("accept-encoding", "gzip, deflate")
        .body(r#"{"phone":"+84912345678","code":"482917"}"#);
    let httpx = Request::new("POST", SEND)
        .header("Accept", "*/*")
        .header("Accept-Encoding", "gzip, deflate, br")
        .header("User-Agent", "python-httpx/0.27.0")
        .header("Authorization", &key)
        .header("Content-Type", "application/json")
        .body(r#"{"phone": "+84901234567", "code": "482917"}"#);
    let httpie = Request::new("POST", SEND)
        .header("User-Agent", "HTTPie/3.2.2")
        .header("Accept", "application/json, */*;q=0.5")
        .header("Content-Type", "application/json")
        .header("Authorization", &key.replace("Bearer", "bearer"))
        .body(r#"{"phone": "+84921234567", "code": "482917"}"#);
    let bare =
        Request::new("POST", SEND).header("Authorization", &key).body(r#"{"code":"4829","phone":"+84981234567"}"#);
    let charset = Request::new("POST", SEND)
        .header("Authorization", &key)
        .header("Content-Type", "Application/JSON; charset=utf-8")
        .body(r#"{"phone":"+84971234567","code":"48291700","callback":"https://example.com","user":{"id":[1]}}"#);
    for (request, carrier) in
        [(fetch, "vinaphone"), (httpx, "mobifone"), (httpie, "vietnamobile"), (bare, "viettel"), (charset, "viettel")]
    {
        let answer = customer.ask(&request).await.expect(202);
        assert_eq!((answer.string("carrier").as_str(), answer.field("ok")), (carrier, json!(true)));
    }
}

async fn polling(house: House) {
    let customer = house.customer(Purse::full()).await;
    let to = phone(1);
    let id = customer.send(&to).await.expect(202).string("id");
    let delivery = customer.ended(&id).await;
    let text = customer.get(&format!("/api/v1/deliveries/{id}")).await.expect(200).text;
    let (created, completed) = (&delivery["created_at"], &delivery["completed_at"]);
    assert_eq!(
        text,
        format!(
            r#"{{"ok":true,"id":"{id}","phone":"{to}","carrier":"viettel","channel":"voice","status":"delivered","cost":0.022,"refunded":false,"error_code":null,"carrier_status":"success","created_at":{created},"completed_at":{completed},"metadata":null}}"#
        )
    );
    for time in [created, completed] {
        let time = time.as_str().expect("a time");
        let parsed: jiff::Timestamp = time.parse().expect("RFC 3339");
        assert_eq!((time.len(), time.ends_with('Z')), ("2026-05-25T10:00:00.000Z".len(), true), "{parsed}");
    }
    let same_case = customer.get(&format!("/api/v1/deliveries/{}", id.to_uppercase())).await;
    assert!(same_case.status == 200 || same_case.status == 404, "{same_case:?}");
    let awaiting = customer.send(&forced(0, 9)).await.expect(202).string("id");
    let awaiting = customer.delivery(&awaiting).await;
    assert_eq!((&awaiting["status"], &awaiting["completed_at"]), (&json!("sent"), &json!(null)));
}

async fn balance(house: House) {
    let customer = house.customer(Purse { free: 66_000, bonus: 2_000_000, cash: 9_978_000 }).await;
    let answer = customer.get("/api/v1/balance").await.expect(200);
    assert_eq!(
        answer.text,
        r#"{"ok":true,"currency":"USD","balance":9.978,"bonus_credit":2.000,"free_credit":0.066,"total":12.044,"buckets":{"balance":9.978,"bonus_credit":2.000,"free_credit":0.066}}"#
    );
    let head = customer.request("HEAD", "/api/v1/balance");
    let head = customer.ask(&head).await.expect(200);
    assert_eq!((head.text.as_str(), head.header("content-length")), ("", answer.header("content-length")));
}

async fn channels(house: House) {
    let customer = house.customer(Purse::full()).await;
    let cases = [
        ("+84981234501", None, "voice"),
        ("+84981234502", Some("auto"), "voice"),
        ("+84981234503", Some("voice"), "voice"),
        ("+84981234504", Some("sms"), "sms"),
        ("+84901234505", None, "sms"),
        ("+84901234506", Some("sms"), "sms"),
    ];
    for (to, channel, expected) in cases {
        let mut order = body(to);
        if let Some(channel) = channel {
            order["channel"] = json!(channel);
        }
        let id = customer.ask(&customer.request("POST", SEND).json(&order)).await.expect(202).string("id");
        assert_eq!(customer.ended(&id).await["channel"], expected, "{to} {channel:?}");
    }
    // A chosen channel has no second one.
    let mut order = body(&forced(0, 6));
    order["channel"] = json!("voice");
    customer.ask(&customer.request("POST", SEND).json(&order)).await.expect(502);
}

async fn metadata(house: House) {
    let customer = house.customer(Purse::full()).await;
    let pairs = json!({"order": "№ 17", "note": "\"quoted\" \\ and\nlines", "empty": ""});
    for (n, (given, echoed)) in
        [(pairs.clone(), pairs), (json!(null), json!(null)), (json!({}), json!(null))].into_iter().enumerate()
    {
        let mut order = body(&phone(u32::try_from(n).expect("small")));
        order["metadata"] = given;
        let id = customer.ask(&customer.request("POST", SEND).json(&order)).await.expect(202).string("id");
        assert_eq!(customer.delivery(&id).await["metadata"], echoed);
    }
}

async fn request_ids(house: House) {
    let customer: Customer = house.customer(Purse::cash(PRICE)).await;
    let named = customer.ask(&customer.order(&phone(1)).header("X-Request-Id", "checkout-42")).await.expect(202);
    assert_eq!(named.header("x-request-id"), Some("checkout-42"));
    let refused = customer.ask(&customer.order(&phone(2)).header("X-Request-Id", "checkout-43")).await.expect(402);
    assert_eq!(
        (refused.header("x-request-id"), refused.string("request_id").as_str()),
        (Some("checkout-43"), "checkout-43")
    );
    assert_eq!((micros(&refused.field("cost")), micros(&refused.field("balance"))), (PRICE, 0));
    let unnamed = customer.send(&phone(3)).await.expect(402);
    assert_eq!(unnamed.header("x-request-id"), Some(unnamed.string("request_id").as_str()));
    let silly = customer.ask(&customer.order(&phone(4)).header("X-Request-Id", "<script> \u{1F4A3}")).await.expect(402);
    assert_ne!(silly.header("x-request-id"), Some("<script> \u{1F4A3}"));
    assert_eq!(silly.header("x-request-id"), Some(silly.string("request_id").as_str()));
}
