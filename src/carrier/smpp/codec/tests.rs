//! The poison of real SMSCs, PDU by PDU, and that both parses agree on what is sane.

use bytes::{BufMut, Bytes, BytesMut};
use proptest::prelude::*;

use super::*;
use crate::carrier::smpp::framing::Header;

fn frame(command: u32, status: u32, body: &[u8]) -> Frame {
    Frame { header: Header { command, status, sequence: 9 }, body: Bytes::copy_from_slice(body) }
}

/// The body of a `deliver_sm` from `source` with the message `text` and what follows it.
pub(in crate::carrier::smpp) fn deliver_body(esm_class: u8, source: &[u8], text: &[u8], tail: &[u8]) -> Vec<u8> {
    let mut body = BytesMut::new();
    body.put_slice(&[0, 1, 1]);
    body.put_slice(source);
    body.put_slice(&[0, 5, 0]);
    body.put_slice(b"NEXO\0");
    body.put_slice(&[esm_class, 0, 0, 0, 0, 0, 0, 0, 0]);
    body.put_u8(u8::try_from(text.len()).expect("short"));
    body.put_slice(text);
    body.put_slice(tail);
    body.to_vec()
}

fn tlv(tag: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("short");
    [&tag.to_be_bytes(), &length.to_be_bytes(), value].concat()
}

const TEXT: &[u8] = b"id:1 stat:DELIVRD";

fn delivered(body: &[u8]) -> Delivery {
    match read(&frame(command::DELIVER_SM, 0, body)) {
        Incoming::Delivery(delivery) => delivery,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_poison_is_read_as_far_as_it_can_be() {
    let poison: [(&str, Vec<u8>); 7] = [
        ("a byte after the message", deliver_body(4, b"84901", TEXT, &[0])),
        ("an id without its NUL", deliver_body(4, b"84901", TEXT, &tlv(0x1E, b"abc"))),
        ("an address that is not ASCII", deliver_body(4, b"84\xE9901", TEXT, &[])),
        ("an address of 30 characters", deliver_body(4, &[b'8'; 30], TEXT, &[])),
        ("an error code of 4 bytes", deliver_body(4, b"84901", TEXT, &tlv(0x423, &[3, 0, 0, 1]))),
        ("half a TLV's head", deliver_body(4, b"84901", TEXT, &[0x04, 0x27, 0])),
        ("a message shorter than its length", {
            let mut body = deliver_body(4, b"84901", TEXT, &[]);
            body.truncate(body.len() - 2);
            body
        }),
    ];
    for (what, body) in poison {
        let delivery = delivered(&body);
        assert!(delivery.is_poison, "{what}");
        assert!(delivery.text.starts_with(b"id:1 stat:DELIV"), "{what}: {delivery:?}");
        assert_eq!(delivery.destination, "NEXO", "{what}");
    }
    let bare = delivered(&deliver_body(4, b"84901", TEXT, &tlv(0x1E, b"abc")));
    assert_eq!(bare.receipted_id.as_deref(), Some("abc"));
}

#[test]
fn what_only_looks_strange_is_no_poison() {
    for (what, tail) in [
        ("a vendor's TLV", tlv(0x1401, b"AB")),
        ("a state that nobody knows", tlv(0x427, &[99])),
        ("an empty TLV", tlv(0x427, &[])),
        ("a TLV that ends past the end", vec![0x04, 0x27, 0, 5, 2]),
        ("5,000 bytes of payload", tlv(0x424, &[b'A'; 5_000])),
    ] {
        let delivery = delivered(&deliver_body(4, b"84901", TEXT, &tail));
        assert_eq!(&delivery.text[..], TEXT, "{what}");
    }
}

#[test]
fn a_body_that_ends_too_early_is_unreadable_and_known_by_its_header() {
    for body in [&[][..], &[0], &[0, 1, 1, b'8'], &[0xFF; 40]] {
        assert_eq!(read(&frame(command::DELIVER_SM, 0, body)), Incoming::Unreadable, "{body:?}");
    }
}

#[test]
fn an_answer_names_the_message_however_it_is_written() {
    let id = |status, body: &[u8]| match read(&frame(command::SUBMIT_SM_RESP, status, body)) {
        Incoming::SubmitResponse { id } => id,
        other => panic!("{other:?}"),
    };
    assert_eq!(id(0, b"bc614e\0").as_deref(), Some("bc614e"));
    assert_eq!(id(0, b"abc").as_deref(), Some("abc"), "without its NUL");
    let long = "a".repeat(70);
    assert_eq!(id(0, format!("{long}\0").as_bytes()), Some(long), "longer than 64");
    assert_eq!(id(0, b"abc\0\0").as_deref(), Some("abc"), "a byte after it");
    assert_eq!(id(0x0B, b"0A00\0").as_deref(), Some("0A00"), "an error with a body");
    for body in [&b""[..], b"\0"] {
        assert_eq!(id(0, body), None, "{body:?}");
        assert_eq!(id(0x58, body), None, "{body:?}");
    }
}

#[test]
fn everything_else_is_known_by_its_command() {
    for (id, incoming) in [
        (0x15, Incoming::EnquireLink),
        (0x06, Incoming::Unbind),
        (0x8000_0006, Incoming::UnbindResponse),
        (0x8000_0015, Incoming::Alive),
        (0x8000_0000, Incoming::GenericNack),
        (0x8000_0009, Incoming::BindResponse),
        (0x0001_0203, Incoming::UnknownRequest),
        (0x0000_0004, Incoming::UnknownRequest),
        (0x8001_0203, Incoming::Alive),
    ] {
        assert_eq!(read(&frame(id, 0, &[1, 2, 3])), incoming, "{id:#x}");
    }
}

proptest! {
    /// Whatever comes is read without a panic.
    #[test]
    fn no_body_is_too_strange(id in prop::sample::select(vec![5_u32, 0x103, 0x8000_0004]), body: Vec<u8>) {
        let _ = read(&frame(id, 0, &body));
    }

    /// Where the format is kept, both parses say the same.
    #[test]
    fn both_parses_agree(
        esm_class: u8,
        source in "[0-9]{0,20}",
        text in prop::collection::vec(any::<u8>(), 0..255),
        id in "[0-9a-f]{1,64}",
        state in 0_u8..10,
        error: u16,
    ) {
        let tail = [
            tlv(0x1E, format!("{id}\0").as_bytes()),
            tlv(0x427, &[state]),
            tlv(0x423, &[3, error.to_be_bytes()[0], error.to_be_bytes()[1]]),
        ];
        let body = Bytes::from(deliver_body(esm_class, source.as_bytes(), &text, &tail.concat()));
        let strict = delivered(&body);
        let lenient = lenient::delivery(true, &body).expect("reads");
        prop_assert!(!strict.is_poison);
        prop_assert_eq!(Delivery { is_poison: true, ..strict }, lenient);
    }
}

#[test]
fn a_tlv_of_anybodys_is_found_whether_or_not_the_rest_can_be_read() {
    let network = tlv(0x1403, b"45204\0");
    let tail = [tlv(0x427, &[2]), network.clone(), tlv(0x1403, b"45201")].concat();
    let deliver = frame(command::DELIVER_SM, 0, &deliver_body(4, b"84901", TEXT, &tail));
    assert_eq!(super::tlv(&deliver, 0x1403).as_deref(), Some(&b"45204\0"[..]), "the first");
    assert_eq!(super::tlv(&deliver, 0x1404), None);
    let poison = deliver_body(4, b"84\xE9901", TEXT, &network);
    assert_eq!(super::tlv(&frame(command::DELIVER_SM, 0, &poison), 0x1403).as_deref(), Some(&b"45204\0"[..]));
    let data = [&b"\0\x01\x0184901\0\x05\0NEXO\0\x04\0\0"[..], &network].concat();
    assert_eq!(super::tlv(&frame(command::DATA_SM, 0, &data), 0x1403).as_deref(), Some(&b"45204\0"[..]));
    assert_eq!(super::tlv(&frame(command::DELIVER_SM, 0, &[0, 1]), 0x1403), None);
}
