//! The worked example of an HTTP upstream, `config/upstreams/tkc.toml`, as it is printed but for its address and secrets.

use std::time::Duration;

use super::provider::{Does, Provider};
use super::{SecretFile, attempt, link, status_of};
use crate::carrier::upstream::{FailureClass, Outcome, ReceiptTrust, Upstream};
use crate::config::upstreams::http::HttpConfig;

fn example(address: &str) -> HttpConfig {
    let text = include_str!("../../../../config/upstreams/tkc.toml");
    let text = text.replace("https://api.tkc.example", &format!("http://{address}"));
    let secret = SecretFile::new("s3cret");
    let text = text.replace("{ env = \"NEXO_TKC_TOKEN\" }", &secret.source());
    let text = text.replace("{ env = \"NEXO_TKC_CALLBACK_KEY\" }", &secret.source());
    let mut table: toml::Table = text.parse().expect("TOML");
    let mut tkc = table["upstream"]["tkc"].as_table_mut().map(std::mem::take).expect("the example");
    assert_eq!(tkc.remove("kind").as_ref().and_then(toml::Value::as_str), Some("http"));
    tkc.try_into().unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test]
async fn the_example_places_a_call_and_learns_its_name() {
    let provider = Provider::start([Does::json("202 Accepted", r#"{"status":"queued","call_id":"c-1"}"#)]).await;
    let (link, sink) = link(&example(&provider.address.to_string()));
    assert_eq!(link.dispatch(attempt()).await, Outcome::Accepted);
    assert_eq!(sink.names(), ["c-1"]);
    let got = &provider.got()[0];
    assert_eq!(got.header("authorization"), Some("Bearer s3cret"));
    assert_eq!(got.header("idempotency-key"), Some(attempt().id().as_str()));
    let body: serde_json::Value = serde_json::from_str(&got.body).expect("JSON");
    assert_eq!(body["to"], "+84981234567");
    assert_eq!(body["say"]["text"], "482917 la ma xac thuc cua ban. 482917.");
    assert_eq!(body["callback"], "https://otp.example.com/callbacks/tkc");
    assert_eq!(body["client_ref"], attempt().id().as_str());
    let capabilities = link.capabilities();
    assert_eq!(capabilities.per_phone_gap, Some(Duration::from_secs(30)));
    assert_eq!((capabilities.rate_per_second, capabilities.receipts), (Some(20), ReceiptTrust::Handset));
}

#[tokio::test]
async fn its_limit_of_one_call_per_phone_is_told_with_the_seconds_that_are_left() {
    let provider = Provider::start([
        Does::json("429 Too Many Requests", r#"{"error":"phone_rate_limited","retry_after_seconds":23}"#),
        Does::Answers("429 Too Many Requests", "Retry-After: 9\r\n", r#"{"error":"phone_rate_limited"}"#.to_owned()),
        Does::json("429 Too Many Requests", r#"{"error":"phone_rate_limited"}"#),
    ])
    .await;
    let (link, _) = link(&example(&provider.address.to_string()));
    for seconds in [23, 9, 30] {
        let expected = Outcome::PerPhone { retry_after: Duration::from_secs(seconds) };
        assert_eq!(link.dispatch(attempt()).await, expected);
    }
}

#[tokio::test]
async fn its_refusals_keep_their_meaning_and_its_word_never_holds_the_code() {
    let provider = Provider::start([
        Does::json("422 Unprocessable", r#"{"error":"invalid_number","message":"no subscriber"}"#),
        Does::json("422 Unprocessable", r#"{"error":"invalid_number","message":"cannot say 482917"}"#),
        Does::json("503 Unavailable", r#"{"error":"maintenance"}"#),
    ])
    .await;
    let (link, _) = link(&example(&provider.address.to_string()));
    for status in ["no subscriber", "[withheld]"] {
        let outcome = link.dispatch(attempt()).await;
        assert!(matches!(outcome, Outcome::Refused { class: FailureClass::InvalidNumber, .. }), "{outcome:?}");
        assert_eq!(status_of(&outcome), status);
    }
    assert!(matches!(link.dispatch(attempt()).await, Outcome::NotSent { .. }));
}
