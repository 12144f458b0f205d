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
        let told = told("json", "", &format!(r#"{{"id":5,"to":"0981234567","status":"{word}"}}"#)).expect("reads");
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
        (r#"{"id":36893488147419103232,"to":"0981234567","status":"delivered"}"#, Unreadable::Subject),
        (r#"{"id":"x","status":"delivered"}"#, Unreadable::Subject),
        (r#"{"id":"x","to":"","status":"delivered"}"#, Unreadable::Subject),
        (r#"{"id":"x","to":"unknown","status":"delivered"}"#, Unreadable::Subject),
        (r#"{"id":"x","to":"0281234567","status":"delivered"}"#, Unreadable::Subject),
        (r#"{"id":"x","to":"0981234567"}"#, Unreadable::Status),
        (r#"{"id":"x","to":"0981234567","status":{}}"#, Unreadable::Status),
        (r#"{"id":"x","to":"0981234567","status":""}"#, Unreadable::Status),
    ] {
        assert_eq!(told("json", "", body), Err(why), "{body}");
    }
}

#[test]
fn words_that_quote_the_message_are_kept_without_its_code() {
    for (said, kept) in [
        ("482917 la ma xac thuc cua ban. UNDELIV", "###### la ma xac thuc cua ban. UNDELIV"),
        ("ma: 4 8 2 9 1 7.", "ma: # # # # # #."),
        ("48-29-17 va 12345678", "##-##-## va ########"),
        ("48\u{e9}29", "####"),
        ("answered after 12 s, cause 486", "answered after 12 s, cause 486"),
        ("", ""),
    ] {
        let body =
            serde_json::json!({ "id": "x", "to": "0981234567", "status": "delivered", "text": said }).to_string();
        assert_eq!(told("json", "", &body).expect("reads").receipt.status.as_str(), kept, "{said}");
    }
    for (status, kept) in [("Err 482917 template", "Err ###### template"), ("1034", "1034"), ("delivered", "delivered")]
    {
        let body = serde_json::json!({ "id": "x", "to": "0981234567", "status": status }).to_string();
        assert_eq!(told("json", "", &body).expect("reads").receipt.status.as_str(), kept, "{status}");
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
