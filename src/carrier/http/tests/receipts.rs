//! Callbacks as bytes.

use proptest::prelude::*;

use crate::carrier::http::receipt::{EACH_MAX, Heard, Told, Unreadable, of_callback};
use crate::carrier::upstream::{FailureClass, ReceiptState, Subject};
use crate::config::upstreams::http::{CallbackConfig, HttpConfig};
use crate::domain::carrier::{Channel, NetworkCode};
use crate::domain::phone::Phone;
use crate::domain::reference::{Reference, UpstreamId};

const ATTEMPT: &str = "01997d0a-0000-7000-8000-000000000001-sms";

fn config(form: &str) -> CallbackConfig {
    written(&format!(
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
    ))
}

fn written(text: &str) -> CallbackConfig {
    let config: HttpConfig = toml::from_str(text).unwrap_or_else(|error| panic!("{error}"));
    config.callback.expect("there is one")
}

/// A provider whose receipts come in lists.
fn in_lists(more: &str) -> CallbackConfig {
    written(&format!(
        r#"url = "http://localhost/"
        json = {{ code = "{{code}}" }}
        answers = [{{ means = "accepted", reference = "/id" }}]
        [callback]
        query = {{ name = "t", value = {{ file = ".rustfmt.toml" }} }}
        delivered = ["3"]
        {more}"#
    ))
}

fn hear(config: &CallbackConfig, body: &str) -> Result<Heard, Unreadable> {
    of_callback(config, &UpstreamId::new("tkc").expect("a name"), "", body.as_bytes())
}

fn told(form: &str, query: &str, body: &str) -> Result<Told, Unreadable> {
    let heard = of_callback(&config(form), &UpstreamId::new("tkc").expect("a name"), query, body.as_bytes())?;
    assert_eq!((heard.told.len(), heard.unreadable, &heard.unseen), (1, 0, &None));
    Ok(heard.told.into_iter().next().expect("one"))
}

/// Of which references it was heard.
fn names(heard: &Heard) -> Vec<&str> {
    let references = heard.told.iter().map(|told| match &told.receipt.subject {
        Subject::Reference { references, .. } => references[0].as_str(),
        Subject::Attempt { .. } => panic!("by reference"),
    });
    references.collect()
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
    let told = told("form", "", "id=7%2F1&status=BUSY&to=%2B84981234567&tag=a&tag=b").expect("reads");
    assert_eq!(told.receipt.subject, reference("7/1", Some("+84981234567")));
    assert_eq!(told.receipt.state, ReceiptState::Failed(FailureClass::Unreachable));
    assert_eq!(told.receipt.status.as_str(), "BUSY");
}

#[test]
fn what_stands_twice_is_refused_where_it_is_read() {
    let whole = "id=a&status=delivered&to=0981234567";
    for twice in ["&id=b", "&id=a", "&status=busy", "&to=0982000000", "&text=x&text=y"] {
        assert_eq!(told("form", "", &format!("{whole}{twice}")), Err(Unreadable::Twice), "{twice}");
    }
    let json = r#"{"id":"x","to":"0981234567","status":"delivered"}"#;
    let twice = format!("a={ATTEMPT}&a=01997d0a-0000-7000-8000-000000000002-sms");
    assert_eq!(told("json", &twice, json), Err(Unreadable::Twice));
    told("json", "b=1&b=2", json).expect("nothing that is read stands twice");
}

#[test]
fn one_byte_order_mark_before_a_receipt_is_skipped() {
    let json = "{\"id\":\"x\",\"to\":\"0981234567\",\"status\":\"delivered\"}";
    for (form, body) in [("json", json), ("form", "id=x&to=0981234567&status=delivered")] {
        assert_eq!(told(form, "", &format!("\u{feff}{body}")), told(form, "", body), "{form}");
    }
    assert_eq!(told("json", "", &format!("\u{feff}\u{feff}{json}")), Err(Unreadable::Body), "one, not two");
}

#[test]
fn each_element_of_a_list_is_a_receipt() {
    let config = in_lists("each = \"/results\"\nreference = \"/messageId\"\nstatus = \"/status/groupId\"");
    let element = |id: &str| format!(r#"{{"messageId":"{id}","status":{{"groupId":3}}}}"#);
    let body = |elements: &[String]| format!(r#"{{"results":[{}]}}"#, elements.join(","));
    let heard = hear(&config, &body(&[element("A"), element("B")])).expect("reads");
    assert_eq!((names(&heard), heard.unreadable), (vec!["A", "B"], 0));
    assert!(heard.told.iter().all(|told| told.receipt.state == ReceiptState::Delivered));
    let unreadable = ["7", "null", "[]", "{}", r#"{"messageId":"C"}"#].map(str::to_owned);
    let heard = hear(&config, &body(&[&unreadable[..], &[element("B")]].concat())).expect("reads");
    assert_eq!((names(&heard), heard.unreadable, &heard.unseen), (vec!["B"], 5, &None), "it blocks no other");
    assert_eq!(hear(&config, &body(&[])), Ok(Heard::default()));
    for none in ["{}", "[]", r#"{"results":{}}"#, r#"{"results":null}"#] {
        assert_eq!(hear(&config, none), Err(Unreadable::List), "{none}");
    }
    let many = |count: usize| body(&(0..count).map(|n| element(&n.to_string())).collect::<Vec<_>>());
    assert_eq!(hear(&config, &many(EACH_MAX)).expect("reads").told.len(), EACH_MAX);
    assert_eq!(hear(&config, &many(EACH_MAX + 1)), Err(Unreadable::TooMany));
}

#[test]
fn a_body_may_itself_be_the_list() {
    let config = in_lists("each = \"\"\nreference = \"/id\"\nstatus = \"/s\"");
    let heard = hear(&config, r#"[{"id":"A","s":3},{"id":"B","s":"4"}]"#).expect("reads");
    assert_eq!(names(&heard), ["A", "B"]);
    assert_eq!(hear(&config, r#"{"id":"A","s":3}"#), Err(Unreadable::List));
}

#[test]
fn elements_that_the_pointers_do_not_see_are_found_out() {
    let element = |id: &str| format!(r#"{{"id":"{id}","s":3,"words":["a","b"]}}"#);
    let list = |ids: &[&str]| ids.iter().map(|id| element(id)).collect::<Vec<_>>().join(",");
    let first = in_lists("reference = \"/results/0/id\"\nstatus = \"/results/0/s\"\nword = \"/results/0/words/0\"");
    let heard = hear(&first, &format!(r#"{{"results":[{}]}}"#, list(&["A"]))).expect("reads");
    assert_eq!((names(&heard), &heard.unseen), (vec!["A"], &None), "words are one receipt's");
    let heard = hear(&first, &format!(r#"{{"results":[{}]}}"#, list(&["A", "B"]))).expect("reads");
    assert_eq!((names(&heard), heard.unseen.as_deref()), (vec!["A"], Some("/results")));
    let heard = hear(&first, &format!(r#"{{"results":[{{}},{}]}}"#, element("B"))).expect("tells");
    assert_eq!((heard.told.len(), heard.unreadable, heard.unseen.as_deref()), (0, 1, Some("/results")));
    let lists = in_lists("each = \"/batches/0/results\"\nreference = \"/id\"\nstatus = \"/s\"");
    let body = format!(r#"{{"batches":[{{"results":[{}]}},{{}}]}}"#, list(&["A", "B"]));
    let heard = hear(&lists, &body).expect("reads");
    assert_eq!((names(&heard), heard.unseen.as_deref()), (vec!["A", "B"], Some("/batches")));
    let nested = in_lists("each = \"\"\nreference = \"/of/0/id\"\nstatus = \"/of/0/s\"");
    let heard = hear(&nested, &format!(r#"[{{"of":[{}]}}]"#, list(&["A", "B"]))).expect("reads");
    assert_eq!((names(&heard), heard.unseen.as_deref()), (vec!["A"], Some("/*/of")));
}

#[test]
fn a_receipt_may_stand_in_the_query_whole() {
    let config = in_lists("method = \"GET\"\nreference = \"?id\"\nstatus = \"?dlr\"\nphone = \"?to\"");
    let get = |query: &str| of_callback(&config, &UpstreamId::new("tkc").expect("a name"), query, b"");
    let heard = get("id=x%2F1&dlr=3&to=+84981234567").expect("reads");
    assert_eq!(heard.told[0].receipt.subject, reference("x/1", Some("+84981234567")));
    for (query, why) in [
        ("", Unreadable::Subject),
        ("id=x", Unreadable::Subject),
        ("id=x&to=0981234567", Unreadable::Status),
        ("id=x&to=0981234567&dlr=", Unreadable::Status),
        ("id=x&to=0981234567&dlr=3&dlr=4", Unreadable::Twice),
        ("id=x&to=0981234567&dlr=3&id=y", Unreadable::Twice),
    ] {
        assert_eq!(get(query), Err(why), "{query}");
    }
    let post = in_lists("reference = \"?id\"\nstatus = \"?dlr\"");
    let heard = of_callback(&post, &UpstreamId::new("tkc").expect("a name"), "id=x&dlr=3", b"");
    assert_eq!(names(&heard.expect("a POST whose body is not asked for may have any")), ["x"]);
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
        let each = in_lists("each = \"/r\"\nreference = \"/id\"\nstatus = \"/s\"");
        let _ = of_callback(&each, &UpstreamId::new("tkc").expect("a name"), &query, &body);
    }
}
