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
    for head in
        ["Content-Length: 65537\r\n", "Expect: 100-continue\r\nContent-Length: 4097\r\n", "Content-Length: 4097\r\n"]
    {
        let mut client = bench.connect().await;
        client.send(&format!("POST /read HTTP/1.1\r\nHost: a\r\n{head}\r\n")).await;
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
async fn an_answer_before_the_body_keeps_the_connection() {
    let bench = Bench::start(limits());
    let mut client = bench.connect().await;
    let chunked =
        format!("Transfer-Encoding: chunked\r\n\r\n1000\r\n{}\r\n0\r\nX-Trailer: y\r\n\r\n", "x".repeat(0x1000));
    for (status, body) in [
        (404, "Content-Length: 3\r\n\r\nabc".to_owned()),
        (404, format!("Content-Length: 4096\r\n\r\n{}", "x".repeat(4_096))),
        (404, chunked),
        (413, format!("Content-Length: 4097\r\n\r\n{}", "x".repeat(4_097))),
        (413, format!("Content-Length: 65536\r\n\r\n{}", "x".repeat(65_536))),
    ] {
        client.send(&format!("POST /nowhere HTTP/1.1\r\nHost: a\r\n{body}")).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.header("connection")), (status, None));
        assert_eq!(client.answer().await.body, "hello", "the body is no request");
    }
    // It comes after its head, and is asked for if its sender waits for that.
    client.send("POST /nowhere HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n").await;
    assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("abc").await;
    assert_eq!(client.answer().await.status, 404);
    client.send("POST /panic HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc").await;
    assert_eq!(client.answer().await.status, 500);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.answer().await.body, "hello");
}

#[tokio::test]
async fn an_answer_whose_body_does_not_come_or_has_no_end_closes_the_connection() {
    let bench = Bench::start(Limits { body_read: SHORT, ..limits() });
    let endless = format!("Transfer-Encoding: chunked\r\n\r\n1001\r\n{}\r\n", "x".repeat(0x1001));
    for body in ["Content-Length: 3\r\n\r\nab".to_owned(), endless, "Content-Length: 4097\r\n\r\n".to_owned()] {
        let mut client = bench.connect().await;
        client.send(&format!("POST /nowhere HTTP/1.1\r\nHost: a\r\n{body}")).await;
        assert_eq!(client.answer().await.header("connection"), Some("close"), "{body:.50}");
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        client.close_write().await;
        assert_eq!(client.rest().await, "", "{body:.50}");
    }
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
