//! Receipts: early, twice, contradictory, in every dress.

use nexo_route::carrier::upstream::{FailureClass, Outcome, ReceiptState, Subject};
use nexo_route::domain::carrier::NetworkCode;

use super::bed::{Bed, Sink, Told, attempt, config, digits, link};
use super::peer::is_prepared;
use crate::house::until;

/// Trap 1.
#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_beats_its_answer_is_reported_with_the_name_that_follows() {
    if !is_prepared() {
        return;
    }
    let mut bed = Bed::made("").await;
    let sent = attempt("01", 5_000);
    assert_eq!(bed.dispatch(&sent).await, Outcome::Accepted);
    assert_eq!(bed.receives(&sent, 1).await, [ReceiptState::Delivered]);
    let told = bed.sink.told();
    assert!(matches!(told[..], [Told::Put(_), Told::Name(_)]), "{told:?}");
    assert_eq!(bed.smsc.sees("deliver_sm_resp").await["status"], 0);
    bed.stop().await;
}

/// Trap 3.
#[tokio::test(flavor = "multi_thread")]
async fn intermediate_duplicate_and_contradictory_receipts_are_reported_in_their_order() {
    if !is_prepared() {
        return;
    }
    let mut bed = Bed::made("").await;
    let sent = attempt("04", 5_000);
    assert_eq!(bed.dispatch(&sent).await, Outcome::Accepted);
    use ReceiptState::{Delivered, Failed, InProgress};
    let expected = [InProgress, Delivered, Delivered, Failed(FailureClass::Expired)];
    assert_eq!(bed.receives(&sent, 4).await, expected);
    for _ in expected {
        assert_eq!(bed.smsc.sees("deliver_sm_resp").await["status"], 0);
    }
    bed.stop().await;
}

/// Trap 8.
#[tokio::test(flavor = "multi_thread")]
async fn receipts_come_as_tlvs_as_text_alone_and_as_data_sm() {
    if !is_prepared() {
        return;
    }
    let mut bed = Bed::made("").await;
    for (last, state, answered) in [
        ("30", ReceiptState::Delivered, "deliver_sm_resp"),
        ("31", ReceiptState::Failed(FailureClass::Unreachable), "deliver_sm_resp"),
        ("32", ReceiptState::Delivered, "data_sm_resp"),
    ] {
        let sent = attempt(last, 5_000);
        assert_eq!(bed.dispatch(&sent).await, Outcome::Accepted, "{last}");
        assert_eq!(bed.receives(&sent, 1).await, [state], "{last}");
        assert_eq!(bed.smsc.sees(answered).await["status"], 0, "{last}");
    }
    bed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_cannot_be_kept_is_asked_for_again() {
    if !is_prepared() {
        return;
    }
    let mut bed = Bed::made("").await;
    bed.sink.set_away(true);
    let receipt = r#"deliver {"source_addr":"84981234567","message":"id:7 stat:DELIVRD err:000"}"#;
    bed.smsc.tell(receipt).await;
    assert_eq!(bed.smsc.sees("deliver_sm_resp").await["status"], 0x64);
    assert!(bed.sink.told().is_empty());
    bed.sink.set_away(false);
    bed.smsc.tell(receipt).await;
    assert_eq!(bed.smsc.sees("deliver_sm_resp").await["status"], 0);
    assert_eq!(bed.sink.receipts().len(), 1);
    bed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebodys_message_is_answered_and_is_no_receipt() {
    if !is_prepared() {
        return;
    }
    let mut bed = Bed::made("").await;
    bed.smsc.tell(r#"deliver {"source_addr":"84981234567","esm_class":0,"message":"id:7 STOP"}"#).await;
    assert_eq!(bed.smsc.sees("deliver_sm_resp").await["status"], 0);
    assert!(bed.sink.told().is_empty());
    bed.stop().await;
}

/// A deliver_sm as the SMSC writes it, in hex.
fn deliver(sequence: u32, text: &str, tlvs: &[u8]) -> String {
    let length = u8::try_from(text.len()).expect("short");
    let body =
        [&b"\0\x01\x0184981234567\0\x05\0NEXO\0\x04\0\0\0\0\0\0\0\0"[..], &[length], text.as_bytes(), tlvs].concat();
    let header = [u32::try_from(16 + body.len()).expect("short"), 5, 0, sequence].map(u32::to_be_bytes);
    [header.as_flattened(), &body].concat().iter().map(|octet| format!("{octet:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_smscs_own_words_and_where_it_names_the_network_are_settings() {
    if !is_prepared() {
        return;
    }
    let more =
        "network_tlv = 0x1403\nnetwork_key = \"mccmnc\"\nreceipt_words = { failed = { NO_ROUTE = \"wrong_network\" } }";
    let mut bed = Bed::made(more).await;
    let tlv = b"\x14\x03\0\x0645204\0";
    for (sequence, text, tlvs, state, network) in [
        (1, "id:1 stat:NO_ROUTE", &tlv[..], ReceiptState::Failed(FailureClass::WrongNetwork), Some("45204")),
        (2, "id:2 stat:DELIVRD mccmnc:452-01", &[], ReceiptState::Delivered, Some("45201")),
        (3, "id:3 stat:BLOCKED", &[], ReceiptState::InProgress, None),
    ] {
        bed.smsc.tell(&format!("raw {}", deliver(sequence, text, tlvs))).await;
        assert_eq!(bed.smsc.sees("deliver_sm_resp").await["status"], 0);
        let receipt = bed.sink.receipts().pop().expect("told before it is answered");
        assert_eq!((receipt.state, receipt.network), (state, network.and_then(NetworkCode::parse)), "{text}");
    }
    bed.stop().await;
}

/// Trap 13, the link's part: what was named before finds its receipt by another link of the same upstream.
#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_comes_after_our_restart_on_a_new_session() {
    if !is_prepared() {
        return;
    }
    let bed = Bed::made("").await;
    let sent = attempt("23", 5_000);
    assert_eq!(bed.dispatch(&sent).await, Outcome::Accepted);
    let (names, mut smsc) = (bed.sink.namings(), bed.smsc);
    drop(bed.link);
    smsc.sees("closed").await;
    let after = Sink::default();
    let _link = link(&config(smsc.port, ""), &after);
    smsc.sees("bind").await;
    let (id, from) = (names[0].references[0].as_str(), digits(&sent));
    smsc.tell(&format!(r#"deliver {{"source_addr":"{from}","message":"id:{id} stat:DELIVRD err:000"}}"#)).await;
    let receipt = until("the receipt", async || after.receipts().pop()).await;
    let Subject::Reference { references, phone } = receipt.subject else { panic!("by its reference") };
    assert_eq!(phone, Some(sent.phone));
    assert!(references.iter().any(|form| names[0].references.contains(form)));
}
