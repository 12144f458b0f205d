//! Our PDUs, octet by octet, and until when they say they are of use.

use super::*;
use crate::carrier::smpp::samples::{attempt, config};

#[test]
fn a_message_is_what_the_specification_says() {
    let left = Duration::from_millis(300_999);
    let pdu =
        submit(&config("text = \"{code} la ma\""), &attempt(67, 10), 5, left, Timestamp::from_micros(0)).expect("fits");
    let expected = [
        &[0, 0, 0, 83, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 5][..],
        b"\0\x05\0NEXO\0\x01\x0184981234567\0",
        b"\0\0\0\x00000000000500000R\0\x01\0\0\0",
        b"\x0c482917 la ma",
    ]
    .concat();
    assert_eq!(pdu[4..], expected[4..]);
    assert_eq!(usize::try_from(u32::from_be_bytes(pdu[..4].try_into().expect("four"))).expect("fits"), pdu.len());
}

#[test]
fn accents_go_as_ucs2_and_no_receipt_is_asked_for_where_none_comes() {
    let config = config("text = \"Mã {code}\"\nreceipts = \"refunded\"\nvalidity = \"none\"\nservice_type = \"OTP\"");
    let pdu = submit(&config, &attempt(67, 10), 5, Duration::ZERO, Timestamp::from_micros(0)).expect("fits");
    assert!(pdu[16..].starts_with(b"OTP\0\x05\0NEXO\0"));
    let tail = b"\0\0\0\0\0\0\0\x08\0\x12\0M\0\xE3\0 \x004\x008\x002\x009\x001\x007";
    assert!(pdu.ends_with(tail), "{:?}", &pdu[44..]);
}

#[test]
fn until_when_in_both_ways() {
    let until = Timestamp::from_micros(1_795_000_000_000_000);
    let of = |kind, seconds| validity(kind, Duration::from_secs(seconds), until);
    assert_eq!(of(Validity::Relative, 300), "000000000500000R");
    assert_eq!(of(Validity::Relative, 90_061), "000001010101000R");
    assert_eq!(of(Validity::Relative, 0), "000000000001000R", "never forever");
    assert_eq!(of(Validity::Absolute, 1), "261118110640000+");
    assert_eq!(of(Validity::None, 300), "");
}

#[test]
fn a_bind_of_each_kind() {
    for (role, command) in [(Role::Receiver, 1), (Role::Transmitter, 2), (Role::Transceiver, 9)] {
        let pdu = bind(&config("system_type = \"OTP\""), role, 1).expect("fits");
        assert_eq!((pdu[7], &pdu[16..]), (command, &b"nexo\0\0OTP\0\x34\0\0\0"[..]));
    }
}

#[test]
fn a_bind_holds_longer_names_and_passwords_than_the_book() {
    let file = std::env::temp_dir().join(format!("nexo-bind-{:016x}", rand::random::<u64>()));
    let (system_id, secret) = ("s".repeat(64), "p".repeat(64));
    std::fs::write(&file, &secret).expect("written");
    let text = format!(
        "address = \"localhost:2775\"\nsystem_id = \"{system_id}\"\nsender = \"NEXO\"\nlong_credentials = true\n\
         password = {{ file = {file:?} }}"
    );
    let config: SmppConfig = toml::from_str(&text).expect("valid");
    std::fs::remove_file(file).expect("removed");
    let pdu = bind(&config, Role::Transceiver, 7).expect("fits");
    let body = [system_id.as_bytes(), b"\0", secret.as_bytes(), b"\0\0\x34\0\0\0"].concat();
    assert_eq!(pdu[..16], [0, 0, 0, 151, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 7]);
    assert_eq!((&pdu[16..], pdu.len()), (&body[..], 151));
    let wrong = SmppConfig { system_id: "a\0b".into(), ..config };
    assert!(bind(&wrong, Role::Receiver, 1).is_err(), "no NUL ends it early");
}
