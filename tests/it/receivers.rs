//! The receivers that the seeds show, unchanged but for port and secret, and the published Standard Webhooks libraries: each
//! accepts what is signed with its secret, and nothing else.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use nexo_route::domain::event::ping_body;
use nexo_route::domain::ids::DeliveryId;
use nexo_route::domain::signature::WebhookSecret;
use nexo_route::domain::time::Timestamp;
use nexo_route::domain::webhook::KeyForm;

use crate::house::client::Request;
use crate::house::receiver::{Kind, Receiver, Secrets, are_prepared, free_address};

fn secret(seed: u8) -> WebhookSecret {
    WebhookSecret::from_entropy(&[seed; 32])
}

/// An event as the daemon signs it.
fn event(signed_with: &WebhookSecret, form: KeyForm, body: &str) -> Request {
    let key = signed_with.signing_key();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let seconds = i64::try_from(now).expect("before the end of time");
    Request::new("POST", "/webhooks/nexo")
        .header("Content-Type", "application/json")
        .header("X-NEXO-Signature", &key.seed_signature(form, body.as_bytes()))
        .header("webhook-id", "evt_1")
        .header("webhook-timestamp", &seconds.to_string())
        .header("webhook-signature", &key.standard_signature("evt_1", seconds, body.as_bytes()))
        .body(body)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_receiver_accepts_its_own_secret_and_nothing_else() {
    if !are_prepared() {
        return;
    }
    let body = ping_body(DeliveryId::from_bytes([0x11; 16]), Timestamp::from_micros(1_779_703_200_000_000));
    let body = String::from_utf8(body).expect("JSON is text");
    for kind in Kind::ALL {
        let form = kind.form();
        let receiver = Receiver::start(kind, free_address(), &Secrets::from(&secret(1))).await;
        let right = event(&secret(1), form, &body);
        let status = async |request: &Request| request.send(receiver.address).await.expect("an answer").status;
        assert_eq!(status(&right).await, 200, "{kind:?}");
        assert_eq!(status(&right.clone().body(&body.replace("0.000", "0.001"))).await, 401, "{kind:?}: another body");
        assert_eq!(status(&event(&secret(2), form, &body)).await, 401, "{kind:?}: another secret");
        // The libraries do not look at the seeds' signature.
        let expected = if matches!(kind, Kind::Npm | Kind::PyPi) { 200 } else { 401 };
        assert_eq!(status(&event(&secret(1), form.other(), &body)).await, expected, "{kind:?}: the other form");
    }
}

/// Runs the cURL guide's script up to its call, as printed but for the secret.
fn signature_of_the_curl_guide(secret: &str, body: &str) -> String {
    let printed = include_str!("../receivers/curl-guide.sh");
    let own_secret = "your_plaintext_webhook_secret";
    assert_eq!(printed.matches(own_secret).count(), 1);
    let (computes, _calls) = printed.split_once("\ncurl -X POST").expect("it computes, then calls");
    assert!(computes.contains(&format!("BODY='{body}'")), "the guide's own body");
    let script = format!("{}\nprintf %s \"$SIG\"", computes.replace(own_secret, secret));
    let output = Command::new("bash").args(["-euc", &script]).output().expect("bash runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

const GUIDES_BODY: &str = concat!(
    r#"{"type":"otp.delivered","id":"test","phone":"+84981234567","carrier":"viettel","status":"delivered","cost":0.022,"#,
    r#""error_code":null,"created_at":"2026-05-26T10:00:00Z","completed_at":"2026-05-26T10:00:25Z"}"#
);

#[test]
fn the_curl_guide_computes_what_the_house_signs() {
    if !are_prepared() {
        return;
    }
    let secret = secret(3);
    let ours = secret.signing_key().seed_signature(KeyForm::Raw, GUIDES_BODY.as_bytes());
    assert_eq!(signature_of_the_curl_guide(secret.expose(), GUIDES_BODY), ours);
}
