//! What a provider gets: every way to say who we are and what is to be sent, and that no value gets out of its place.

use http_body_util::BodyExt;
use hyper::Request;
use proptest::prelude::*;

use super::provider::{Does, Provider};
use super::{SecretFile, attempt, link};
use crate::carrier::http::request::Prepared;
use crate::carrier::upstream::{Outcome, Upstream};
use crate::config::upstreams::http::HttpConfig;

fn config(text: &str) -> HttpConfig {
    toml::from_str(&format!("receipts = \"refunded\"\n{text}")).unwrap_or_else(|error| panic!("{error}"))
}

async fn made(config: &HttpConfig) -> (Request<()>, String) {
    let (head, body) = Prepared::of_attempt(config, &attempt()).request().into_parts();
    let body = body.collect().await.expect("in memory").to_bytes();
    (Request::from_parts(head, ()), String::from_utf8(body.to_vec()).expect("text"))
}

#[tokio::test]
async fn every_placeholder_stands_for_what_it_says() {
    let config = config(
        r#"url = "http://localhost:1/v1?a=b"
        text = "{code} {{la}} ma"
        callback_url = "https://us/callbacks/tkc?attempt={attempt_id}"
        json = { a = "{phone}", b = ["{phone_national}", "{phone_digits}"], c = { d = "{text}", e = "{code}" }, f = "{channel}", g = "{callback_url}", n = 1, o = true, p = 1.5 }"#,
    );
    let (request, body) = made(&config).await;
    let id = "01997d0a-0000-7000-8000-000000000001-voice";
    assert_eq!(attempt().id(), id);
    let expected = format!(
        r#"{{"a":"+84981234567","b":["0981234567","84981234567"],"c":{{"d":"482917 {{la}} ma","e":"482917"}},"f":"voice","g":"https://us/callbacks/tkc?attempt={id}","n":1,"o":true,"p":1.5}}"#
    );
    assert_eq!(body, expected);
    assert_eq!(request.uri(), "/v1?a=b");
    assert_eq!(request.headers()["content-type"], "application/json");
    assert_eq!(request.headers()["content-length"], body.len().to_string());
    assert_eq!(request.headers()["host"], "localhost:1");
}

#[tokio::test]
async fn the_secret_of_a_callback_stands_escaped_in_its_url() {
    let secret = SecretFile::new("k e+y/1");
    let text = format!(
        r#"url = "http://localhost/f"
        json = {{ code = "{{code}}", callback = "{{callback_url}}" }}
        callback_url = "https://us/callbacks/tkc?key={{callback_secret}}&a={{attempt_id}}"
        callback = {{ query = {{ name = "key", value = {} }}, attempt = "?a", status = "/s", delivered = ["ok"] }}"#,
        secret.source()
    );
    let config: HttpConfig = toml::from_str(&text).unwrap_or_else(|error| panic!("{error}"));
    let (_, body) = made(&config).await;
    let id = attempt().id();
    let expected = format!(r#"{{"callback":"https://us/callbacks/tkc?key=k%20e%2By%2F1&a={id}","code":"482917"}}"#);
    assert_eq!(body, expected);
    assert!(!format!("{config:?}").contains("k e+y"), "{config:?}");
}

#[tokio::test]
async fn a_form_and_a_query_are_escaped() {
    let form = config(
        r#"url = "http://localhost/f"
        text = "{code} là mã & =%"
        form = { to = "{phone}", text = "{text}" }"#,
    );
    let (request, body) = made(&form).await;
    assert_eq!(body, "text=482917+l%C3%A0+m%C3%A3+%26+%3D%25&to=%2B84981234567");
    assert_eq!(request.headers()["content-type"], "application/x-www-form-urlencoded");
    let query = config(
        r#"url = "http://localhost/f?k=1"
        method = "GET"
        query = { to = "{phone}", code = "{code}" }"#,
    );
    let (request, body) = made(&query).await;
    assert_eq!(
        (request.method().as_str(), request.uri().to_string().as_str()),
        ("GET", "/f?k=1&code=482917&to=%2B84981234567")
    );
    assert_eq!((body.as_str(), request.headers().get("content-length")), ("", None));
}

#[tokio::test]
async fn every_proof_is_made_and_is_marked_as_secret() {
    let secret = SecretFile::new("s3cret");
    let source = secret.source();
    let base = "url = \"http://localhost/\"\njson = { code = \"{code}\" }\n";
    for (auth, header, value) in [
        (format!("{{ bearer = {source} }}"), "authorization", "Bearer s3cret"),
        (
            format!("{{ basic = {{ user = \"nexo\", password = {source} }} }}"),
            "authorization",
            "Basic bmV4bzpzM2NyZXQ=",
        ),
        (format!("{{ header = {{ name = \"X-Api-Key\", value = {source} }} }}"), "x-api-key", "s3cret"),
        // printf '{"code":"482917"}' | openssl dgst -sha256 -hmac s3cret
        (
            format!("{{ hmac_sha256 = {{ header = \"X-Sign\", key = {source}, prefix = \"sha256=\" }} }}"),
            "x-sign",
            "sha256=0a5ec7e0446c5c72e16fc7298afb8ea1b2c071a9eb70e954c8a05bdbaa133845",
        ),
        (
            format!("{{ hmac_sha256 = {{ header = \"X-Sign\", key = {source}, encoding = \"base64\" }} }}"),
            "x-sign",
            "Cl7H4ERsXHLhb8cpivuOobLAcanrcOlUyKBb26oTOEU=",
        ),
    ] {
        let (request, body) = made(&config(&format!("{base}auth = {auth}"))).await;
        assert_eq!(body, r#"{"code":"482917"}"#);
        assert_eq!(request.headers()[header], value);
        assert!(request.headers()[header].is_sensitive());
    }
}

#[tokio::test]
async fn the_wire_carries_what_was_made() {
    let provider = Provider::start([Does::json("201 Created", "")]).await;
    let (link, _) = link(&config(&format!(
        "url = \"http://{}/calls\"\nheaders = {{ \"X-Account\" = \"nexo\", \"user-agent\" = \"ours\" }}\nform = {{ code = \"{{code}}\" }}",
        provider.address
    )));
    assert_eq!(link.dispatch(attempt()).await, Outcome::Accepted);
    let got = &provider.got()[0];
    assert!(got.head.starts_with("POST /calls HTTP/1.1\r\n"), "{}", got.head);
    assert_eq!((got.header("x-account"), got.header("user-agent")), (Some("nexo"), Some("ours")));
    assert_eq!(got.header("host"), Some(provider.address.to_string().as_str()));
    assert_eq!(got.body, "code=482917");
}

proptest! {
    /// Whatever text an operator writes around the code, the body has the members that the template has.
    #[test]
    fn no_text_gets_out_of_its_string(around in "[^{}]{0,60}", name in "[^{}]{1,20}") {
        let text = |text: &str| toml::Value::String(text.to_owned());
        let mut json = toml::Table::new();
        json.insert(name.clone(), text("{text}"));
        json.insert("z".to_owned(), vec![text("{text}")].into());
        let mut written = toml::Table::new();
        written.insert("url".to_owned(), text("http://localhost/"));
        written.insert("receipts".to_owned(), text("refunded"));
        written.insert("text".to_owned(), text(&format!("{around}{{code}}{around}")));
        written.insert("json".to_owned(), json.into());
        let config: HttpConfig = written.try_into().expect("holds");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let (_, body) = runtime.block_on(made(&config));
        let value: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        let text = format!("{around}482917{around}");
        let members = value.as_object().expect("an object");
        if name != "z" {
            prop_assert_eq!(members.len(), 2);
            prop_assert_eq!(members[&name].as_str(), Some(text.as_str()));
        }
        prop_assert_eq!(value["z"][0].as_str(), Some(text.as_str()));
    }
}
