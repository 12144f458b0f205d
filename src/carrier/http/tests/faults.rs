//! Providers that hang, flap, answer something else, answer late, or cannot be reached.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};
use tracing_subscriber::fmt::MakeWriter;

use super::provider::{Does, Provider};
use super::{PATIENCE, ambiguous, attempt, before, leaving_within, link, settings, status_of};
use crate::carrier::upstream::{FailureClass, Health, Outcome, Upstream};
use crate::domain::delivery::CarrierStatus;
use crate::domain::endpoint_url::EndpointUrl;

/// What was logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn a_provider_that_hangs_leaves_the_attempt_ambiguous_and_is_asked_once() {
    let provider = Provider::start([Does::Hangs]).await;
    let (link, _) = before(&provider, "");
    assert_eq!(link.dispatch(attempt()).await, ambiguous("no answer in time"));
    assert_eq!(provider.got().len(), 1);
}

#[tokio::test]
async fn a_provider_that_flaps_is_down_after_three_refusals_and_up_when_it_is_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let (link, _) = link(&settings(&address.to_string(), super::USUAL));
    let mut health = link.health();
    for _ in 0..3 {
        assert_eq!(*health.borrow(), Health::Up);
        let outcome = link.dispatch(attempt()).await;
        let status = CarrierStatus::clean("unreachable");
        assert_eq!(outcome, Outcome::NotSent { status }, "where the provider is, no customer reads");
    }
    assert_eq!(*health.borrow(), Health::Down);
    let provider =
        Provider::start_at(TcpListener::bind(address).await.expect("binds"), [Does::json("200 OK", r#"{"id":"a"}"#)]);
    let up = timeout(PATIENCE, health.wait_for(|health| *health == Health::Up)).await;
    up.expect("it comes back").expect("the link lives");
    assert_eq!(link.dispatch(attempt()).await, Outcome::Accepted);
    assert_eq!(provider.got().len(), 1, "nothing that was not sent is sent later");
}

#[tokio::test]
async fn a_provider_that_answers_html_has_not_said_yes() {
    let html =
        |status| Does::Answers(status, "Content-Type: text/html\r\n", "<html>Welcome to our hotel</html>".to_owned());
    let provider = Provider::start([html("200 OK"), html("502 Bad Gateway"), html("403 Forbidden")]).await;
    let (link, _) = before(&provider, "");
    assert_eq!(link.dispatch(attempt()).await, ambiguous("HTTP 200"));
    assert_eq!(link.dispatch(attempt()).await, ambiguous("HTTP 502"));
    let status = CarrierStatus::clean("HTTP 403");
    let refused = Outcome::Refused { class: FailureClass::Misconfigured, status };
    assert_eq!(link.dispatch(attempt()).await, refused);
}

#[tokio::test]
async fn plain_words_that_a_script_labels_html_are_no_page() {
    for (body, outcome) in [("OK", Outcome::Accepted), (" \n<!doctype html>", ambiguous("HTTP 200"))] {
        let answer = Does::Answers("200 OK", "Content-Type: text/html\r\n", body.to_owned());
        let provider = Provider::start([answer]).await;
        let rules = "answers = [{ status = \"2xx\", means = \"accepted\" }]\nreceipts = \"charged\"";
        let (link, _) = link(&settings(&provider.address.to_string(), rules));
        assert_eq!(link.dispatch(attempt()).await, outcome, "{body}");
    }
}

#[tokio::test]
async fn a_page_is_no_yes_to_a_rule_that_does_not_look_into_it() {
    let provider =
        Provider::start([Does::Answers("200 OK", "Content-Type: TEXT/HTML; charset=utf-8\r\n", String::new())]).await;
    for rules in
        ["", "answers = [{ status = \"2xx\", means = \"accepted\" }]\n", "answers = [{ means = \"accepted\" }]\n"]
    {
        let (link, _) = link(&settings(&provider.address.to_string(), &format!("{rules}receipts = \"charged\"")));
        assert_eq!(link.dispatch(attempt()).await, ambiguous("HTTP 200"), "{rules}");
    }
}

#[tokio::test]
async fn a_provider_that_answers_after_its_caller_has_gone_is_heard_all_the_same() {
    let late = Does::AnswersAfter(Duration::from_millis(200), r#"{"id":"late-1"}"#.to_owned());
    let provider = Provider::start([late]).await;
    let (link, sink) = before(&provider, "");
    let abandoned = timeout(Duration::from_millis(50), link.dispatch(attempt())).await;
    assert!(abandoned.is_err(), "the caller stops waiting first");
    assert_eq!(sink.named().await, ["late-1"]);
}

#[tokio::test]
async fn broken_json_too_much_of_it_and_what_is_no_http_are_ambiguous() {
    let long = format!("{{\"id\":\"{}\"}}", "x".repeat(70_000));
    let provider = Provider::start([
        Does::json("200 OK", r#"{"id":"#),
        Does::json("200 OK", &long),
        Does::Writes("SSH-2.0-OpenSSH_9.2\r\n\r\n".to_owned()),
        Does::Writes("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}".to_owned()),
    ])
    .await;
    let (link, _) = before(&provider, "");
    for expected in ["HTTP 200", "HTTP 200", "the answer is no HTTP", "no answer in time"] {
        assert_eq!(link.dispatch(attempt()).await, ambiguous(expected));
    }
}

/// What a provider took is not lost for the way in which its answer is written.
#[tokio::test]
async fn an_answer_counts_however_its_head_is_written() {
    let many = "X: y\r\n".repeat(500);
    let long = format!("X: {}\r\n", "y".repeat(63 * 1024));
    let heads = ["Server : a\r\n", "X-Folded: one\r\n two\r\n", many.as_str(), long.as_str()];
    let answer =
        |head: &str| Does::Writes(format!("HTTP/1.1 200 OK\r\n{head}Content-Length : 10\r\n\r\n{{\"id\":\"a\"}}"));
    let provider = Provider::start(heads.map(answer)).await;
    let (link, _) = before(&provider, "");
    for head in heads {
        assert_eq!(link.dispatch(attempt()).await, Outcome::Accepted, "{head:.60}");
    }
    assert!(provider.got().iter().all(|got| got.connection == 0), "and its connection is kept");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Provider::start([Does::json("200 OK", r#"{"id":"a"}"#)]).await;
    let location = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://{}/\r\nContent-Length: 0\r\n\r\n",
        elsewhere.address
    );
    let provider = Provider::start([Does::Writes(location)]).await;
    let (link, _) = before(&provider, "");
    let outcome = link.dispatch(attempt()).await;
    assert!(matches!(outcome, Outcome::Refused { class: FailureClass::Misconfigured, .. }), "{outcome:?}");
    assert!(elsewhere.got().is_empty());
}

#[tokio::test]
async fn a_provider_that_speaks_no_tls_was_sent_nothing() {
    let provider = Provider::start([Does::Closes]).await;
    let mut config = settings(&provider.address.to_string(), super::USUAL);
    config.url = EndpointUrl::parse(&format!("https://{}/send", provider.address)).expect("a URL");
    let (link, _) = link(&config);
    let outcome = link.dispatch(attempt()).await;
    assert!(matches!(&outcome, Outcome::NotSent { .. }), "{outcome:?}");
}

#[tokio::test]
async fn what_was_late_itself_says_nothing_of_the_provider() {
    let provider = Provider::start([Does::Hangs]).await;
    let mut config = settings(&provider.address.to_string(), super::USUAL);
    config.url = EndpointUrl::parse(&format!("https://{}/send", provider.address)).expect("a URL");
    config.connect_timeout = Duration::from_secs(30);
    let (link, _) = link(&config);
    for _ in 0..4 {
        let outcome = link.dispatch(leaving_within(Duration::from_millis(30))).await;
        assert_eq!(outcome, Outcome::NotSent { status: CarrierStatus::clean("not sent") });
    }
    assert_eq!(*link.health().borrow(), Health::Up);
}

#[tokio::test]
async fn a_connection_that_ends_before_the_answer_is_ambiguous_and_a_kept_one_that_was_closed_is_replaced() {
    let provider = Provider::start([
        Does::Closes,
        Does::Writes("HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\n{\"id\":\"a\"}".to_owned()),
        Does::json("200 OK", r#"{"id":"b"}"#),
    ])
    .await;
    let (link, _) = before(&provider, "");
    assert_eq!(link.dispatch(attempt()).await, ambiguous("the connection ended before the answer"));
    assert_eq!(link.dispatch(attempt()).await, Outcome::Accepted);
    assert_eq!(link.dispatch(attempt()).await, Outcome::Accepted);
    assert_eq!(link.dispatch(attempt()).await, Outcome::Accepted);
    let connections: Vec<usize> = provider.got().iter().map(|got| got.connection).collect();
    assert_eq!(connections, [0, 1, 2, 2], "one that is kept is used again");
}

#[tokio::test]
async fn wrong_credentials_are_not_hammered() {
    let provider = Provider::start([Does::json("401 Unauthorized", "{}")]).await;
    let (link, _) = before(&provider, "");
    for _ in 0..3 {
        let outcome = link.dispatch(attempt()).await;
        assert!(matches!(outcome, Outcome::Refused { class: FailureClass::Misconfigured, .. }), "{outcome:?}");
    }
    assert_eq!(*link.health().borrow(), Health::Misconfigured);
}

#[tokio::test(flavor = "current_thread")]
async fn a_link_that_turns_misconfigured_logs_no_code() {
    let refused = r#"answers = [
        { status = "2xx", at = "/id", means = "accepted" },
        { status = 403, means = "refused", class = "misconfigured", word = "/message" },
    ]
    receipts = "refunded""#;
    let body = r#"{"message":"brandname: template mismatch \"482917 la ma xac thuc\""}"#;
    let provider = Provider::start([Does::json("403 Forbidden", body)]).await;
    let (link, _) = link(&settings(&provider.address.to_string(), refused));
    let lines = Lines::default();
    let logs = tracing_subscriber::fmt().with_writer(lines.clone()).finish();
    let guard = tracing::subscriber::set_default(logs);
    for _ in 0..3 {
        let outcome = link.dispatch(attempt()).await;
        assert_eq!(status_of(&outcome), "[withheld]");
    }
    drop(guard);
    let logged = lines.text();
    assert!(logged.contains("the link's health has changed") && !logged.contains("482917"), "{logged}");
}

#[tokio::test]
async fn what_cannot_leave_in_time_is_not_sent_and_never_later() {
    let provider = Provider::start([Does::json("429 Too Many Requests", "{}")]).await;
    let (link, _) = before(&provider, "");
    let started = Instant::now();
    let outcome = link.dispatch(leaving_within(Duration::from_millis(300))).await;
    assert_eq!(status_of(&outcome), "throttled");
    assert!(matches!(outcome, Outcome::NotSent { .. }));
    assert!(started.elapsed() < Duration::from_secs(1), "it does not wait for what comes too late");
    assert_eq!(provider.got().len(), 1);
}

#[tokio::test]
async fn a_link_that_is_shut_down_takes_nothing_and_cuts_what_outlasts_its_grace() {
    let provider = Provider::start([Does::Hangs]).await;
    let (link, _) = link(&settings(&provider.address.to_string(), "receipts = \"refunded\""));
    let under_way = link.dispatch(attempt());
    provider.received(1).await;
    link.shutdown(Duration::from_millis(50)).await;
    assert_eq!(status_of(&under_way.await), "the link was closed");
    assert_eq!(status_of(&link.dispatch(attempt()).await), "link closed");
    assert_eq!(*link.health().borrow(), Health::Down);
}
