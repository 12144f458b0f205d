//! The edge on raw sockets: what hyper accepts, holds open or drops by default and this listener does not.
//!
//! Time-outs under test are short and all others an hour, so that what happens is what is named; nothing sleeps.

mod bench;
mod ends;
mod framing;

use bench::{Bench, HOUR, SHORT};

use super::Limits;

fn limits() -> Limits {
    Limits { first_byte: HOUR, header_read: HOUR, body_read: HOUR, idle: HOUR, write: HOUR, ..Limits::default() }
}

#[tokio::test]
async fn a_silent_connection_is_closed() {
    let bench = Bench::start(Limits { first_byte: SHORT, ..limits() });
    assert_eq!(bench.connect().await.rest().await, "");
}

#[tokio::test]
async fn a_partial_head_is_closed() {
    let bench = Bench::start(Limits { header_read: SHORT, ..limits() });
    let mut client = bench.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ").await;
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn a_connection_that_is_idle_after_an_answer_is_closed() {
    let bench = Bench::start(Limits { idle: SHORT, ..limits() });
    let mut client = bench.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 200);
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn a_stalled_body_is_answered_and_closed() {
    let bench = Bench::start(Limits { body_read: SHORT, ..limits() });
    let mut client = bench.connect().await;
    client.send("POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (400, Some("close")));
    assert!(answer.body.contains("did not come in time"), "{}", answer.body);
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn a_peer_that_does_not_take_its_answer_is_cut() {
    let bench = Bench::start(Limits { write: SHORT, ..limits() });
    let mut client = bench.connect().await;
    client.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n").await;
    bench.finished().await;
    // The drain waits for connections that are open: it ends because this one is cut.
    bench.stop().await;
    drop(client);
}

#[tokio::test]
async fn a_declared_length_past_the_limit_is_refused_unread() {
    let bench = Bench::start(limits());
    for head in ["", "Expect: 100-continue\r\n"] {
        let mut client = bench.connect().await;
        client.send(&format!("POST /read HTTP/1.1\r\nHost: a\r\n{head}Content-Length: 4097\r\n\r\n")).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.header("connection")), (413, Some("close")));
        client.close_write().await;
        assert_eq!(client.rest().await, "");
    }
}

#[tokio::test]
async fn a_peer_that_is_still_sending_reads_its_answer() {
    let bench = Bench::start(limits());
    let mut client = bench.connect().await;
    client.send("POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n").await;
    client.send(&"x".repeat(200_000)).await;
    assert_eq!(client.answer().await.status, 413);
    client.close_write().await;
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn a_chunked_body_is_read_up_to_the_limit() {
    let bench = Bench::start(limits());
    let mut client = bench.connect().await;
    client
        .send("POST /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.body, "5 bytes");
    client.send("POST /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let chunk = format!("800\r\n{}\r\n", "x".repeat(0x800));
    client.send(&format!("{chunk}{chunk}1\r\nx\r\n")).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (413, Some("close")));
}

#[tokio::test]
async fn an_answer_with_an_unread_body_ends_the_connection() {
    let bench = Bench::start(limits());
    let mut client = bench.connect().await;
    client
        .send("POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (404, Some("close")));
    client.close_write().await;
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn heads_that_are_too_large_are_told_so() {
    let bench = Bench::start(limits());
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(16 * 1024));
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(64));
    for head in [long, many] {
        let mut client = bench.connect().await;
        client.send(&head).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.header("connection")), (431, Some("close")));
        assert!(answer.body.contains(r#""error":"headers_too_large""#), "{}", answer.body);
        client.close_write().await;
        assert_eq!(client.rest().await, "");
    }
    let most = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(63));
    let mut client = bench.connect().await;
    client.send(&most).await;
    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test]
async fn caps_close_what_comes_too_much() {
    for limits in [Limits { connections_max: 1, ..limits() }, Limits { connections_per_ip_max: 1, ..limits() }] {
        let bench = Bench::start(limits);
        let mut first = bench.connect().await;
        first.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(first.answer().await.status, 200);
        assert_eq!(bench.connect().await.rest().await, "");
        first.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(first.answer().await.status, 200);
    }
}
