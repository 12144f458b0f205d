//! Bodies that customers send, by slip or on purpose.

use std::sync::Arc;

use super::*;
use crate::domain::carrier::{CarrierSource, Route};
use crate::domain::money::MicroUsd;
use proptest::prelude::*;

/// 098 is viettel (voice, then SMS), 090 mobifone (SMS only), 099 is not served, 052 is nobody's.
fn route(phone: Phone) -> Result<Routed, Unroutable> {
    let served = |name: &str, channels: &[Channel]| {
        let carrier = Carrier::new(name).expect("valid");
        let channels = Channels::from_list(channels).expect("valid");
        let route = Arc::new(Route { carrier, channels, price: MicroUsd::from_micros(22_000) });
        Ok(Routed { route, source: CarrierSource::Prefix })
    };
    match phone.national() / 10_000_000 {
        98 => served("viettel", &[Channel::Voice, Channel::Sms]),
        90 => served("mobifone", &[Channel::Sms]),
        99 => Err(Unroutable::NotServed(Carrier::new("gmobile").expect("valid"))),
        _ => Err(Unroutable::Unassigned),
    }
}

fn read(body: impl AsRef<[u8]>) -> Result<Order, ApiError> {
    Order::read(body.as_ref(), route)
}

/// The code, the parameter and the message of a refusal.
fn refused(body: impl AsRef<[u8]>) -> (&'static str, Option<&'static str>, String) {
    let shown = String::from_utf8_lossy(body.as_ref()).into_owned();
    match read(body) {
        Err(error @ ApiError::InvalidPhone { .. }) => match &error {
            ApiError::InvalidPhone { message, .. } => (error.code(), Some("phone"), message.to_string()),
            _ => unreachable!("matched above"),
        },
        Err(ApiError::InvalidCode { message }) => ("invalid_code", Some("code"), message.to_owned()),
        Err(ApiError::InvalidRequest { param, message }) => ("invalid_request", param, message.to_string()),
        other => panic!("{shown}: {other:?}"),
    }
}

const PHONE: &str = r#""phone":"+84981234567""#;

#[test]
fn the_seeds_body_and_more_fields_than_we_know() {
    let order = read(r#"{"phone":"+84981234567","code":"0482917"}"#).expect("valid");
    assert_eq!((order.phone.e164().as_str(), order.code.expose()), ("+84981234567", "0482917"));
    assert_eq!(order.channels.first(), Channel::Voice);
    assert_eq!(order.metadata, None);
    let order = read(
        r#" {"x":[1,{"phone":1}],"code":"\u0031234","ph\u006fne":"+84981234567","channel":"sms","metadata":{"a":"b"},"y":null} "#,
    )
    .expect("valid");
    assert_eq!((order.code.expose(), order.channels), ("1234", Channels::only(Channel::Sms)));
    assert_eq!(order.metadata.expect("some").pairs(), [("a".to_owned(), "b".to_owned())]);
    assert!(read(format!(r#"{{{PHONE},"code":"1234","channel":null,"metadata":null}}"#)).is_ok());
    assert!(read(format!(r#"{{{PHONE},"code":"1234","channel":"auto","metadata":{{}}}}"#)).is_ok());
}

#[test]
fn what_is_not_one_json_object_in_plain_utf8_is_refused() {
    for body in [
        &b""[..],
        b"\xef\xbb\xbf{}",
        b"{\"phone\":\"\xff\"}",
        b"{\"x\":\"\xff\"}",
        b"{",
        b"{}{}",
        b"{'phone':1}",
        b"{\"phone\":\"+84981234567\",}",
        b"[]",
        b"\"482917\"",
        b"482917",
        b"null",
        b"{\"phone\":\"\\ud800\"}",
        b"\x00",
        b"phone=%2B84981234567&code=482917",
    ] {
        let (code, param, message) = refused(body);
        assert_eq!((code, param), ("invalid_request", None), "{body:?}");
        assert!(!message.contains("482917"), "{message}");
    }
}

#[test]
fn a_member_given_twice_is_refused_whatever_it_is() {
    for twice in [
        r#""code":"1234","code":"1234""#,
        r#""code":"1234","phone":"+84981234567""#,
        r#""code":"1234","x":1,"x":2"#,
        r#""code":"1234","x":1,"\u0078":2"#,
        r#""code":"1234","metadata":{"a":"1","a":"2"}"#,
        r#""code":"1234","metadata":{},"metadata":{}"#,
    ] {
        let (code, _, message) = refused(format!("{{{PHONE},{twice}}}"));
        assert_eq!(code, "invalid_request", "{twice}");
        assert!(message.contains("given twice"), "{message}");
    }
}

#[test]
fn a_wrong_phone_is_named_first_and_the_form_to_send_is_shown() {
    for (phone, said) in [
        (r#""0981234567""#, "send the E.164 form +84981234567"),
        (r#""84 981 234 567""#, "send the E.164 form +84981234567"),
        (r#""+842438271234""#, "nine digits"),
        (r#""+84521234567""#, "no mobile carrier has this prefix"),
        ("84981234567", "a string in E.164 form"),
        ("null", "a string in E.164 form"),
        (r#"["+84981234567"]"#, "a string in E.164 form"),
    ] {
        let (code, param, message) = refused(format!(r#"{{"code":1,"phone":{phone}}}"#));
        assert_eq!((code, param), ("invalid_phone", Some("phone")));
        assert!(message.contains(said), "{phone}: {message}");
    }
    assert_eq!(refused(r#"{"code":"1234"}"#).2, "phone is missing");
    let not_served = read(r#"{"phone":"+84991234567","code":"1234"}"#).expect_err("refused");
    assert!(matches!(not_served, ApiError::InvalidPhone { reason: Some("carrier_not_served"), .. }));
}

#[test]
fn a_code_is_a_string_of_digits() {
    for (code, said) in [
        ("482917", "a string"),
        ("null", "a string"),
        ("true", "a string"),
        (r#"{"x":"1234"}"#, "a string"),
        (r#""123""#, "4 to 8 digits"),
        (r#""12345678 ""#, "4 to 8 digits"),
        (r#""abcd""#, "4 to 8 digits"),
    ] {
        let (name, param, message) = refused(format!(r#"{{{PHONE},"code":{code},"channel":"x"}}"#));
        assert_eq!((name, param), ("invalid_code", Some("code")));
        assert!(message.contains(said), "{code}: {message}");
    }
    assert_eq!(refused(format!("{{{PHONE}}}")).2, "code is missing");
}

#[test]
fn a_channel_is_one_that_the_carrier_has() {
    for channel in [r#""VOICE""#, r#""""#, "1", "[]"] {
        let body = format!(r#"{{{PHONE},"code":"1234","channel":{channel},"metadata":1}}"#);
        assert_eq!(refused(body).1, Some("channel"), "{channel}");
    }
    let (_, param, message) = refused(r#"{"phone":"+84901234567","code":"1234","channel":"voice"}"#);
    assert_eq!((param, message.as_str()), (Some("channel"), "mobifone is not reached by this channel"));
}

#[test]
fn metadata_is_an_object_of_strings_within_its_limits() {
    let long_key = format!(r#"{{"{}":"x"}}"#, "k".repeat(41));
    for metadata in [r#""a""#, "1", "[]", "false", r#"{"a":1}"#, r#"{"a":null}"#, r#"{"a":{"b":"c"}}"#, &long_key] {
        let body = format!(r#"{{{PHONE},"code":"1234","metadata":{metadata}}}"#);
        assert_eq!(refused(body).1, Some("metadata"), "{metadata}");
    }
}

#[test]
fn depth_does_not_matter() {
    let deep = |depth: usize| format!(r#"{{"x":{}{},{PHONE},"code":"1234"}}"#, "[".repeat(depth), "]".repeat(depth));
    assert!(read(deep(100)).is_ok());
    let _ = read(deep(2_000));
    let _ = read("[".repeat(4096));
    let _ = read(format!(r#"{{"phone":{}"#, r#"{"a":"#.repeat(800)));
}

proptest! {
    #[test]
    fn no_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(body);
    }

    #[test]
    fn no_near_miss_panics(parts in proptest::collection::vec(
        prop::sample::select(vec!["{", "}", "\"phone\":", "\"code\":", "\"metadata\":", "\"channel\":", "\"+84981234567\"",
            "\"1234\"", ",", "[", "]", "null", "1e9", "\"\\u00", "\\", "\"", " ", "{\"a\":\"b\"}", "\u{feff}"]), 0..14)) {
        let _ = read(parts.concat());
    }
}
