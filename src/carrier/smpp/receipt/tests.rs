//! Receipts as SMSCs send them.

use bytes::Bytes;

use super::*;
use crate::carrier::smpp::samples::config;

const FAILED: fn(FailureClass) -> ReceiptState = ReceiptState::Failed;

fn of(delivery: &Delivery) -> Report {
    with(delivery, None, "senders = { mobifone = \"+84901234567\" }")
}

/// What a delivery reports where the settings say `more`.
fn with(delivery: &Delivery, network: Option<&[u8]>, more: &str) -> Report {
    report(delivery, network, &UpstreamId("smsc".into()), &config(more))
}

fn told(report: Report) -> (Receipt, Option<String>) {
    match report {
        Report::Receipt { receipt, unknown_word } => (receipt, unknown_word),
        other => panic!("{other:?}"),
    }
}

fn receipt(delivery: &Delivery) -> Receipt {
    told(of(delivery)).0
}

fn text(esm_class: u8, text: &str) -> Delivery {
    Delivery {
        esm_class,
        source: "84981234560".into(),
        destination: "NEXO".into(),
        text: Bytes::copy_from_slice(text.as_bytes()),
        ..Delivery::default()
    }
}

fn first_reference(receipt: &Receipt) -> (&str, Option<Phone>) {
    match &receipt.subject {
        Subject::Reference { references, phone } => (references[0].as_str(), *phone),
        Subject::Attempt { .. } => panic!("an SMSC echoes no attempt"),
    }
}

#[test]
fn every_word_has_a_state_and_only_ends_end() {
    use FailureClass::{Expired, Rejected, Unreachable};
    for (word, state) in [
        ("DELIVRD", ReceiptState::Delivered),
        ("delivered", ReceiptState::Delivered),
        ("UNDELIV", FAILED(Unreachable)),
        ("UNDELIVERABLE", FAILED(Unreachable)),
        ("EXPIRED", FAILED(Expired)),
        ("DELETED", FAILED(Rejected)),
        ("REJECTD", FAILED(Rejected)),
        ("UNKNOWN", FAILED(Rejected)),
        ("ACCEPTD", ReceiptState::InProgress),
        ("ENROUTE", ReceiptState::InProgress),
        ("BUFFRED", ReceiptState::InProgress),
        ("DELIVERD", ReceiptState::Delivered),
        ("DELIVRD.", ReceiptState::Delivered),
        ("DELIVRD|000", ReceiptState::Delivered),
        ("DELIVRD_NOT", ReceiptState::InProgress),
        ("DELIVRD2", ReceiptState::InProgress),
        ("DELIVERED-FAILED", ReceiptState::InProgress),
        ("DELIVERY_FAILED", ReceiptState::InProgress),
        ("DELIVFAIL", ReceiptState::InProgress),
    ] {
        assert_eq!(receipt(&text(4, &format!("id:1 stat:{word} err:000"))).state, state, "{word}");
    }
    let shown = receipt(&text(4, "id:1 stat:UNDELIV err:01F"));
    assert_eq!(shown.status.as_str(), "UNDELIV err:01F");
}

#[test]
fn tlvs_come_first_and_are_enough() {
    let bare = Delivery { receipted_id: Some("00BC614E".into()), message_state: Some(2), ..text(4, "") };
    let receipt = receipt(&bare);
    assert_eq!(first_reference(&receipt), ("bc614e", Phone::from_national("981234560")));
    assert_eq!((receipt.state, receipt.status.as_str()), (ReceiptState::Delivered, "DELIVRD"));
    let over_text = Delivery { receipted_id: Some("7".into()), message_state: Some(5), ..text(4, "id:8 stat:DELIVRD") };
    let receipt = self::receipt(&over_text);
    assert_eq!((first_reference(&receipt).0, receipt.state), ("7", FAILED(FailureClass::Unreachable)));
    let Subject::Reference { references, .. } = &receipt.subject else { panic!("a reference") };
    assert!(references.iter().any(|form| form.as_str() == "8"), "the text's id is a form too");
    let unknown_state = Delivery { message_state: Some(99), ..text(4, "id:8 stat:DELIVRD") };
    assert_eq!(self::receipt(&unknown_state).state, ReceiptState::Delivered);
    let no_state = Delivery { receipted_id: Some("7".into()), ..text(4, "") };
    assert_eq!(self::receipt(&no_state).state, ReceiptState::InProgress);
}

#[test]
fn a_network_that_knows_no_such_subscriber_says_that_the_number_is_wrong() {
    let of = |network_error| receipt(&Delivery { message_state: Some(5), network_error, ..text(4, "id:1") });
    let unknown = of(Some((3, 1)));
    assert_eq!((unknown.state, unknown.status.as_str()), (FAILED(FailureClass::InvalidNumber), "UNDELIV 3/1"));
    assert_eq!(of(Some((3, 27))).state, FAILED(FailureClass::Unreachable));
    assert_eq!(of(Some((8, 1))).state, FAILED(FailureClass::Unreachable), "an SMSC's own code 1");
}

#[test]
fn a_text_alone_is_enough_and_a_message_is_none() {
    assert!(matches!(of(&text(0, "id:1 stat:DELIVRD")), Report::Receipt { .. }));
    for mobile in ["Xin chao", "id:1", "stat:DELIVRD", ""] {
        assert_eq!(of(&text(0, mobile)), Report::Message, "{mobile}");
    }
    assert_eq!(of(&text(4, "stat:DELIVRD")), Report::Nameless);
    assert_eq!(of(&text(4, "")), Report::Nameless);
}

#[test]
fn what_calls_itself_intermediate_ends_nothing() {
    assert_eq!(receipt(&text(0x20, "id:1 stat:DELIVRD")).state, ReceiptState::InProgress);
}

#[test]
fn headers_and_ucs2_are_read() {
    let mut with_header = text(0x44, "");
    with_header.text = Bytes::from_static(b"\x05\x00\x03\x01\x01\x01id:9 stat:DELIVRD");
    assert_eq!(first_reference(&receipt(&with_header)).0, "9");
    let units: Vec<u8> = "id:9 stat:DELIVRD".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let ucs2 = Delivery { data_coding: 8, text: Bytes::from(units), ..text(4, "") };
    assert_eq!(receipt(&ucs2).state, ReceiptState::Delivered);
}

#[test]
fn the_phone_is_the_address_that_is_not_ours() {
    let of = |source: &str, destination: &str| {
        let delivery =
            Delivery { source: source.into(), destination: destination.into(), ..text(4, "id:1 stat:DELIVRD") };
        first_reference(&receipt(&delivery)).1.map(|phone| phone.national())
    };
    for address in ["84981234560", "+84981234560", "0981234560", "981234560"] {
        assert_eq!(of(address, "NEXO"), Some(981_234_560), "{address}");
        assert_eq!(of("NEXO", address), Some(981_234_560), "not turned: {address}");
        for sender in ["84901234567", "+84901234567", "0901234567", "901234567"] {
            assert_eq!(of(sender, address), Some(981_234_560), "a sender that is a number: {sender}");
        }
    }
    assert_eq!(of("84901", "NEXO"), None);
}

/// The first value of a field that is no field is a code.
#[test]
fn no_code_is_taken_for_a_status_or_a_name() {
    for said in [
        "id:12 stat:DELIVRD err:000Text:482917 la ma",
        "id:12 err:000 stat:DELIVRDText:482917 la ma",
        "stat:DELIVRD err:000 id:12Text:482917 la ma",
        "id:12 stat:UNDELIV err:482917",
        "id:12 stat:482917 err:1",
        "id:12 stat:UNDELIV482917",
    ] {
        let receipt = receipt(&text(4, said));
        let Subject::Reference { references, .. } = &receipt.subject else { panic!("a reference") };
        let kept = format!("{} {references:?}", receipt.status.as_str());
        assert!(!kept.contains("482917"), "{said}: {kept}");
        assert_eq!(references[0].as_str(), "12");
    }
}

#[test]
fn what_nobody_knows_is_in_progress_and_said() {
    for (word, shown) in [
        ("BLOCKED", "BLOCKED"),
        ("NO_ROUTE", "NO_ROUTE"),
        ("CANCELED", "CANCELED"),
        ("not_delivered", "NOT_DELIVERED"),
        ("DELIVERY_FAILED", "DELIVERY_FAILED"),
        ("BLOCKED482917", "BLOCKED"),
        ("482917", "482"),
    ] {
        let (receipt, unknown) = told(of(&text(4, &format!("id:1 stat:{word}"))));
        assert_eq!((receipt.state, unknown.as_deref()), (ReceiptState::InProgress, Some(shown)), "{word}");
        assert_eq!(receipt.status.as_str(), shown);
    }
    for word in ["ENROUTE", "ACCEPTD", "accepted", "BUFFRED", "SCHEDULED", "DELIVRD", "UNDELIV", "EXPIRED"] {
        assert_eq!(told(of(&text(4, &format!("id:1 stat:{word}")))).1, None, "{word}");
    }
    let silent = Delivery { receipted_id: Some("7".into()), ..text(4, "") };
    assert_eq!(told(of(&silent)).1.as_deref(), Some("no state"));
    assert_eq!(told(of(&text(0x20, "id:1 stat:BLOCKED"))).1, None, "it calls itself intermediate");
    let number = Delivery { message_state: Some(99), ..text(4, "id:8") };
    assert_eq!(told(of(&number)).1.as_deref(), Some("no state"));
}

#[test]
fn the_words_of_the_settings_go_before_those_of_the_book() {
    use FailureClass::{Expired, Rejected, Unreachable, WrongNetwork};
    let words = "[receipt_words]\ndelivered = [\"D|OK\", \"dlvrd\"]\nin_progress = [\"UNKNOWN\", \"QUEUED\"]\n\
                 failed = { BLOCKED = \"rejected\", NO_ROUTE = \"wrong_network\", CANCELED = \"expired\", \
                 NOT_DELIVERED = \"unreachable\", 005 = \"unreachable\", 99 = \"expired\" }";
    for (word, state, shown) in [
        ("BLOCKED", FAILED(Rejected), "BLOCKED"),
        ("blocked|17", FAILED(Rejected), "BLOCKED"),
        ("no_route", FAILED(WrongNetwork), "NO_ROUTE"),
        ("CANCELED", FAILED(Expired), "CANCELED"),
        ("NOT_DELIVERED", FAILED(Unreachable), "NOT_DELIVERED"),
        ("005", FAILED(Unreachable), "005"),
        ("d|ok", ReceiptState::Delivered, "D|OK"),
        ("DLVRD", ReceiptState::Delivered, "dlvrd"),
        ("UNKNOWN", ReceiptState::InProgress, "UNKNOWN"),
        ("queued", ReceiptState::InProgress, "QUEUED"),
        ("EXPIRED", FAILED(Expired), "EXPIRED"),
        ("DELIVRD", ReceiptState::Delivered, "DELIVRD"),
    ] {
        let (receipt, unknown) = told(with(&text(4, &format!("id:1 stat:{word}")), None, words));
        assert_eq!((receipt.state, receipt.status.as_str(), unknown), (state, shown, None), "{word}");
    }
    for (message_state, state) in [(99, FAILED(Expired)), (7, ReceiptState::InProgress), (2, ReceiptState::Delivered)] {
        let delivery = Delivery { message_state: Some(message_state), ..text(4, "id:1 stat:BLOCKED") };
        assert_eq!(told(with(&delivery, None, words)).0.state, state, "{message_state}");
    }
    let intermediate = told(with(&text(0x20, "id:1 stat:BLOCKED"), None, words)).0;
    assert_eq!(intermediate.state, ReceiptState::InProgress, "whatever it says");
}

#[test]
fn the_network_is_where_the_settings_say() {
    let viettel = NetworkCode::parse("452-04");
    let said = text(4, "id:1 stat:DELIVRD mccmnc:452-04 err:000");
    let of = |delivery: &Delivery, tlv: Option<&[u8]>, more: &str| told(with(delivery, tlv, more)).0.network;
    assert_eq!(of(&said, None, ""), None, "nobody said where");
    assert_eq!(of(&said, None, "network_key = \"MCCMNC\""), viettel);
    assert_eq!(of(&said, None, "network_key = \"net\""), None);
    for value in [&b"45204"[..], b"45204\0", b"452-04\0", b" 452 04"] {
        assert_eq!(of(&text(4, "id:1 stat:DELIVRD"), Some(value), "network_tlv = 0x1403"), viettel, "{value:?}");
    }
    for value in [&b""[..], b"\0", b"viettel", b"\x54\xF2\x40", b"\xFF\xFF\xFF\xFF\xFF"] {
        assert_eq!(of(&text(4, "id:1 stat:DELIVRD"), Some(value), "network_tlv = 0x1403"), None, "{value:?}");
        let both = "network_tlv = 0x1403\nnetwork_key = \"mccmnc\"";
        assert_eq!(of(&said, Some(value), both), viettel, "the text, where the TLV says nothing");
    }
}
