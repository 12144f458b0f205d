//! How sessions begin: who we are, in which kinds, and over TLS.

use std::time::Duration;

use nexo_route::carrier::upstream::{Health, Outcome, ReceiptState};
use nexo_route::config::SecretText;
use rcgen::{CertifiedKey, generate_simple_self_signed};

use super::bed::{Bed, Sink, attempt, config, link};
use super::peer::{Smsc, is_prepared};

/// Trap 14.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_said_and_not_tried_again_soon_by_any_connection() {
    if !is_prepared() {
        return;
    }
    let mut smsc = Smsc::start(0, None).await;
    smsc.tell("password another").await;
    let mut bed = Bed::over(smsc, "binds = 8\nbind = \"transmitter_receiver\"");
    bed.is(Health::Misconfigured).await;
    assert_eq!(bed.smsc.sees("bind").await["status"], 0x0E);
    let refused = bed.dispatch(&attempt("90", 5_000)).await;
    assert!(matches!(refused, Outcome::NotSent { .. }), "{refused:?}");
    // Any other failure would be tried again every half a second.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(bed.smsc.all("bind").is_empty(), "it waits a minute");
    bed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_with_a_long_name_and_a_long_password_binds() {
    if !is_prepared() {
        return;
    }
    let (system_id, password) = ("operator-nexo-production-0000000001".to_owned(), "p4ss".repeat(16));
    for bind in ["transceiver", "transmitter_receiver"] {
        let mut smsc = Smsc::start(0, None).await;
        smsc.tell(&format!("password {password}")).await;
        let mut config = config(smsc.port, &format!("bind = \"{bind}\""));
        config.system_id.clone_from(&system_id);
        config.password = SecretText::new(&password);
        let sink = Sink::default();
        let mut bed = Bed { smsc, link: link(&config, &sink), sink };
        bed.is(Health::Up).await;
        assert_eq!(bed.smsc.sees("bind").await["system_id"], system_id.as_str());
        assert_eq!(bed.dispatch(&attempt("90", 5_000)).await, Outcome::Accepted);
        bed.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn already_bound_is_not_bound_and_is_tried_again() {
    if !is_prepared() {
        return;
    }
    let mut smsc = Smsc::start(0, None).await;
    smsc.tell("refuse 5").await;
    let mut bed = Bed::over(smsc, "");
    for _ in 0..3 {
        bed.smsc.sees("bind").await;
    }
    bed.is(Health::Down).await;
    bed.smsc.tell("welcome").await;
    bed.is(Health::Up).await;
    bed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transmitter_sends_and_a_receiver_hears_of_it() {
    if !is_prepared() {
        return;
    }
    let mut bed = Bed::made("bind = \"transmitter_receiver\"").await;
    let mut kinds = [bed.smsc.sees("bind").await, bed.smsc.sees("bind").await].map(|bind| bind["command"].to_string());
    kinds.sort();
    assert_eq!(kinds, ["\"bind_receiver\"", "\"bind_transmitter\""]);
    let sent = attempt("90", 5_000);
    assert_eq!(bed.dispatch(&sent).await, Outcome::Accepted);
    assert_eq!(bed.receives(&sent, 1).await, [ReceiptState::Delivered]);
    let submit = bed.smsc.sees("submit").await;
    let receipt = bed.smsc.sees("deliver_sm_resp").await;
    assert_ne!(submit["session"], receipt["session"]);
    bed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_only_an_smsc_with_the_right_certificate_is_believed() {
    if !is_prepared() {
        return;
    }
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".into(), "127.0.0.1".into()]).expect("a certificate");
    let folder = std::env::temp_dir().join(format!("nexo-smpp-tls-{:016x}", rand::random::<u64>()));
    std::fs::create_dir(&folder).expect("made");
    let (key, certificate) = (folder.join("key.pem"), folder.join("cert.pem"));
    std::fs::write(&key, signing_key.serialize_pem()).expect("written");
    std::fs::write(&certificate, cert.pem()).expect("written");
    let smsc = Smsc::start(0, Some((&key, &certificate))).await;
    let bed = Bed::over(smsc, &format!("tls = {{ ca_file = {certificate:?} }}"));
    bed.is(Health::Up).await;
    let sent = attempt("90", 5_000);
    assert_eq!(bed.dispatch(&sent).await, Outcome::Accepted);
    assert_eq!(bed.receives(&sent, 1).await, [ReceiptState::Delivered]);
    for wrong in
        ["tls = {}".to_owned(), format!("tls = {{ ca_file = {certificate:?}, server_name = \"another.example\" }}")]
    {
        let smsc = Smsc::start(0, Some((&key, &certificate))).await;
        let stranger = Bed::over(smsc, &wrong);
        stranger.is(Health::Misconfigured).await;
        stranger.stop().await;
    }
    bed.stop().await;
    std::fs::remove_dir_all(folder).expect("removed");
}
