//! Answers that nobody has asked for: what a receiver says too early or too much is never taken for the next answer.

use super::receiver::Receiver;
use super::*;
use crate::domain::webhook::Fault;

const NEXT: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";

/// The first connection says `first` at once, and `later` a moment after; every other one answers 418 to each request.
async fn receiver(first: String, later: &'static str) -> Receiver {
    Receiver::start(move |mut guest| {
        let first = first.clone();
        async move {
            guest.request().await;
            if guest.number == 0 {
                guest.say(&first).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
                guest.say(later).await;
                while guest.request().await {}
                return;
            }
            guest.say("HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n\r\n").await;
            guest.request().await;
        }
    })
    .await
}

#[tokio::test]
async fn a_second_answer_behind_the_first_is_not_the_next_ones() {
    for (what, first) in [
        ("behind a length", format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok{NEXT}")),
        ("behind no body", format!("HTTP/1.1 204 No Content\r\n\r\n{NEXT}")),
        ("behind a body that may not be", format!("HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok{NEXT}")),
        (
            "behind the last chunk",
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n{NEXT}"),
        ),
        (
            "behind trailers",
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 9\r\n\r\n{NEXT}"),
        ),
        (
            "between two framings",
            format!("HTTP/1.1 200 OK\r\nContent-Length: 200\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{NEXT}"),
        ),
        ("in HTTP/1.0", format!("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok{NEXT}")),
        ("half of it", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 O".to_owned()),
        ("a single byte", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\n".to_owned()),
    ] {
        let receiver = receiver(first, "").await;
        let mut line = line(&config(), &receiver.url());
        let exchange = within(line.post(&post(&receiver.url()))).await;
        assert!(exchange.outcome.is_ok(), "{what}: {exchange:?}");
        assert!(!line.is_open(), "{what}");
        let exchange = within(line.post(&post(&receiver.url()))).await;
        assert_eq!(exchange.status, Some(418), "{what}: {exchange:?}");
        assert_eq!(receiver.seen.all().len(), 2, "{what}: each was sent once");
    }
}

#[tokio::test]
async fn an_answer_that_comes_while_nobody_asks_ends_its_connection() {
    for first in ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 204 No Content\r\n\r\n"] {
        let receiver = receiver(first.to_owned(), NEXT).await;
        let mut line = line(&config(), &receiver.url());
        assert!(within(line.post(&post(&receiver.url()))).await.outcome.is_ok());
        assert!(line.is_open());
        tokio::time::sleep(Duration::from_millis(60)).await;
        let exchange = within(line.post(&post(&receiver.url()))).await;
        assert_eq!(exchange.status, Some(418), "{exchange:?}");
    }
}

/// Who answers before it has been asked has not heard the event.
#[tokio::test]
async fn an_answer_before_the_request_accepts_nothing() {
    let receiver = Receiver::start(|mut guest| async move {
        guest.say(NEXT).await;
        guest.request().await;
    })
    .await;
    for _ in 0..10 {
        let exchange = sent(&config(), &receiver.url()).await;
        // It is the receiver's own event: if its answer crosses the request on the wire, nobody can tell.
        assert!(matches!(exchange.outcome, Err(Fault::Protocol) | Ok(200)), "{exchange:?}");
    }
    let count = receiver.seen.all().len();
    assert!(count <= 10, "{count}");
}

#[tokio::test]
async fn old_http_is_kept_open_only_if_it_says_so() {
    for (head, open) in [
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n", false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n", true),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive, close\r\n\r\n", false),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close, keep-alive\r\n\r\n", false),
    ] {
        let receiver = Receiver::answering(format!("{head}ok")).await;
        let mut line = line(&config(), &receiver.url());
        let exchange = within(line.post(&post(&receiver.url()))).await;
        assert_eq!((exchange.outcome, exchange.response.as_slice()), (Ok(200), &b"ok"[..]), "{head}: {exchange:?}");
        assert_eq!(line.is_open(), open, "{head}");
    }
}
