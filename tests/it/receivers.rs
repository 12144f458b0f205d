//! The receivers that the seeds show, unchanged but for port and secret, and the published Standard Webhooks libraries: each
//! accepts what is signed with its secret, and nothing else.

use std::process::Command;

use nexo_route::clock::wall_now;
use nexo_route::domain::event::ping_body;
use nexo_route::domain::ids::DeliveryId;
use nexo_route::domain::signature::WebhookSecret;
use nexo_route::domain::time::Timestamp;
use nexo_route::domain::webhook::KeyForm;

use crate::house::client::Request;
use crate::house::published::{Kind, Receiver, Secrets, are_prepared, free_address, fresh_folder};

fn secret(seed: u8) -> WebhookSecret {
    WebhookSecret::from_entropy(&[seed; 32])
}

/// An event as the daemon signs it.
fn event(signed_with: &WebhookSecret, form: KeyForm, body: &str) -> Request {
    let key = signed_with.signing_key();
    let seconds = wall_now().millis() / 1_000;
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

const README: &str = include_str!("../../README.md");

/// The one block of README.md in this language.
fn of_the_readme(language: &str) -> &'static str {
    let blocks: Vec<&str> = README.split(&format!("\n```{language}\n")).skip(1).collect();
    assert_eq!(blocks.len(), 1, "{language}");
    blocks[0].split("\n```\n").next().expect("it ends")
}

fn vector() -> WebhookSecret {
    WebhookSecret::from_entropy(&std::array::from_fn(|index| u8::try_from(index).expect("small")))
}

#[test]
fn the_vectors_of_the_readme_are_what_the_house_signs() {
    let key = vector().signing_key();
    let body = of_the_readme("json");
    assert_eq!(body, GUIDES_BODY);
    for said in [
        vector().expose().to_owned(),
        key.seed_signature(KeyForm::Raw, body.as_bytes()),
        key.seed_signature(KeyForm::Hex, body.as_bytes()),
        key.library_secret().to_string(),
        key.standard_signature("evt_11111111-1111-1111-1111-111111111111", 1_779_703_225, body.as_bytes()),
    ] {
        assert!(README.contains(&format!("`{said}`")), "{said}");
    }
}

/// Runs a program of the README's on the README's vector, in the form that its comment names; returns what it prints.
fn run_of_the_readme(program: &str, arguments: &[&str]) -> String {
    let folder = fresh_folder();
    std::fs::write(folder.join("body.json"), of_the_readme("json")).expect("writes");
    let mut command = Command::new(program);
    command.args(arguments).current_dir(&folder).env("NEXO_WEBHOOK_SECRET", vector().expose());
    let output = command.output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{output:?}");
    std::fs::remove_dir_all(folder).expect("goes");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

#[test]
fn the_examples_of_the_readme_verify_both_forms() {
    if !are_prepared() {
        return;
    }
    let (javascript, python, shell) = (of_the_readme("js"), of_the_readme("python"), of_the_readme("bash"));
    let in_hex = |text: &str, raw: &str, hex: &str| {
        assert_eq!(text.matches(raw).count(), 1, "{raw}");
        text.replace(raw, hex)
    };
    let forms = [
        (KeyForm::Raw, javascript.to_owned(), python.to_owned(), shell.to_owned()),
        (
            KeyForm::Hex,
            in_hex(javascript, ".digest();", ".digest('hex');"),
            in_hex(python, "encode()).digest()", "encode()).hexdigest().encode()"),
            in_hex(shell, "-sha256 -mac HMAC -macopt \"hexkey:$KEY\" <", "-sha256 -hmac \"$KEY\" <"),
        ),
    ];
    for (form, javascript, python, shell) in forms {
        let signature = vector().signing_key().seed_signature(form, of_the_readme("json").as_bytes());
        assert_eq!(run_of_the_readme("bash", &["-euc", &shell]), signature, "{form:?}");
        for (header, accepted) in [(signature.clone(), true), (signature.replace(char::is_numeric, "0"), false)] {
            let asked = format!(
                "{javascript}\nimport fs from 'node:fs';\nconsole.log(verify(fs.readFileSync('body.json'), '{header}'));"
            );
            let said = run_of_the_readme("node", &["--input-type=module", "-e", &asked]);
            assert_eq!(said, accepted.to_string(), "{form:?}");
            let asked = format!("{python}\nprint(verify(open('body.json', 'rb').read(), '{header}'))");
            let said = run_of_the_readme("python3", &["-c", &asked]);
            assert_eq!(said, if accepted { "True" } else { "False" }, "{form:?}");
        }
    }
}
