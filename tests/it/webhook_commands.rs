//! `webhook` as an operator types it: endpoints, secrets, pings, attempts and replays; what is refused, and with which words.

use serde_json::{Value, json};

use crate::both_engines;
use crate::commands::{Desk, text};
use crate::house::receiver::{Kind, Receiver, Secrets, are_prepared, free_address, url};

both_engines! {
    async fn an_endpoint_is_registered_pinged_rotated_and_deleted(desk: Desk) { a_life(&desk).await }
    async fn what_an_endpoint_cannot_be_is_refused_with_its_code(desk: Desk) { refusals(&desk) }
}

const LOCAL: &str = "[webhooks]\nallow_http = true\nallow_networks = [\"127.0.0.0/8\"]\nports = [0]\n";
const NOBODY: &str = "01997d0a-0000-7000-8000-000000000001";

/// A migrated database with keys and an account; returns the account.
fn furnish(desk: &Desk) -> String {
    desk.ask("migrate");
    desk.ask("secrets create");
    text(&desk.ask("account create acme"), "account")
}

fn secrets(made: &Value) -> Secrets {
    let secrets = Secrets { plain: text(made, "secret"), library: text(made, "library_secret") };
    assert!(secrets.plain.starts_with("nws_") && secrets.library.starts_with("whsec_"), "{made}");
    secrets
}

/// Runs a ping, which ends with `code`; returns its answer.
#[track_caller]
fn ping(desk: &Desk, id: &str, code: i32) -> Value {
    let output = desk.run(&format!("webhook ping {id} --json"));
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("one line")
}

/// Status and form of every attempt of a ping.
fn tried(ping: &Value) -> Value {
    let attempts = ping["attempts"].as_array().expect("a list");
    attempts.iter().map(|attempt| json!([attempt["signature_key"], attempt["http_status"]])).collect()
}

async fn a_life(desk: &Desk) {
    if !are_prepared() {
        return;
    }
    desk.configure(LOCAL);
    let account = furnish(desk);
    let address = free_address();
    let url = url(address);
    let made = desk.run(&format!("webhook create --account {account} --url {url} --retry 5s,2h --json"));
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    let answer: Value = serde_json::from_slice(&made.stdout).expect("one line");
    let (id, first) = (text(&answer, "id"), secrets(&answer));
    assert!(!String::from_utf8_lossy(&made.stderr).contains("nws_"), "a secret is not logged");
    let list = || desk.ask(&format!("webhook list --account {account}"));
    let listed = list();
    for (field, expected) in [
        ("id", json!(id)),
        ("url", json!(url)),
        ("events", json!(["otp.delivered", "otp.failed"])),
        ("signature_key", json!("raw")),
        ("retry", json!("5s,2h")),
        ("disabled_why", Value::Null),
        ("failing_since", Value::Null),
        ("old_secret_until", Value::Null),
    ] {
        assert_eq!(listed["data"][0][field], expected, "{field}");
    }
    assert!(listed["data"][0]["active_since"].is_string());
    assert!(!listed.to_string().contains(&first.plain) && !listed.to_string().contains(&first.library));

    let nobody = ping(desk, &id, 1);
    assert_eq!(
        (&nobody["ok"], &nobody["attempts"][0]["error"], tried(&nobody)),
        (&json!(false), &json!("connect"), json!([["raw", null]]))
    );

    // The API reference's reader wants the other form: the ping finds out, once.
    let receiver = Receiver::start(Kind::ApiReference, address, &first).await;
    let found = ping(desk, &id, 0);
    assert_eq!((tried(&found), &found["signature_key"]), (json!([["raw", 401], ["hex", 200]]), &json!("hex")));
    assert_eq!(list()["data"][0]["signature_key"], "hex");
    assert_eq!(tried(&ping(desk, &id, 0)), json!([["hex", 200]]));

    rotation(desk, &account, &id, receiver, &first).await;
    ends(desk, &account, &id);
    assert_eq!(desk.ask("verify")["ok"], true);
}

/// A ping is accepted once the receiver has the new secret, and not before.
async fn rotation(desk: &Desk, account: &str, id: &str, receiver: Receiver, first: &Secrets) {
    let old_until = || desk.ask(&format!("webhook list --account {account}"))["data"][0]["old_secret_until"].clone();
    let second = secrets(&desk.ask(&format!("webhook rotate {id}")));
    assert_ne!(second.plain, first.plain);
    assert!(old_until().is_string());
    assert_eq!(tried(&ping(desk, id, 1)), json!([["hex", 401], ["raw", 401]]));
    assert!(old_until().is_string(), "a refused ping ends no rotation");

    let address = receiver.address;
    drop(receiver);
    // A library accepts any of the signatures: a ping has that of the new secret alone.
    let library = Receiver::start(Kind::Npm, address, first).await;
    assert_eq!(ping(desk, id, 1)["ok"], false);
    drop(library);
    let _receiver = Receiver::start(Kind::ApiReference, address, &second).await;
    let accepted = ping(desk, id, 0);
    assert_eq!((tried(&accepted), &accepted["rotation_finished"]), (json!([["hex", 200]]), &json!(true)));
    assert_eq!(old_until(), Value::Null);

    desk.ask(&format!("webhook rotate {id}"));
    for already in [false, true] {
        let expected = json!({"ok": true, "id": id, "already": already});
        assert_eq!(desk.ask(&format!("webhook rotate {id} --finish")), expected);
    }
    assert_eq!(old_until(), Value::Null);
}

fn ends(desk: &Desk, account: &str, id: &str) {
    for command in ["disable", "enable"] {
        for already in [false, true] {
            let expected = json!({"ok": true, "id": id, "already": already});
            assert_eq!(desk.ask(&format!("webhook {command} {id}")), expected, "{command}");
        }
    }
    let attempts = desk.ask(&format!("webhook attempts --account {account} --state failed --limit 1"));
    let failed = &attempts["data"][0];
    assert_eq!(
        (&failed["cause"], &failed["event"], &failed["endpoint"]),
        (&json!("ping"), &json!("otp.test"), &json!(id))
    );
    assert!(text(&failed["request"], "head").contains("X-Nexo-Signature: sha256="), "{failed}");
    assert_eq!(attempts["has_more"], true);
    let after =
        format!("webhook attempts --account {account} --state failed --after {}", text(&attempts, "next_cursor"));
    assert_ne!(desk.ask(&after)["data"][0]["id"], failed["id"]);
    let attempt = text(failed, "id");
    assert!(desk.refused(&format!("webhook replay {attempt}"), 1).contains("ping"));
    let replayed = desk.ask(&format!("webhook replay --endpoint {id} --since 2026-01-01T00:00:00Z --unknown"));
    assert_eq!(replayed, json!({"ok": true, "queued": 0}));

    desk.ask(&format!("webhook delete {id}"));
    assert_eq!(desk.ask(&format!("webhook list --account {account}"))["data"], json!([]));
    for command in ["ping", "enable", "disable", "delete", "rotate", "rotate --finish"] {
        assert!(desk.refused(&format!("webhook {command} {id}"), 1).contains(id), "{command}");
    }
    desk.refused(&format!("webhook replay --endpoint {id} --since 2026-01-01T00:00:00Z"), 1);
    let kept = desk.ask(&format!("webhook attempts --account {account} --endpoint {id}"));
    assert!(kept["data"].as_array().is_some_and(|kept| kept.len() > 5), "history stays: {kept}");
}

fn refusals(desk: &Desk) {
    let account = furnish(desk);
    let create = |url: &str| format!("webhook create --account {account} --url {url}");
    for (url, why) in [
        ("http://hooks.example/x", "webhooks.allow_http"),
        ("http://127.0.0.1:3000/x", "webhooks.allow_http"),
        ("https://hooks.example:8443/x", "webhooks.ports"),
        ("https://127.0.0.1/x", "webhooks.allow_networks"),
        ("https://[::1]/x", "webhooks.allow_networks"),
        ("https://[::ffff:10.0.0.1]/x", "webhooks.allow_networks"),
        ("https://169.254.169.254/latest", "webhooks.allow_networks"),
    ] {
        let said = desk.refused(&create(url), 1);
        assert!(said.contains("--url") && said.contains(why), "{url}: {said}");
    }
    for url in
        ["hooks.example", "ftp://hooks.example", "https://me:hunter2@hooks.example/", "https://0x7f.1/", "https://a#b"]
    {
        let said = desk.refused(&create(url), 64);
        assert!(said.contains("--url") && !said.contains("hunter2"), "{url}: {said}");
    }
    assert_eq!(desk.ask(&format!("webhook list --account {account}"))["data"], json!([]));
    for line in [
        format!("webhook list --account {NOBODY}"),
        format!("webhook ping {NOBODY}"),
        format!("webhook rotate {NOBODY}"),
        format!("webhook rotate {NOBODY} --finish"),
        format!("webhook enable {NOBODY}"),
        format!("webhook disable {NOBODY}"),
        format!("webhook delete {NOBODY}"),
        format!("webhook attempts --account {NOBODY}"),
        format!("webhook replay {NOBODY}"),
        format!("webhook replay --endpoint {NOBODY} --since 2026-01-01T00:00:00Z"),
    ] {
        assert!(desk.refused(&line, 1).contains(NOBODY), "{line}");
    }
    assert!(desk.refused(&format!("webhook attempts --account {account} --after {NOBODY}"), 1).contains("--after"));

    // A literal address needs no name server.
    desk.configure(LOCAL);
    let local = create("http://127.0.0.1:1/x");
    let made: Vec<String> = (0..5).map(|_| text(&desk.ask(&local), "id")).collect();
    assert!(desk.refused(&local, 1).contains("5 active endpoints"));
    desk.ask(&format!("webhook disable {}", made[0]));
    desk.ask(&local);
    assert!(desk.refused(&format!("webhook enable {}", made[0]), 1).contains("5 active endpoints"));
    desk.ask(&format!("account close {account}"));
    assert!(desk.refused(&local, 1).contains("closed"));
    desk.refused(&local.replace(&account, NOBODY), 1);

    // Sealed with other keys, an endpoint's could be opened by no daemon.
    desk.replace_keys();
    for line in [local, format!("webhook rotate {}", made[1]), format!("webhook ping {}", made[1])] {
        let said = desk.refused(&line, 64);
        assert!(said.contains("secrets"), "{line}: {said}");
    }
}
