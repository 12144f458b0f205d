//! What bad input gets: a clear error of the contract's §6, in its order of checks, and nothing lost.

use serde_json::{Value, json};

use crate::both_engines;
use crate::house::House;
use crate::house::client::{Answer, Request, raw};
use crate::house::customer::{Customer, Purse, SEND, body, phone};

both_engines! {
    async fn every_slip_is_named(house: House) { slips(house).await }
    async fn the_first_check_that_fails_answers(house: House) { order_of_checks(house).await }
}

#[tokio::test(flavor = "multi_thread")]
async fn phones_and_codes_are_strict() {
    let house = House::start(crate::house::database::Engine::Sqlite).await;
    let customer = house.customer(Purse::full()).await;
    phones(&customer).await;
    codes(&customer).await;
    optional_fields(&customer).await;
    untouched(&house, &customer).await;
    house.finish().await;
}

/// The error, and the `param` if the answer has one.
fn told(answer: &Answer) -> (u16, String, Option<String>) {
    let json = answer.json();
    assert_eq!(json["ok"], false, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
    assert_eq!(answer.header("x-request-id"), json["request_id"].as_str(), "{answer:?}");
    assert!(json["message"].as_str().is_some_and(|message| !message.is_empty()), "{answer:?}");
    (answer.status, answer.error(), json["param"].as_str().map(str::to_owned))
}

async fn untouched(house: &House, customer: &Customer) {
    assert_eq!(customer.purse().await, Purse::full());
    assert_eq!((house.ledger().await.deliveries.len(), house.witnessed().all().len()), (0, 0));
}

fn as_json(customer: &Customer, text: &str) -> Request {
    customer.request("POST", SEND).header("Content-Type", "application/json").body(text)
}

async fn slips(house: House) {
    let customer = house.customer(Purse::full()).await;
    for text in [
        "",
        " ",
        "{",
        "null",
        "[]",
        "\"x\"",
        "42",
        "phone=+84981234567&code=123456",
        r#"{"phone":"+84981234567","code":"123456"} x"#,
        r#"{"phone":"+84981234567","code":"123456",}"#,
        r#"{"phone":"+84981234567","code":"123456","code":"123457"}"#,
        r#"{"phone":"+84981234567","phone":"+84981234567","code":"123456"}"#,
        "\u{feff}{\"phone\":\"+84981234567\",\"code\":\"123456\"}",
        "{'phone':'+84981234567','code':'123456'}",
    ] {
        let answer = customer.ask(&as_json(&customer, text)).await;
        assert_eq!(told(&answer), (400, "invalid_request".into(), None), "{text}");
    }
    let deep = format!("{{\"phone\":\"{}\",\"code\":\"123456\",\"x\":{}}}", phone(1), "[".repeat(2_000));
    assert_eq!(told(&customer.ask(&as_json(&customer, &deep)).await).1, "invalid_request");
    let head = format!(
        "POST {SEND} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\nContent-Length: 4\r\n\r\n",
        customer.key
    );
    let not_utf8 = raw(customer.api, &[head.as_bytes(), b"\"\xff\xfe\""].concat()).await.expect("an answer");
    assert_eq!(told(&not_utf8), (400, "invalid_request".into(), None));

    routes_and_methods(&customer).await;
    sizes_and_types(&customer).await;
    untouched(&house, &customer).await;
}

async fn routes_and_methods(customer: &Customer) {
    for path in
        ["/", "/api/v1", "/api/v2/send-otp", "/api/v1/send-otp/", "/api/v1/balance/", "/API/v1/balance", "/metrics"]
    {
        for method in ["GET", "POST", "OPTIONS"] {
            let answer = customer.ask(&Request::new(method, path)).await;
            assert_eq!(told(&answer), (404, "not_found".into(), None), "{method} {path}");
        }
    }
    for (path, allow, methods) in [
        (SEND, "POST", &["GET", "PUT", "PATCH", "DELETE", "OPTIONS"][..]),
        ("/api/v1/balance", "GET, HEAD", &["POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
        ("/api/v1/deliveries", "GET, HEAD", &["POST", "DELETE"]),
        ("/api/v1/deliveries/x", "GET, HEAD", &["POST", "DELETE"]),
    ] {
        for method in methods {
            // No key is asked for: what is not there needs none.
            let answer = customer.ask(&Request::new(method, path)).await;
            assert_eq!(told(&answer), (405, "method_not_allowed".into(), None), "{method} {path}");
            assert_eq!(answer.header("allow"), Some(allow));
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
    }
}

async fn sizes_and_types(customer: &Customer) {
    let padded = |bytes: usize| {
        let empty = json!({"phone": "+84981234567", "code": "12345x", "pad": ""}).to_string().len();
        json!({"phone": "+84981234567", "code": "12345x", "pad": "x".repeat(bytes - empty)}).to_string()
    };
    let fits = customer.ask(&as_json(customer, &padded(4_096))).await;
    assert_eq!(told(&fits), (400, "invalid_code".into(), Some("code".into())));
    let declared = customer.ask(&as_json(customer, &padded(4_097))).await;
    assert_eq!(told(&declared), (413, "body_too_large".into(), None));
    let grown = format!(
        "POST {SEND} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n{}\r\n0\r\n\r\n",
        customer.key,
        "x".repeat(5_000)
    );
    let grown = raw(customer.api, grown.as_bytes()).await.expect("an answer");
    assert_eq!(told(&grown), (413, "body_too_large".into(), None));
    let long = customer.ask(&customer.request("GET", "/api/v1/balance").header("X-Long", &"x".repeat(20_000))).await;
    assert_eq!(told(&long), (431, "headers_too_large".into(), None));
    let many = (0..80).fold(customer.request("GET", "/api/v1/balance"), |many, n| many.header(&format!("X-{n}"), "x"));
    assert_eq!(told(&customer.ask(&many).await), (431, "headers_too_large".into(), None));

    for media in ["text/plain", "application/xml", "application/jsonp", "json", "*/*", ""] {
        let request = customer.request("POST", SEND).header("Content-Type", media).body(&body(&phone(1)).to_string());
        assert_eq!(told(&customer.ask(&request).await), (415, "unsupported_media_type".into(), None), "{media}");
    }
    let form = customer.request("POST", SEND).header("Content-Type", "application/x-www-form-urlencoded");
    let form = customer.ask(&form.body(&body(&phone(1)).to_string())).await.expect(415);
    assert!(form.string("message").contains("-H 'Content-Type: application/json'"), "{form:?}");
}

/// A good order in which one field is `value`.
async fn with(customer: &Customer, field: &str, value: Value) -> Answer {
    let mut order = body("+84981234567");
    order[field] = value;
    customer.ask(&customer.request("POST", SEND).json(&order)).await
}

async fn phones(customer: &Customer) {
    for bad in [
        "",
        " ",
        "84981234567",
        "0981234567",
        "981234567",
        "+8498123456",
        "+849812345678",
        "+84 981234567",
        "+84-98-1234567",
        "+841234567890",
        "+842438123456",
        "+8419001234",
        "+14155550123",
        "+84９８1234567",
        "+84981234567 ",
        "tel:+84981234567",
    ] {
        let answer = with(customer, "phone", json!(bad)).await;
        assert_eq!(told(&answer), (400, "invalid_phone".into(), Some("phone".into())), "{bad:?}");
    }
    for national in ["0981234567", "84981234567"] {
        let message = with(customer, "phone", json!(national)).await.string("message");
        assert!(message.contains("+84981234567"), "{message}");
    }
    let gmobile = with(customer, "phone", json!("+84591234567")).await.expect(400);
    assert_eq!((gmobile.error().as_str(), gmobile.string("reason").as_str()), ("invalid_phone", "carrier_not_served"));
    for bad in [json!(null), json!(84_981_234_567_u64), json!(["+84981234567"]), json!({}), json!(true)] {
        assert_eq!(told(&with(customer, "phone", bad.clone()).await).1, "invalid_phone", "{bad}");
        assert_eq!(
            told(&with(customer, "code", bad.clone()).await),
            (400, "invalid_code".into(), Some("code".into())),
            "{bad}"
        );
    }
}

async fn codes(customer: &Customer) {
    for bad in ["", "123", "123456789", "12345a", "12 34", "１２３４５６", "-1234", "+12345", "1234.5", "12345\n"]
    {
        let answer = with(customer, "code", json!(bad)).await;
        assert_eq!(told(&answer), (400, "invalid_code".into(), Some("code".into())), "{bad:?}");
        assert!(bad.is_empty() || !answer.text.contains(bad), "{answer:?}");
    }
    assert_eq!(told(&with(customer, "code", json!(482_917)).await), (400, "invalid_code".into(), Some("code".into())));
}

async fn optional_fields(customer: &Customer) {
    for bad in [json!("fax"), json!("VOICE"), json!(""), json!(1), json!(["sms"])] {
        assert_eq!(
            told(&with(customer, "channel", bad.clone()).await),
            (400, "invalid_request".into(), Some("channel".into())),
            "{bad}"
        );
    }
    let pairs = |count: usize| (0..count).map(|n| (n.to_string(), json!("x"))).collect::<serde_json::Map<_, _>>();
    for bad in [
        json!("x"),
        json!(["x"]),
        json!({"a": 1}),
        json!({"a": null}),
        json!({"a": {"b": "c"}}),
        json!({"k".repeat(41): "x"}),
        json!({"a": "v".repeat(201)}),
        json!(pairs(11)),
    ] {
        assert_eq!(
            told(&with(customer, "metadata", bad.clone()).await),
            (400, "invalid_request".into(), Some("metadata".into())),
            "{bad}"
        );
    }
    let voice_to_sms_only = json!({"phone": "+84901234567", "code": "123456", "channel": "voice"});
    let answer = customer.ask(&customer.request("POST", SEND).json(&voice_to_sms_only)).await;
    assert_eq!(told(&answer), (400, "invalid_request".into(), Some("channel".into())));
    for missing in ["phone", "code"] {
        let mut order = body("+84981234567");
        order.as_object_mut().expect("an object").remove(missing);
        let answer = customer.ask(&customer.request("POST", SEND).json(&order)).await;
        assert_eq!(told(&answer), (400, format!("invalid_{missing}"), Some(missing.into())));
    }
}

/// Each request breaks two rules or more; the one that is checked first answers.
async fn order_of_checks(house: House) {
    let customer = house.customer(Purse::full()).await;
    let elsewhere = house.customer_from(Purse::full(), &["203.0.113.5"]).await;
    let huge = "x".repeat(5_000);
    let wrong = |phone: &str, code: &str, channel: &str| {
        json!({"phone": phone, "code": code, "channel": channel, "metadata": 1}).to_string()
    };
    let good = "+84981234567";
    let keyed = |text: &str| as_json(&customer, text).header("Idempotency-Key", "two words");
    for (request, status, error) in [
        (Request::new("DELETE", "/nowhere").body(&huge), 404, "not_found"),
        (Request::new("DELETE", SEND).body(&huge), 405, "method_not_allowed"),
        (Request::new("POST", SEND).header("Content-Type", "text/plain").body(&huge), 413, "body_too_large"),
        (Request::new("POST", SEND).header("Content-Type", "text/plain").body("x"), 401, "missing_auth"),
        (Request::new("POST", SEND).key("nonsense").header("Content-Type", "text/plain").body("x"), 401, "invalid_key"),
        (elsewhere.request("POST", SEND).header("Content-Type", "text/plain").body("x"), 403, "ip_not_allowed"),
        (customer.request("POST", SEND).header("Content-Type", "text/plain").body("x"), 415, "unsupported_media_type"),
        (keyed("x"), 400, "invalid_request"),
        (keyed(&wrong("1", "x", "fax")), 400, "invalid_phone"),
        (keyed(&wrong(good, "x", "fax")), 400, "invalid_code"),
        (keyed(&wrong(good, "123456", "fax")), 400, "channel"),
        (keyed(&wrong(good, "123456", "auto")), 400, "metadata"),
        (keyed(&body(good).to_string()), 400, "Idempotency-Key"),
    ] {
        let (is, code, param) = told(&customer.ask(&request).await);
        let matches = is == status && (code == error || (code == "invalid_request" && param.as_deref() == Some(error)));
        assert!(matches, "{request:?}: {is} {code} {param:?}");
    }
    untouched(&house, &customer).await;

    // The replay is before the phone's window, and the window before the balance.
    let poor = house.customer(Purse::cash(0)).await;
    let first = as_json(&customer, &body(good).to_string()).header("Idempotency-Key", "order-1");
    customer.ask(&first).await.expect(202);
    let reused = as_json(&customer, &body(&phone(1)).to_string()).header("Idempotency-Key", "order-1");
    assert_eq!(told(&customer.ask(&reused).await).1, "idempotency_key_reused");
    assert_eq!(told(&poor.send(good).await).1, "rate_limited");
    // The carrier's capacity is before the phone's window.
    house.node().carrier("viettel").set_link(nexo_route::carrier::upstream::Health::Down);
    crate::house::until("the link is seen to be down", async || {
        let answer = told(&poor.send(good).await);
        (answer.1 == "no_route").then_some(())
    })
    .await;
}
