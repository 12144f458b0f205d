//! How requests and connections end: clients that leave, handlers that fail, a listener that drains.

use tokio::net::TcpStream;

use super::bench::{Bench, SHORT};
use super::{Limits, limits};

const HOLD: &str = "POST /hold HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn a_handler_runs_to_its_end_when_its_client_is_gone() {
    let bench = Bench::start(limits());
    let mut client = bench.connect().await;
    client.send(HOLD).await;
    bench.began().await;
    drop(client);
    // Another connection is served meanwhile: the listener has had every chance to notice.
    let mut other = bench.connect().await;
    other.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(other.answer().await.status, 200);
    bench.open_gate();
    bench.finished().await;
}

#[tokio::test]
async fn a_handler_runs_to_its_end_though_every_clock_of_the_edge_ran_out() {
    let bench = Bench::start(Limits {
        first_byte: SHORT,
        header_read: SHORT,
        body_read: SHORT,
        idle: SHORT,
        write: SHORT,
        ..limits()
    });
    let mut client = bench.connect().await;
    client.send(HOLD).await;
    bench.began().await;
    // Silent connections that came later are cut meanwhile.
    for _ in 0..3 {
        assert_eq!(bench.connect().await.rest().await, "");
    }
    bench.open_gate();
    assert_eq!(client.answer().await.body, "held");
}

#[tokio::test]
async fn a_client_that_has_said_all_still_gets_its_answer() {
    let bench = Bench::start(limits());
    let mut client = bench.connect().await;
    client.send(HOLD).await;
    client.close_write().await;
    bench.began().await;
    bench.open_gate();
    assert_eq!(client.answer().await.body, "held");
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn a_panic_is_an_answer() {
    let bench = Bench::start(limits());
    let mut client = bench.connect().await;
    client.send("GET /panic HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = client.answer().await;
    assert!(answer.status == 500 && answer.body.contains(r#""error":"internal""#), "{answer:?}");
    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test]
async fn a_drain_closes_what_is_idle_and_answers_what_has_begun() {
    let bench = Bench::start(limits());
    let (mut idle, mut new, mut busy) = (bench.connect().await, bench.connect().await, bench.connect().await);
    idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(idle.answer().await.header("connection"), None);
    busy.send(HOLD).await;
    bench.began().await;
    bench.stopping.cancel();
    assert_eq!(idle.rest().await, "");
    assert_eq!(new.rest().await, "");
    assert!(TcpStream::connect(bench.address).await.is_err(), "nothing is accepted any more");
    bench.open_gate();
    let answer = busy.answer().await;
    assert_eq!((answer.body.as_str(), answer.header("connection")), ("held", Some("close")));
    bench.stop().await;
    assert_eq!(busy.rest().await, "");
}

#[tokio::test]
async fn a_sane_request_id_comes_back_and_others_are_replaced() {
    let bench = Bench::start(limits());
    let mut client = bench.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine-1\r\n\r\n").await;
    assert_eq!(client.answer().await.header("x-request-id"), Some("mine-1"));
    client.send("GET /nowhere HTTP/1.1\r\nHost: a\r\nX-Request-Id: not sane\r\n\r\n").await;
    let answer = client.answer().await;
    let id = answer.header("x-request-id").expect("an id");
    assert!(id != "not sane" && answer.body.contains(&format!(r#""request_id":"{id}""#)), "{answer:?}");
}
