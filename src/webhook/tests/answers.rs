//! Answers that are late, broken or evil, and those that are fine.

use proptest::prelude::*;

use super::receiver::Receiver;
use super::*;
use crate::domain::webhook::Fault;
use crate::webhook::exchange::exchange_text;

#[tokio::test]
async fn a_post_arrives_as_it_is_shown_and_a_2xx_accepts_it() {
    let receiver = Receiver::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthanks?").await;
    let exchange = sent(&config(), &receiver.url()).await;
    assert_eq!((exchange.outcome, exchange.status), (Ok(200), Some(200)));
    assert_eq!(exchange.response, b"thank");
    let head = format!(
        "POST /hook HTTP/1.1\n\
         Host: 127.0.0.1:{}\n\
         Content-Type: application/json\n\
         User-Agent: NEXO-ROUTE/1.0\n\
         X-Nexo-Signature: {}\n\
         X-Nexo-Event-Type: otp.delivered\n\
         X-Nexo-Delivery-Id: 11111111-1111-1111-1111-111111111111\n\
         Webhook-Id: evt_11111111-1111-1111-1111-111111111111\n\
         Webhook-Timestamp: 1779703225\n\
         Webhook-Signature: {}\n\
         Accept-Encoding: identity\n\
         Content-Length: 24\n",
        receiver.port,
        keys().current.seed_signature(KeyForm::Raw, BODY),
        keys().current.standard_signature("evt_11111111-1111-1111-1111-111111111111", 1_779_703_225, BODY),
    );
    let body = std::str::from_utf8(BODY).expect("text");
    assert_eq!(receiver.seen.all(), [format!("{}\r\n{body}", head.replace('\n', "\r\n"))]);
    let text = exchange_text(&post(&receiver.url()), &exchange);
    assert_eq!(String::from_utf8(text).expect("text"), format!("{head}\nHTTP 200\nthank"));
    let phases = exchange.phases;
    assert!(phases.wait_us > 0 && phases.connect_us > 0 && phases.tls_us == 0, "{phases:?}");
    assert!(phases.total_us >= phases.wait_us + phases.connect_us + phases.dns_us, "{phases:?}");
}

#[test]
fn a_rotation_signs_with_both_keys_and_the_seeds_header_with_the_old_one() {
    let old = SigningKey::from_bytes([2; 32]);
    let keys = Keys { old: Some(old.clone()), form: KeyForm::Hex, ..keys() };
    let url = url("https://example.com/a?b=%41");
    let delivery = DeliveryId::from_bytes([0x11; 16]);
    for (seed_key, signer) in [(SeedKey::Rotating, &old), (SeedKey::Current, &keys.current)] {
        let post = signed(&url, &keys, EventType::Test, delivery, 7, BODY.to_vec(), seed_key);
        let id = "evt_11111111-1111-1111-1111-111111111111";
        let both = [&keys.current, &old].map(|key| key.standard_signature(id, 7, BODY)).join(" ");
        let head = post.head();
        assert!(head.starts_with("POST /a?b=%41 HTTP/1.1\nHost: example.com\n"), "{head}");
        assert!(head.contains(&format!("X-Nexo-Signature: {}\n", signer.seed_signature(KeyForm::Hex, BODY))), "{head}");
        assert!(head.contains(&format!("Webhook-Signature: {both}\n")), "{head}");
        assert!(head.contains("X-Nexo-Event-Type: otp.test\n"), "{head}");
    }
}

#[tokio::test]
async fn only_2xx_accepts() {
    for (status, outcome) in [
        ("200 OK", Ok(200)),
        ("204 No Content", Ok(204)),
        ("299 Whatever", Ok(299)),
        ("300 Multiple Choices", Err(Fault::Status)),
        ("304 Not Modified", Err(Fault::Status)),
        ("401 Unauthorized", Err(Fault::Status)),
        ("500 Oh No", Err(Fault::Status)),
        ("999 Strange", Err(Fault::Status)),
        ("101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade", Err(Fault::Status)),
    ] {
        let receiver = Receiver::answering(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")).await;
        let exchange = sent(&config(), &receiver.url()).await;
        assert_eq!(exchange.outcome, outcome, "{status} {exchange:?}");
        assert_eq!(exchange.status.map(|code| code.to_string()).as_deref(), status.get(..3));
    }
}

#[tokio::test]
async fn a_slow_head_ends_at_the_deadline() {
    for (start, byte) in [("", b'\n'), ("HTTP/1.1 200 ", b'O'), ("HTTP/1.1 200 OK\r\nX: ", b'0')] {
        let receiver = Receiver::start(move |mut guest| async move {
            guest.request().await;
            guest.say(start).await;
            guest.trickle(byte).await;
        })
        .await;
        let exchange = sent(&config(), &receiver.url()).await;
        assert_eq!((exchange.outcome, exchange.status), (Err(Fault::Timeout), None), "{start:?} {exchange:?}");
    }
    let silent = Receiver::answering("").await;
    let exchange = sent(&config(), &silent.url()).await;
    assert_eq!((exchange.outcome, exchange.status), (Err(Fault::Timeout), None));
    assert!(exchange.phases.wait_us >= 200_000 && exchange.phases.total_us >= 300_000, "{exchange:?}");
    let text = exchange_text(&post(&silent.url()), &exchange);
    assert!(String::from_utf8_lossy(&text).ends_with("\n\nno answer: the deadline passed\n"));
}

#[tokio::test]
async fn informational_answers_without_end_end_at_the_deadline() {
    let receiver = Receiver::start(|mut guest| async move {
        guest.request().await;
        while guest.say("HTTP/1.1 100 Continue\r\n\r\n").await {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let exchange = sent(&config(), &receiver.url()).await;
    assert_eq!((exchange.outcome, exchange.status), (Err(Fault::Timeout), None));
}

proptest! {
    /// What the registration has let in can be sent to: nothing of it breaks the request, or adds a line to it.
    #[test]
    fn every_url_that_is_read_makes_a_request(text in "(?i)https?://[a-z0-9.:_-]{1,20}[/?]?[!-~]{0,60}") {
        if let Ok(url) = EndpointUrl::parse(&text) {
            let delivery = DeliveryId::from_bytes([0x11; 16]);
            let post = signed(&url, &keys(), EventType::Test, delivery, 7, BODY.to_vec(), SeedKey::Current);
            prop_assert_eq!(post.head().lines().count(), 12);
            prop_assert_eq!(post.request().uri().to_string(), url.target());
            let shown = format!("{post:?}");
            prop_assert!(!shown.contains("otp.delivered") && !shown.contains("http"), "{}", shown);
        }
    }
}

#[tokio::test]
async fn a_slow_body_ends_at_the_deadline_though_its_status_was_fine() {
    for head in ["Content-Length: 1000000\r\n\r\n", "Connection: close\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n1;"]
    {
        let receiver = Receiver::start(move |mut guest| async move {
            guest.request().await;
            guest.say(format!("HTTP/1.1 200 OK\r\n{head}")).await;
            guest.trickle(b'a').await;
        })
        .await;
        let exchange = sent(&config(), &receiver.url()).await;
        assert_eq!((exchange.outcome, exchange.status), (Err(Fault::Timeout), Some(200)), "{head} {exchange:?}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = Receiver::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    for status in [301, 302, 303, 307, 308] {
        let answer = format!("HTTP/1.1 {status} Go\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", other.url());
        let receiver = Receiver::answering(answer).await;
        let exchange = sent(&config(), &receiver.url()).await;
        assert_eq!((exchange.outcome, exchange.status), (Err(Fault::Status), Some(status)));
    }
    assert!(other.seen.all().is_empty());
}

#[tokio::test]
async fn a_connection_that_ends_early_is_a_reset_at_every_stage() {
    for (stage, said) in [(0, ""), (1, ""), (2, "HTTP/1.1 20"), (3, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")]
    {
        for orderly in [true, false] {
            let receiver = Receiver::start(move |mut guest| async move {
                if stage > 0 {
                    guest.request().await;
                    guest.say(said).await;
                }
                if !orderly {
                    guest.reset();
                }
            })
            .await;
            let exchange = sent(&config(), &receiver.url()).await;
            assert_eq!(exchange.outcome, Err(Fault::Reset), "stage {stage}, orderly {orderly}: {exchange:?}");
            assert!(receiver.seen.all().len() <= 1, "never sent again");
        }
    }
}

/// Whoever answers so has the event: it is no failure, and is not sent again.
#[tokio::test]
async fn a_2xx_counts_however_its_head_is_written() {
    let many: String = (0..2_000).map(|n| format!("X-{n}: {:020}\r\n", n)).collect();
    let long = format!("Content-Security-Policy: {}\r\n", "y".repeat(64 * 1024 - 100));
    for head in [
        "Server : a\r\n",
        "Server \t: a\r\n",
        "X-Folded: one\r\n two\r\n\tthree\r\n",
        "X-Folded:\r\n one\r\n",
        &many,
        &long,
        &format!("{}X-Folded: one\r\n two\r\nServer : a\r\n", many),
    ] {
        let receiver = Receiver::answering(format!("HTTP/1.1 200 OK\r\n{head}Content-Length : 2\r\n\r\nok")).await;
        let mut line = line(&config(), &receiver.url());
        let exchange = within(line.post(&post(&receiver.url()))).await;
        assert_eq!((exchange.outcome, exchange.response.as_slice()), (Ok(200), &b"ok"[..]), "{head:.60} {exchange:?}");
        assert!(line.is_open(), "{head:.60}: and its connection is kept");
    }
}

#[tokio::test]
async fn what_is_no_http_is_a_protocol_fault() {
    let many = "X: y\r\n".repeat(2_049);
    let huge = format!("X: {}\r\n", "y".repeat(64 * 1024));
    for answer in [
        "SSH-2.0-OpenSSH_9.9\r\n\r\n".to_owned(),
        "HTTP/1.1 abc\r\n\r\n".to_owned(),
        "HTTP/2.0 200 OK\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nX\0: y\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\n{many}\r\n"),
        format!("HTTP/1.1 200 OK\r\n{huge}\r\n"),
    ] {
        let receiver = Receiver::answering(answer.clone()).await;
        let exchange = sent(&config(), &receiver.url()).await;
        assert_eq!(exchange.outcome, Err(Fault::Protocol), "{answer:.60} {exchange:?}");
        assert!(!exchange.detail.is_empty());
    }
}

#[tokio::test]
async fn retry_after_is_read_and_clamped() {
    for (headers, seconds) in [
        ("Retry-After: 120", Some(120)),
        ("Retry-After: 0", Some(0)),
        ("Retry-After: 99999999999999999999999", Some(86_400)),
        ("Retry-After: 86401", Some(86_400)),
        ("Retry-After: -5", None),
        ("Retry-After: soon", None),
        ("X: y", None),
        ("Date: Fri, 01 Jan 2100 00:00:00 GMT\r\nRetry-After: Fri, 01 Jan 2100 00:01:00 GMT", Some(60)),
        ("Date: Fri, 01 Jan 2100 00:00:00 GMT\r\nRetry-After: Thu, 31 Dec 2099 23:00:00 GMT", Some(0)),
        ("Retry-After: Mon, 25 May 2026 10:01:25 GMT", Some(60)),
        ("Retry-After: Fri, 01 Jan 2100 00:01:00 GMT", Some(86_400)),
    ] {
        let answer = format!("HTTP/1.1 503 Busy\r\n{headers}\r\nContent-Length: 0\r\n\r\n");
        let receiver = Receiver::answering(answer).await;
        let exchange = sent(&config(), &receiver.url()).await;
        assert_eq!(exchange.retry_after, seconds.map(Duration::from_secs), "{headers}");
        assert_eq!(exchange.outcome, Err(Fault::Status));
    }
}
