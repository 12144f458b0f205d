//! Heads that leave it open where a message ends, or whose it is.

use super::bench::Bench;
use super::limits;

/// Sends `text` on a connection of its own; the answer must be 400, must end the connection and must have reached no
/// handler, nor may anything that follows.
async fn is_refused(text: &str) {
    let bench = Bench::start(limits());
    let mut client = bench.connect().await;
    client.send(text).await;
    client.send("GET / HTTP/1.1\r\nHost: smuggled\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (400, Some("close")), "{text}");
    assert!(answer.body.contains(r#""error":"invalid_request""#), "{}", answer.body);
    assert!(answer.header("x-request-id").is_some_and(|id| answer.body.contains(id)), "{answer:?}");
    client.close_write().await;
    assert_eq!(client.rest().await, "", "{text}");
    assert_eq!(bench.calls(), 0, "{text}");
}

#[tokio::test]
async fn transfer_encoding_beside_content_length_is_refused() {
    is_refused("POST /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n")
        .await;
    is_refused("POST /read HTTP/1.1\r\nHost: a\r\ncontent-length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        .await;
}

#[tokio::test]
async fn transfer_encoding_beside_content_length_is_refused_in_any_place_of_the_stream() {
    let bench = Bench::start(limits());
    let mut client = bench.connect().await;
    client
        .send("POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcPOST /read HTTP/1.1\r\nHost: a\r\nCont")
        .await;
    assert_eq!(client.answer().await.body, "3 bytes");
    client.send("ent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 400);
    assert_eq!(bench.calls(), 1);
}

#[tokio::test]
async fn two_different_content_lengths_are_refused() {
    is_refused("POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc").await;
}

#[tokio::test]
async fn a_missing_host_is_refused() {
    is_refused("GET / HTTP/1.1\r\nX: y\r\n\r\n").await;
    is_refused("GET http://a/ HTTP/1.1\r\n\r\n").await;
}

/// What load balancers' health checks send: HAProxy's `option httpchk` without more is HTTP/1.0 and bears no `Host`.
#[tokio::test]
async fn http_1_0_is_answered_without_a_host() {
    let bench = Bench::start(limits());
    for head in ["GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0\r\nHost: a\r\n\r\n"] {
        let mut client = bench.connect().await;
        client.send(head).await;
        assert_eq!(client.answer().await.body, "hello", "{head}");
        assert_eq!(client.rest().await, "", "a connection of HTTP/1.0 ends with its answer");
    }
    let mut client = bench.connect().await;
    for _ in 0..2 {
        client.send("POST /read HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nab").await;
        let answer = client.answer().await;
        assert_eq!((answer.body.as_str(), answer.header("connection")), ("2 bytes", Some("keep-alive")));
    }
}

#[tokio::test]
async fn two_hosts_are_refused() {
    is_refused("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").await;
    is_refused("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n").await;
    is_refused("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n").await;
}

#[tokio::test]
async fn only_chunked_is_a_transfer_encoding() {
    for encoding in
        ["identity, chunked", "gzip", "chunked, chunked", "xchunked", "chunked\r\nTransfer-Encoding: chunked"]
    {
        is_refused(&format!("POST /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {encoding}\r\n\r\n0\r\n\r\n")).await;
    }
}

#[tokio::test]
async fn what_is_not_http_is_told_so() {
    is_refused("\u{1}\u{2}\u{3} hello\r\n\r\n").await;
    is_refused("GET / HTTP/1.1\r\nHost : a\r\n\r\n").await;
    is_refused("GET / HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n").await;
    is_refused("POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc").await;
}

#[tokio::test]
async fn bare_line_feeds_end_lines_as_the_rfc_allows() {
    let bench = Bench::start(limits());
    let mut client = bench.connect().await;
    client.send("GET / HTTP/1.1\nHost: a\n\n").await;
    assert_eq!(client.answer().await.body, "hello");
}

#[tokio::test]
async fn requests_sent_at_once_are_answered_in_order() {
    let bench = Bench::start(limits());
    let mut client = bench.connect().await;
    client
        .send(concat!(
            "GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: one\r\n\r\n",
            "POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nX-Request-Id: two\r\n\r\nab",
            "GET /nowhere HTTP/1.1\r\nHost: a\r\nX-Request-Id: three\r\n\r\n",
            "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Request-Id: four\r\n\r\n",
        ))
        .await;
    for (id, status, body) in [("one", 200, "hello"), ("two", 200, "2 bytes"), ("three", 404, "")] {
        let answer = client.answer().await;
        assert_eq!((answer.header("x-request-id"), answer.status), (Some(id), status));
        assert!(answer.body.starts_with(body));
    }
    let head = client.head().await;
    assert!(head.contains("x-request-id: four\r\n") && head.contains("content-length: 5\r\n"), "{head}");
    assert_eq!(client.rest().await, "", "HEAD has no body");
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_go_on() {
    let bench = Bench::start(limits());
    let mut client = bench.connect().await;
    client.send("POST /read HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n").await;
    assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("ab").await;
    assert_eq!(client.answer().await.body, "2 bytes");
}

#[tokio::test]
async fn the_preface_of_http2_gets_no_answer() {
    let bench = Bench::start(limits());
    let mut client = bench.connect().await;
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    client.close_write().await;
    assert!(!client.rest().await.contains("200"));
    assert_eq!(bench.calls(), 0);
}
