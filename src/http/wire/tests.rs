//! Bodies as the contract prints them.

use super::*;
use crate::domain::carrier::{Carrier, Channel};
use crate::domain::ids::DeliveryId;
use crate::domain::json::write_string;
use crate::domain::metadata::Metadata;
use crate::domain::phone::Phone;
use proptest::prelude::*;

fn text(body: &Bytes) -> &str {
    std::str::from_utf8(body).expect("text")
}

fn usd(micros: i64) -> MicroUsd {
    MicroUsd::from_micros(micros)
}

fn example() -> Delivery {
    Delivery {
        id: DeliveryId::from_bytes([0x11; 16]),
        phone: Phone::parse("+84981234567").expect("valid"),
        carrier: Carrier::new("viettel").expect("valid"),
        channel: Channel::Voice,
        status: Status::Failed,
        cost: usd(22_000),
        refunded: true,
        error_code: Some(FailureCode::Timeout),
        carrier_status: Some("no \"answer\"".to_owned()),
        created_at: Timestamp::from_micros(1_779_703_200_000_999),
        completed_at: Some(Timestamp::from_micros(1_779_703_225_104_000)),
        metadata: Metadata::new(vec![("order".to_owned(), "\u{1F4DE}\n\"42\"".to_owned())]).expect("valid"),
    }
}

#[test]
fn a_202_says_what_it_cost() {
    let sent_ = Sent {
        delivery: DeliveryId::from_bytes([0x11; 16]),
        carrier: Carrier::new("viettel").expect("valid"),
        cost: usd(22_000),
        balance: usd(9_978_000),
    };
    assert_eq!(
        text(&sent(&sent_)),
        r#"{"ok":true,"id":"11111111-1111-1111-1111-111111111111","carrier":"viettel","status":"sent","cost":0.022,"balance":9.978}"#
    );
}

#[test]
fn a_balance_is_three_buckets_and_their_sum() {
    let wallet = Buckets { free: usd(66_000), bonus: usd(2_000_000), cash: usd(9_978_000) };
    assert_eq!(
        balance(&wallet).as_ref().map(text),
        Some(
            r#"{"ok":true,"currency":"USD","balance":9.978,"bonus_credit":2.000,"free_credit":0.066,"total":12.044,"buckets":{"balance":9.978,"bonus_credit":2.000,"free_credit":0.066}}"#
        )
    );
    assert_eq!(balance(&Buckets { free: usd(1), bonus: usd(0), cash: usd(i64::MAX) }), None);
}

#[test]
fn a_delivery_has_every_member_always() {
    assert_eq!(
        text(&delivery(&example())),
        concat!(
            r#"{"ok":true,"id":"11111111-1111-1111-1111-111111111111","phone":"+84981234567","carrier":"viettel","#,
            r#""channel":"voice","status":"failed","cost":0.022,"refunded":true,"error_code":"timeout","#,
            r#""carrier_status":"no \"answer\"","created_at":"2026-05-25T10:00:00.000Z","#,
            r#""completed_at":"2026-05-25T10:00:25.104Z","metadata":{"order":"📞\n\"42\""}}"#
        )
    );
    let young = Delivery {
        status: Status::Sent,
        refunded: false,
        error_code: None,
        carrier_status: None,
        completed_at: None,
        metadata: None,
        ..example()
    };
    assert!(text(&delivery(&young)).ends_with(
        r#""refunded":false,"error_code":null,"carrier_status":null,"created_at":"2026-05-25T10:00:00.000Z","completed_at":null,"metadata":null}"#
    ));
}

#[test]
fn a_listing_names_its_cursor() {
    let page = Listing { data: vec![example(), example()], has_more: true, next_cursor: Some(example().id) };
    let body: serde_json::Value = serde_json::from_slice(&listing(&page)).expect("JSON");
    assert_eq!(body["data"].as_array().map(Vec::len), Some(2));
    assert_eq!(body["data"][1]["id"], body["next_cursor"]);
    assert_eq!(body["data"][0].get("ok"), None);
    let empty = Listing { data: vec![], has_more: false, next_cursor: None };
    assert_eq!(text(&listing(&empty)), r#"{"ok":true,"data":[],"has_more":false,"next_cursor":null}"#);
}

#[test]
fn every_control_character_is_escaped_as_serde_json_does() {
    let all: String = (0..=0x80_u32).filter_map(char::from_u32).collect();
    let mut text = Vec::new();
    write_string(&mut text, &all);
    assert_eq!(text, serde_json::to_vec(&all).expect("a string"));
}

proptest! {
    #[test]
    fn strings_are_written_as_serde_json_writes_them(value in "(?s).*") {
        let mut text = Vec::new();
        write_string(&mut text, &value);
        prop_assert_eq!(text, serde_json::to_vec(&value).expect("a string"));
    }

    #[test]
    fn whatever_a_text_holds_the_body_is_json(value in ".*", micros in 0..i64::MAX, at in any::<i64>()) {
        let strange = Delivery {
            carrier_status: Some(value.clone()),
            cost: usd(micros),
            created_at: Timestamp::from_micros(at),
            ..example()
        };
        let body: serde_json::Value = serde_json::from_slice(&delivery(&strange)).expect("JSON");
        prop_assert_eq!(&body["carrier_status"], &serde_json::Value::from(value));
    }
}
