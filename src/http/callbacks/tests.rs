//! The carriers' listener on a real socket, before a sink that does as it is told.

mod get;
mod several;
mod sink;

use std::net::SocketAddr;
use std::sync::PoisonError;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::sink::Sink;
use super::*;
use crate::carrier::upstream::{Receipt, ReceiptState, Subject};
use crate::config::upstreams::http::HttpConfig;
use crate::domain::signature::{hex, hmac_sha256};
use crate::http::listener::{Limits, Listener};

const SECRET: &str = "max_width = 120\nuse_small_heuristics = \"Max\"";
const BODY: &str = r#"{"id":"x1","status":"ok"}"#;

/// A listener with one upstream, `tkc`.
struct Bench {
    address: SocketAddr,
    sink: Arc<Sink>,
    receivers: Receivers,
    _serving: JoinSet<()>,
}

impl Bench {
    fn start(proof: &str) -> Self {
        Self::behind(&[], proof)
    }

    fn behind(proxies: &[&str], proof: &str) -> Self {
        Self::reading(proxies, &format!("{proof}\nreference = \"/id\"\nstatus = \"/status\""))
    }

    fn reading(proxies: &[&str], callback: &str) -> Self {
        let text = format!(
            "url = \"http://localhost/\"\njson = {{ code = \"{{code}}\" }}\n\
             answers = [{{ means = \"accepted\", reference = \"/id\" }}]\n[callback]\n{callback}\ndelivered = [\"ok\"]"
        );
        let config: HttpConfig = toml::from_str(&text).unwrap_or_else(|error| panic!("{error}"));
        let receivers = Receivers::default();
        let tkc = UpstreamId::new("tkc").expect("a name");
        receivers.replace([(tkc, config.callback.expect("there is one"))]);
        let settings = CallbacksConfig {
            listen: String::new(),
            trusted_proxies: proxies.iter().map(|net| net.parse().expect("a block")).collect(),
            connections_max: 8,
            connections_per_ip_max: 4,
            body_bytes_max: 65_536,
            read_ms: 5_000,
            idle_ms: 5_000,
        };
        let sink = Arc::new(Sink::default());
        let told: Arc<dyn ReceiptSink> = Arc::<Sink>::clone(&sink);
        let handler = Callbacks::new(&settings, receivers.clone(), told);
        let bind = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener::bind("callbacks", bind, Limits::from(&settings)).expect("binds");
        let address = listener.local_addr().expect("bound");
        let mut serving = JoinSet::new();
        serving.spawn(listener.serve(handler, CancellationToken::new()));
        Self { address, sink, receivers, _serving: serving }
    }

    async fn ask(&self, line: &str, headers: &str, body: &str) -> u16 {
        self.answer(line, headers, body).await.expect("an answer")
    }

    /// Head and body of the answer to a request without a body.
    async fn whole_answer(&self, line: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("connects");
        let request = format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("writes");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer
    }

    /// The status; `None` if the connection was closed without an answer.
    async fn answer(&self, line: &str, headers: &str, body: &str) -> Option<u16> {
        let mut stream = TcpStream::connect(self.address).await.expect("connects");
        let length = body.len();
        let request = format!(
            "{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        );
        let mut answer = String::new();
        // One that was closed at once may end in a reset.
        stream.write_all(request.as_bytes()).await.ok()?;
        stream.read_to_string(&mut answer).await.ok()?;
        answer.get(9..12).and_then(|status| status.parse().ok())
    }

    async fn post(&self, headers: &str, body: &str) -> u16 {
        self.ask("POST /callbacks/tkc", headers, body).await
    }

    fn receipts(&self) -> Vec<Receipt> {
        self.sink.receipts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

const SIGNED: &str = "hmac_sha256 = { header = \"X-Sign\", key = { file = \".rustfmt.toml\" }, prefix = \"sha256=\" }";

fn sign(key: &str, body: &str) -> String {
    hex(&hmac_sha256(key.as_bytes(), &[body.as_bytes()])).to_string()
}

#[tokio::test]
async fn a_receipt_is_acknowledged_when_it_is_durable_and_not_before() {
    let bench = Bench::start(SIGNED);
    let signed = format!("X-Sign: sha256={}\r\n", sign(SECRET, BODY));
    *bench.sink.is_away.lock().expect("whole") = true;
    assert_eq!(bench.post(&signed, BODY).await, 503);
    *bench.sink.is_away.lock().expect("whole") = false;
    assert_eq!(bench.post(&signed, BODY).await, 200);
    assert_eq!(bench.post(&signed, BODY).await, 200, "what comes twice is told twice: the sink knows");
    let receipts = bench.receipts();
    assert_eq!((receipts.len(), receipts[0].state), (2, ReceiptState::Delivered));
    assert_eq!(receipts[0].upstream.as_str(), "tkc");
}

#[tokio::test]
async fn only_who_signs_the_very_bytes_is_heard() {
    let bench = Bench::start(SIGNED);
    let right = sign(SECRET, BODY);
    for headers in [
        String::new(),
        "X-Sign: \r\n".to_owned(),
        format!("X-Sign: {right}\r\n"),
        format!("X-Sign: sha256={}\r\n", sign("another", BODY)),
        format!("X-Sign: sha256={}\r\n", sign(SECRET, "{}")),
        format!("X-Sign: sha256={right}0\r\n"),
        format!("X-Sign: sha256={right}\r\nX-Sign: sha256={right}\r\n"),
    ] {
        assert_eq!(bench.post(&headers, BODY).await, 401, "{headers}");
    }
    let upper = format!("x-sign: sha256={}\r\n", right.to_ascii_uppercase());
    assert_eq!(bench.post(&upper, BODY).await, 200, "hexadecimal digits are the same in both cases");
    assert_eq!(bench.receipts().len(), 1);
}

#[tokio::test]
async fn a_captured_callback_says_nothing_of_another_delivery() {
    let bench = Bench::start(&format!("{SIGNED}\nattempt = \"/ref\""));
    let own = "01997d0a-0000-7000-8000-000000000001-voice";
    let body = format!(r#"{{"ref":"{own}","status":"ok"}}"#);
    let signed = format!("X-Sign: sha256={}\r\n", sign(SECRET, &body));
    for query in
        ["", "?attempt=01997d0a-0000-7000-8000-000000000002-voice", "?ref=01997d0a-0000-7000-8000-000000000002-sms"]
    {
        assert_eq!(bench.ask(&format!("POST /callbacks/tkc{query}"), &signed, &body).await, 200);
    }
    let own = Subject::of_attempt_id(own).expect("reads back");
    assert!(bench.receipts().iter().all(|receipt| receipt.subject == own), "{:?}", bench.receipts());
}

#[tokio::test]
async fn a_token_stands_in_a_header_or_behind_the_question_mark() {
    let path = std::env::temp_dir().join(format!("nexo-callback-{:016x}", rand::random::<u64>()));
    std::fs::write(&path, "t0ken").expect("written");
    let header = Bench::start(&format!("header = {{ name = \"Authorization\", value = {{ file = {path:?} }} }}"));
    let query = Bench::start(&format!("query = {{ name = \"key\", value = {{ file = {path:?} }} }}"));
    std::fs::remove_file(&path).expect("removed");
    assert_eq!(header.post("Authorization: Bearer t0ken\r\n", BODY).await, 200);
    assert_eq!(header.post("Authorization: t0ken\r\n", BODY).await, 200);
    for wrong in ["", "Authorization: Bearer t0keN\r\n", "Authorization: Basic t0ken\r\n", "X-Key: t0ken\r\n"] {
        assert_eq!(header.post(wrong, BODY).await, 401, "{wrong}");
    }
    assert_eq!(query.ask("POST /callbacks/tkc?a=1&key=t0ken", "", BODY).await, 200);
    for wrong in ["/callbacks/tkc", "/callbacks/tkc?key=", "/callbacks/tkc?key=t0ken1", "/callbacks/tkc?Key=t0ken"] {
        assert_eq!(query.ask(&format!("POST {wrong}"), "", BODY).await, 401, "{wrong}");
    }
}

#[tokio::test]
async fn strangers_paths_methods_and_bodies_are_refused() {
    let bench = Bench::start(SIGNED);
    let signed = |body: &str| format!("X-Sign: sha256={}\r\n", sign(SECRET, body));
    for path in ["/", "/callbacks", "/callbacks/", "/callbacks/other", "/callbacks/TKC", "/callbacks/tkc/"] {
        assert_eq!(bench.ask(&format!("POST {path}"), &signed(BODY), BODY).await, 404, "{path}");
    }
    assert_eq!(bench.ask("GET /callbacks/tkc", "", "").await, 405);
    for body in ["", "<html>", "{}", r#"{"id":"x1"}"#] {
        assert_eq!(bench.post(&signed(body), body).await, 400, "{body}");
    }
    for coding in ["gzip", "deflate"] {
        assert_eq!(bench.post(&format!("{}Content-Encoding: {coding}\r\n", signed(BODY)), BODY).await, 415);
        assert_eq!(bench.post(&format!("Content-Encoding: {coding}\r\n"), BODY).await, 401);
    }
    let long = "x".repeat(65_537);
    assert_eq!(bench.post(&signed(&long), &long).await, 413);
    assert!(bench.receipts().is_empty());
}

#[tokio::test]
async fn only_the_providers_own_addresses_may_call() {
    let elsewhere = format!("{SIGNED}\nallow = [\"203.0.113.0/24\"]");
    let signed = format!("X-Sign: sha256={}\r\n", sign(SECRET, BODY));
    let proxied = Bench::behind(&["127.0.0.0/8"], &elsewhere);
    assert_eq!(proxied.post(&signed, BODY).await, 403);
    for forged in ["CF-Connecting-IP", "Cloudflare-Connecting-IP", "X-Real-IP"] {
        let forged = format!("{signed}{forged}: 203.0.113.9\r\nX-Forwarded-For: 198.51.100.1\r\n");
        assert_eq!(proxied.post(&forged, BODY).await, 403, "{forged}");
    }
    let forwarded = format!("{signed}X-Forwarded-For: 203.0.113.9\r\n");
    assert_eq!(proxied.post(&forwarded, BODY).await, 200);
    let direct = Bench::start(&elsewhere);
    let line = "POST /callbacks/tkc";
    assert_eq!(direct.answer(line, &forwarded, BODY).await, None, "nobody has said that the peer is a proxy");
    direct.receivers.replace([]);
    assert_eq!(direct.answer(line, &signed, BODY).await, Some(404), "nobody is told apart where there is nobody");
    let from_here = Bench::start(&format!("{SIGNED}\nallow = [\"127.0.0.0/8\"]"));
    assert_eq!(from_here.post(&signed, BODY).await, 200);
}

#[tokio::test]
async fn an_upstream_that_is_taken_away_is_heard_no_more() {
    let bench = Bench::start(SIGNED);
    let signed = format!("X-Sign: sha256={}\r\n", sign(SECRET, BODY));
    assert_eq!(bench.post(&signed, BODY).await, 200);
    bench.receivers.replace([]);
    assert_eq!(bench.post(&signed, BODY).await, 404);
}

#[tokio::test]
async fn one_stranger_does_not_close_the_door_to_providers() {
    let bench = Bench::start(SIGNED);
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(bench.address).await.expect("connects");
        stream.write_all(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await.expect("writes");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.expect("an answer");
        held.push(stream);
    }
    let signed = format!("X-Sign: sha256={}\r\n", sign(SECRET, BODY));
    assert_eq!(bench.answer("POST /callbacks/tkc", &signed, BODY).await, None, "its share is taken");
    let other = TcpSocket::new_v4().expect("a socket");
    other.bind(SocketAddr::from(([127, 0, 0, 2], 0))).expect("another address of this machine");
    let mut other = other.connect(bench.address).await.expect("connects");
    let length = BODY.len();
    let request = format!("POST /callbacks/tkc HTTP/1.1\r\nHost: a\r\n{signed}Content-Length: {length}\r\n\r\n{BODY}");
    other.write_all(request.as_bytes()).await.expect("writes");
    let mut answer = [0; 12];
    other.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200");
    drop(held);
}

/// Many receipts come over one connection, and some callers are strangers: none of them has to connect anew.
#[tokio::test]
async fn a_refused_callback_keeps_its_connection() {
    let bench = Bench::start(SIGNED);
    let mut stream = TcpStream::connect(bench.address).await.expect("connects");
    let (signed, long) = (format!("X-Sign: sha256={}\r\n", sign(SECRET, BODY)), "x".repeat(8_192));
    for (path, headers, body, status) in [
        ("tkc", "", long.as_str(), "401"),
        ("other", "", BODY, "404"),
        ("tkc", &format!("{signed}Content-Encoding: gzip\r\n"), BODY, "415"),
        ("tkc", &signed, BODY, "200"),
    ] {
        let length = body.len();
        let request =
            format!("POST /callbacks/{path} HTTP/1.1\r\nHost: a\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).await.expect("writes");
        let mut answer = String::new();
        while !answer.ends_with('}') {
            let mut piece = [0; 1_024];
            let count = stream.read(&mut piece).await.expect("reads");
            assert_ne!(count, 0, "closed after {answer:?}");
            answer.push_str(std::str::from_utf8(&piece[..count]).expect("text"));
        }
        assert_eq!(answer.get(9..12), Some(status), "{answer}");
        assert!(status != "415" || answer.contains("Content-Encoding"), "{answer}");
    }
}
