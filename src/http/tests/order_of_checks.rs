//! Of several things that are wrong, the first in the contract's order is told.

use super::client::Client;
use super::house::{Edge, ORDER};

/// A request that is wrong in every way, mended one way at a time.
#[tokio::test]
async fn one_mistake_after_the_other() {
    let edge = Edge::start();
    let bearer = format!("Authorization: Bearer {}\r\n", edge.key);
    let wrong = "Authorization: Bearer sk_live_wrong\r\n";
    let far = "X-Forwarded-For: 203.0.113.66\r\n";
    let (text, json) = ("Content-Type: text/plain\r\n", "Content-Type: application/json\r\n");
    let key = "Idempotency-Key: a b\r\n";
    let post = "POST /api/v1/send-otp";
    let long = "x".repeat(4097);
    let body = |phone: &str, code: &str, channel: &str, metadata: &str| {
        format!(r#"{{"phone":{phone},"code":{code},"channel":{channel},"metadata":{metadata}}}"#)
    };
    let (phone, code, sms, pairs) = (r#""+84901234567""#, r#""1234""#, r#""sms""#, r#"{"a":"b"}"#);
    let steps = [
        ("PUT /api/v1/send-otp/", [far, text, key].concat(), long.clone(), 404, "not_found"),
        ("PUT /api/v1/send-otp", [far, text, key].concat(), long.clone(), 405, "method_not_allowed"),
        (post, [far, text, key].concat(), long, 413, "body_too_large"),
        (post, [far, text, key].concat(), "{".into(), 401, "missing_auth"),
        (post, [wrong, far, text, key].concat(), "{".into(), 401, "invalid_key"),
        (post, [&bearer, far, text, key].concat(), "{".into(), 403, "ip_not_allowed"),
        (post, [&bearer, text, key].concat(), "{".into(), 415, "unsupported_media_type"),
        (post, [&bearer, json, key].concat(), "{".into(), 400, "invalid_request"),
        (post, [&bearer, json, key].concat(), body("1", "2", "3", "4"), 400, "invalid_phone"),
        (post, [&bearer, json, key].concat(), body(phone, "2", "3", "4"), 400, "invalid_code"),
        (post, [&bearer, json, key].concat(), body(phone, code, r#""voice""#, "4"), 400, r#""param":"channel""#),
        (post, [&bearer, json, key].concat(), body(phone, code, sms, "4"), 400, r#""param":"metadata""#),
        (post, [&bearer, json, key].concat(), body(phone, code, sms, pairs), 400, r#""param":"Idempotency-Key""#),
        (post, [&bearer, json].concat(), body(phone, code, sms, pairs), 202, r#""ok":true"#),
    ];
    for (line, headers, body, status, said) in steps {
        let answer = edge.raw(line, &headers, &body).await;
        assert_eq!(answer.status, status, "{line} {headers} {body}: {}", answer.body);
        assert!(answer.body.contains(said), "{said}: {}", answer.body);
        assert_eq!(answer.body.contains(r#""ok":false"#), status != 202);
    }
    assert_eq!(edge.script().sent.len(), 1, "nothing was sent that was not in order");
}

#[tokio::test]
async fn options_and_foreign_methods_are_told_what_is_taken() {
    let edge = Edge::start();
    for (line, allow) in [
        ("OPTIONS /api/v1/send-otp", "POST"),
        ("GET /api/v1/send-otp", "POST"),
        ("DELETE /api/v1/deliveries/x", "GET, HEAD"),
        ("OPTIONS /openapi.json", "GET, HEAD"),
    ] {
        let answer = edge.raw(line, "Origin: https://example.com\r\n", "").await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allow)), "{line}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "keys do not belong in browsers");
    }
    for line in ["OPTIONS *", "GET /", "GET /api/v1/balance/", "GET http://a/nowhere", "CONNECT a:443"] {
        assert_eq!(edge.raw(line, "", "").await.status, 404, "{line}");
    }
}

#[tokio::test]
async fn an_idempotency_key_is_visible_ascii_and_comes_once() {
    let edge = Edge::start();
    let longest = "k".repeat(255);
    assert_eq!(edge.call("POST /api/v1/send-otp", &format!("Idempotency-Key: {longest}\r\n"), ORDER).await.status, 202);
    for bad in ["", "a b", &"k".repeat(256), "a\r\nIdempotency-Key: a", "\u{e9}"] {
        let answer = edge.call("POST /api/v1/send-otp", &format!("Idempotency-Key: {bad}\r\n"), ORDER).await;
        assert!(answer.status == 400 && answer.body.contains(r#""param":"Idempotency-Key""#), "{bad}: {answer:?}");
    }
}

#[tokio::test]
async fn the_client_behind_a_trusted_proxy_is_who_is_checked() {
    let edge = Edge::start();
    for header in ["CF-Connecting-IP", "Cloudflare-Connecting-IP", "X-Forwarded-For"] {
        let answer = edge.call("GET /api/v1/balance", &format!("{header}: 203.0.113.66\r\n"), "").await;
        assert_eq!(answer.status, 403);
        assert!(answer.body.contains(r#""detected_ip":"203.0.113.66""#), "{}", answer.body);
    }
    assert_eq!(edge.call("GET /api/v1/balance", "X-Forwarded-For: 203.0.113.7\r\n", "").await.status, 200);
}

#[tokio::test]
async fn one_connection_serves_many_calls() {
    let edge = Edge::start();
    let mut client = Client::connect(edge.address).await;
    let call = format!(
        "POST /api/v1/send-otp HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{ORDER}",
        edge.key,
        ORDER.len()
    );
    for _ in 0..3 {
        client.send(&call).await;
        assert_eq!(client.answer().await.status, 202);
    }
}
