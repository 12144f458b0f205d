//! Answers that are too much: without end, without sense, or larger than they look. What is read and kept has its number.

use super::receiver::Receiver;
use super::*;
use crate::domain::webhook::Fault;
use crate::webhook::exchange::exchange_text;

#[tokio::test]
async fn of_an_endless_body_little_is_read_and_less_is_kept() {
    let written = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = written.clone();
    let receiver = Receiver::start(move |mut guest| {
        let counted = counted.clone();
        async move {
            guest.request().await;
            guest.say("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n").await;
            let piece = vec![b'a'; 16 * 1024];
            while guest.say(&piece).await {
                counted.fetch_add(16 * 1024, std::sync::atomic::Ordering::Relaxed);
            }
            counted.fetch_add(1 << 40, std::sync::atomic::Ordering::Relaxed);
        }
    })
    .await;
    let mut line = line(&config(), &receiver.url());
    let exchange = within(line.post(&post(&receiver.url()))).await;
    assert_eq!(exchange.outcome, Ok(200), "the status counts: {exchange:?}");
    assert_eq!(exchange.response, vec![b'a'; 4 * 1024]);
    assert!(!line.is_open(), "what was not read is not the next answer");
    let closed = async {
        while written.load(std::sync::atomic::Ordering::Relaxed) < 1 << 40 {
            tokio::task::yield_now().await;
        }
    };
    within(closed).await;
    let written = written.load(std::sync::atomic::Ordering::Relaxed) - (1 << 40);
    assert!(written < 32 * 1024 * 1024, "only what sockets buffer was written: {written}");
}

/// What is neither head nor body is read to an end too, long before the deadline.
#[tokio::test]
async fn what_says_nothing_at_full_speed_is_cut() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (start, again) in [
        ("", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
        (chunked, "0"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1", " "),
    ] {
        let (told, mut written) = tokio::sync::mpsc::channel(1);
        let receiver = Receiver::start(move |mut guest| {
            let told = told.clone();
            async move {
                guest.request().await;
                guest.say(start).await;
                let piece = again.repeat(16 * 1024 / again.len());
                let mut count = 0;
                while guest.say(&piece).await {
                    count += piece.len();
                }
                let _ = told.send(count).await;
            }
        })
        .await;
        let config = WebhooksConfig { timeout_ms: 10_000, ..config() };
        let exchange = sent(&config, &receiver.url()).await;
        assert_eq!(exchange.outcome, Err(Fault::Protocol), "{again:?}: {exchange:?}");
        let written = within(written.recv()).await.expect("told");
        assert!(written < 32 * 1024 * 1024, "{again:?}: only what sockets buffer was written: {written}");
    }
}

#[tokio::test]
async fn a_body_in_the_smallest_chunks_is_read() {
    let chunks = "1\r\na\r\n".repeat(16 * 1024);
    let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\nX: trailer\r\n\r\n");
    let receiver = Receiver::answering(answer).await;
    let mut line = line(&WebhooksConfig { timeout_ms: 10_000, ..config() }, &receiver.url());
    let exchange = within(line.post(&post(&receiver.url()))).await;
    assert_eq!((exchange.outcome, exchange.response.len()), (Ok(200), 4 * 1024), "{exchange:?}");
    assert!(line.is_open(), "it was read to its end");
}

/// What is shown grows by becoming text: it is cut after that.
#[tokio::test]
async fn what_is_kept_of_an_answer_is_bounded_as_text_too() {
    for (byte, text) in [(0xff_u8, "\u{fffd}"), (0x1b, "\u{1b}")] {
        let answer = [b"HTTP/1.1 500 Oh\r\nContent-Length: 8192\r\n\r\n".to_vec(), vec![byte; 8_192]].concat();
        let receiver = Receiver::answering(answer).await;
        let exchange = sent(&config(), &receiver.url()).await;
        let shown = String::from_utf8(exchange_text(&post(&receiver.url()), &exchange)).expect("text");
        let (_, said) = shown.split_once("\n\nHTTP 500\n").expect("a status");
        assert!(said.len() <= 4 * 1024 && said.len() > 4 * 1024 - 4, "{}", said.len());
        assert_eq!(said, text.repeat(said.len() / text.len()));
    }
}

#[tokio::test]
async fn a_gzip_bomb_is_not_unpacked() {
    // A gzip header and a block that would repeat its byte for long.
    let bomb = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xed\xc1\x01\x0d\x00\x00\x00\xc2\xa0\xf7\x4f\x6d\x0e\x37\xa0";
    let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", bomb.len());
    let receiver = Receiver::answering([head.as_bytes(), bomb].concat()).await;
    let exchange = sent(&config(), &receiver.url()).await;
    assert_eq!((exchange.outcome, exchange.response.as_slice()), (Ok(200), &bomb[..]));
}

#[tokio::test]
async fn a_head_without_end_is_cut() {
    let receiver = Receiver::start(|mut guest| async move {
        guest.request().await;
        guest.say("HTTP/1.1 200 OK\r\nX: ").await;
        while guest.say([b'y'; 1024]).await {}
    })
    .await;
    assert_eq!(sent(&config(), &receiver.url()).await.outcome, Err(Fault::Protocol));
}
