//! Receipts as SMSCs send them.

use bytes::Bytes;

use super::*;

const FAILED: fn(FailureClass) -> ReceiptState = ReceiptState::Failed;

fn of(delivery: &Delivery) -> Report {
    report(delivery, &UpstreamId("smsc".into()), IdBase::Auto, |address| is_same(address, "84901234567"))
}

fn receipt(delivery: &Delivery) -> Receipt {
    match of(delivery) {
        Report::Receipt(receipt) => receipt,
        other => panic!("{other:?}"),
    }
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
    assert!(matches!(of(&text(0, "id:1 stat:DELIVRD")), Report::Receipt(_)));
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
