//! Callbacks as bytes.

use proptest::prelude::*;

use crate::carrier::http::receipt::{Told, Unreadable, of_callback};
use crate::carrier::upstream::{FailureClass, ReceiptState, Subject};
use crate::config::upstreams::http::{CallbackConfig, HttpConfig};
use crate::domain::carrier::{Channel, NetworkCode};
use crate::domain::phone::Phone;
use crate::domain::reference::{Reference, UpstreamId};

const ATTEMPT: &str = "01997d0a-0000-7000-8000-000000000001-sms";

fn config(form: &str) -> CallbackConfig {
    let text = format!(
        r#"url = "http://localhost/"
        json = {{ code = "{{code}}" }}
        [callback]
        query = {{ name = "t", value = {{ file = ".rustfmt.toml" }} }}
        form = "{form}"
        attempt = "?a"
        reference = "/id"
        phone = "/to"
        status = "/status"
        delivered = ["delivered"]
        in_progress = ["ringing"]
        failed = {{ Busy = "unreachable" }}
        network = "/net"
        word = "/text""#
    );
    let config: HttpConfig = toml::from_str(&text).unwrap_or_else(|error| panic!("{error}"));
    config.callback.expect("there is one")
}

fn told(form: &str, query: &str, body: &str) -> Result<Told, Unreadable> {
    of_callback(&config(form), &UpstreamId::new("tkc").expect("a name"), query, body.as_bytes())
}

fn reference(text: &str, phone: Option<&str>) -> Subject {
    let references = vec![Reference::new(text).expect("sane")];
    Subject::Reference { references, phone: phone.map(|phone| Phone::parse(phone).expect("a phone")) }
}

#[test]
fn a_receipt_is_of_our_attempt_where_that_is_echoed_else_of_the_providers_reference() {
    let body = r#"{"id":"x1","status":"Delivered","to":"84981234567","net":"452-04","text":"answered 12 s"}"#;
    let Told { receipt, word_is_known } = told("json", &format!("a={ATTEMPT}"), body).expect("reads");
    let delivery = "01997d0a-0000-7000-8000-000000000001".parse().expect("an id");
    assert_eq!(receipt.subject, Subject::Attempt { delivery, channel: Channel::Sms });
    assert_eq!(
        (receipt.state, receipt.status.as_str(), word_is_known),
        (ReceiptState::Delivered, "answered 12 s", true)
    );
    assert_eq!(receipt.network, NetworkCode::parse("45204"));
    for query in ["", "a=", "a=nonsense", "b=1"] {
        let told = told("json", query, body).expect("reads");
        assert_eq!(told.receipt.subject, reference("x1", Some("+84981234567")), "{query}");
    }
}

#[test]
fn a_form_is_read_like_json() {
    let told = told("form", "", "id=7%2F1&status=BUSY&to=%2B84981234567&id=other").expect("reads");
    assert_eq!(told.receipt.subject, reference("7/1", Some("+84981234567")));
    assert_eq!(told.receipt.state, ReceiptState::Failed(FailureClass::Unreachable));
    assert_eq!(told.receipt.status.as_str(), "BUSY");
}

#[test]
fn a_word_that_nobody_knows_never_ends_a_delivery() {
    for (word, known) in [("ringing", true), ("delivred", false), ("0", false)] {
        let told = told("json", "", &format!(r#"{{"id":5,"status":"{word}"}}"#)).expect("reads");
        assert_eq!((told.receipt.state, told.word_is_known), (ReceiptState::InProgress, known), "{word}");
    }
}

#[test]
fn what_says_nothing_is_refused() {
    for (body, why) in [
        ("", Unreadable::Body),
        ("<html>", Unreadable::Body),
        ("{}", Unreadable::Subject),
        ("[]", Unreadable::Subject),
        (r#"{"id":null,"status":"delivered"}"#, Unreadable::Subject),
        (r#"{"id":"a b","status":"delivered"}"#, Unreadable::Subject),
        (r#"{"id":"x"}"#, Unreadable::Status),
        (r#"{"id":"x","status":{}}"#, Unreadable::Status),
        (r#"{"id":"x","status":""}"#, Unreadable::Status),
    ] {
        assert_eq!(told("json", "", body), Err(why), "{body}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..200), query in "\\PC{0,60}") {
        for form in ["json", "form"] {
            let _ = of_callback(&config(form), &UpstreamId::new("tkc").expect("a name"), &query, &body);
        }
    }
}
