//! What answers mean, as a table.

use std::time::Duration;

use bytes::Bytes;

use super::settings;
use crate::carrier::http::answer::{Verdict, judge};
use crate::carrier::http::exchange::Answer;
use crate::carrier::upstream::FailureClass;
use crate::config::upstreams::http::HttpConfig;
use crate::domain::code::OtpCode;
use crate::domain::reference::Reference;

const RULES: &str = r#"
receipts = "refunded"
per_phone_gap_s = 30
answers = [
    { status = 202, at = "/result/code", is = [0, "OK"], means = "accepted", reference = "/result/ids/0", word = "/result/text" },
    { status = 429, at = "/phone", is = true, means = "per_phone", retry_after = "/wait" },
    { status = 429, means = "throttled", retry_after = "/wait", retry_after_s = 3 },
    { status = "4xx", at = "/error", is = "no_such_number", means = "refused", class = "invalid_number" },
    { at = "/maintenance", means = "not_sent" },
    { status = 599, means = "ambiguous" },
]
"#;

fn verdict(config: &HttpConfig, status: u16, body: &str, retry_after: Option<u64>) -> Verdict {
    let retry_after = retry_after.map(Duration::from_secs);
    judge(config, &Answer { status, retry_after, is_html: false, body: Bytes::from(body.to_owned()) }, &code()).verdict
}

fn code() -> OtpCode {
    OtpCode::parse("482917").expect("a code")
}

fn accepted(reference: Option<&str>) -> Verdict {
    Verdict::Accepted { reference: reference.and_then(Reference::new) }
}

const fn refused(class: FailureClass) -> Verdict {
    Verdict::Refused { class }
}

#[test]
fn the_first_rule_that_matches_says_what_an_answer_means() {
    let config = settings("127.0.0.1:1", RULES);
    let per_phone = |seconds| Verdict::PerPhone { retry_after: Duration::from_secs(seconds) };
    let throttled = |seconds| Verdict::Throttled { retry_after: Some(Duration::from_secs(seconds)) };
    for (status, body, header, expected) in [
        (202, r#"{"result":{"code":0,"ids":["x1"]}}"#, None, accepted(Some("x1"))),
        (202, r#"{"result":{"code":"0","ids":[77]}}"#, None, accepted(Some("77"))),
        (202, "\u{feff}{\"result\":{\"code\":0,\"ids\":[\"x2\"]}}", None, accepted(Some("x2"))),
        (202, r#"{"result":{"code":"OK","ids":["a b"]}}"#, None, accepted(None)),
        (202, r#"{"result":{"code":0,"ids":[36893488147419103232]}}"#, None, accepted(None)),
        (202, r#"{"result":{"code":1}}"#, None, Verdict::Ambiguous),
        (202, r#"{"result":{"code":true}}"#, None, Verdict::Ambiguous),
        (200, r#"{"result":{"code":0}}"#, None, Verdict::Ambiguous),
        (202, "", None, Verdict::Ambiguous),
        (202, "[[[[", None, Verdict::Ambiguous),
        (429, r#"{"phone":true,"wait":17}"#, Some(5), per_phone(17)),
        (429, r#"{"phone":true,"wait":16.2}"#, None, per_phone(17)),
        (429, r#"{"phone":true,"wait":"17"}"#, None, per_phone(17)),
        (429, r#"{"phone":true,"wait":0}"#, None, per_phone(1)),
        (429, r#"{"phone":true,"wait":1e99}"#, None, per_phone(120)),
        (429, r#"{"phone":true,"wait":-1}"#, Some(5), per_phone(5)),
        (429, r#"{"phone":true,"wait":30000}"#, None, per_phone(120)),
        (429, r#"{"phone":true}"#, Some(1_763_757_000), per_phone(120)),
        (429, r#"{"phone":true}"#, None, per_phone(30)),
        (429, r#"{"phone":false}"#, Some(9), throttled(9)),
        (429, "<html>", None, throttled(3)),
        (404, r#"{"error":"no_such_number"}"#, None, refused(FailureClass::InvalidNumber)),
        (404, r#"{"error":"no_such_path"}"#, None, refused(FailureClass::Misconfigured)),
        (422, "{}", None, refused(FailureClass::Rejected)),
        (500, r#"{"maintenance":null}"#, None, Verdict::NotSent),
        (500, "{}", None, Verdict::Ambiguous),
        (408, "", None, Verdict::Ambiguous),
        (301, "", None, refused(FailureClass::Misconfigured)),
        (599, "", None, Verdict::Ambiguous),
    ] {
        assert_eq!(verdict(&config, status, body, header), expected, "{status} {body}");
    }
}

#[test]
fn without_rules_the_status_says_it() {
    let config = settings("127.0.0.1:1", "receipts = \"charged\"");
    assert_eq!(verdict(&config, 204, "", None), accepted(None));
    assert_eq!(verdict(&config, 429, "", None), Verdict::Throttled { retry_after: None });
    assert_eq!(verdict(&config, 401, "", None), refused(FailureClass::Misconfigured));
    assert_eq!(verdict(&config, 503, "", None), Verdict::Ambiguous);
}

#[test]
fn a_providers_word_is_kept_where_the_settings_say_and_nothing_is_foreseen_without_a_rule() {
    let config = settings("127.0.0.1:1", RULES);
    let body = Bytes::from_static(br#"{"result":{"code":0,"text":"queued\u0000 ok"}}"#);
    let judged =
        judge(&config, &Answer { status: 202, retry_after: None, is_html: false, body: body.clone() }, &code());
    assert_eq!((judged.status.as_str(), judged.foreseen), ("queued ok", true));
    let judged = judge(&config, &Answer { status: 201, retry_after: None, is_html: false, body }, &code());
    assert_eq!((judged.status.as_str(), judged.foreseen), ("HTTP 201", false));
}

#[test]
fn what_repeats_the_code_is_neither_a_word_nor_a_name() {
    let config = settings("127.0.0.1:1", RULES);
    let at_the_cut = format!("{}482917", "x".repeat(61));
    for word in ["482917 la ma", "4 8 2 9 1 7", "48-29-17", "48\u{e9}2917", at_the_cut.as_str()] {
        let body = serde_json::json!({ "result": { "code": 0, "ids": [482_917], "text": word } }).to_string();
        let judged =
            judge(&config, &Answer { status: 202, retry_after: None, is_html: false, body: body.into() }, &code());
        assert_eq!((judged.verdict, judged.status.as_str()), (accepted(None), "[withheld]"), "{word}");
    }
}

#[test]
fn a_wait_that_cannot_be_is_cut_and_counted() {
    let config = settings("127.0.0.1:1", &RULES.replace("per_phone_gap_s = 30\n", ""));
    for (wait, seconds, foreseen) in [(30, 30, true), (600, 600, true), (30_000, 600, false)] {
        let body = format!(r#"{{"phone":true,"wait":{wait}}}"#).into();
        let judged = judge(&config, &Answer { status: 429, retry_after: None, is_html: false, body }, &code());
        let expected = Verdict::PerPhone { retry_after: Duration::from_secs(seconds) };
        assert_eq!((judged.verdict, judged.foreseen), (expected, foreseen), "{wait}");
    }
}
