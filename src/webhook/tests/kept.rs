//! Connections that are kept between POSTs, and what becomes of them.

use tokio::sync::mpsc;

use super::receiver::Receiver;
use super::*;
use crate::domain::webhook::Fault;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// On one thread: the connection is there and the deadline over before the line looks again.
#[tokio::test]
async fn a_process_that_stood_still_sends_nothing_late() {
    let receiver = Receiver::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let (config, url) = (config(), receiver.url());
    let mut line = line(&config, &url);
    let still = async { std::thread::sleep(Duration::from_millis(config.timeout_ms + 200)) };
    let post = post(&url);
    let (exchange, ()) = tokio::join!(line.post(&post), still);
    assert_eq!((exchange.outcome, line.is_open()), (Err(Fault::Timeout), false));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(receiver.seen.all(), Vec::<String>::new());
}

#[tokio::test]
async fn posts_follow_each_other_on_one_connection() {
    let receiver = Receiver::start(|mut guest| async move {
        while guest.request().await && guest.number == 0 {
            guest.say(OK).await;
        }
    })
    .await;
    let mut line = line(&config(), &receiver.url());
    assert!(!line.is_open());
    for number in 1..=5 {
        let exchange = within(line.post(&post(&receiver.url()))).await;
        assert_eq!(exchange.outcome, Ok(200), "{exchange:?}");
        assert!(line.is_open());
        assert_eq!(exchange.phases.connect_us == 0, number > 1, "{exchange:?}");
    }
    assert_eq!(receiver.seen.all().len(), 5);
}

/// The endpoint closes its end of a kept connection, with or without a goodbye, or talks out of turn.
#[tokio::test]
async fn a_kept_connection_that_is_of_no_use_is_replaced_and_the_post_sent_once() {
    for ending in ["close", "reset", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"] {
        let (told, mut ended) = mpsc::channel(1);
        let receiver = Receiver::start(move |mut guest| {
            let told = told.clone();
            async move {
                guest.request().await;
                guest.say(OK).await;
                if guest.number > 0 {
                    guest.request().await;
                    return;
                }
                // Once the answer has been read: nothing else is in the way.
                tokio::time::sleep(Duration::from_millis(50)).await;
                match ending {
                    "close" => drop(guest),
                    "reset" => guest.reset(),
                    stray => {
                        guest.say(stray).await;
                        let _ = told.send(()).await;
                        guest.request().await;
                    }
                }
                let _ = told.send(()).await;
            }
        })
        .await;
        let mut line = line(&config(), &receiver.url());
        assert_eq!(within(line.post(&post(&receiver.url()))).await.outcome, Ok(200));
        within(ended.recv()).await.expect("told");
        let exchange = within(line.post(&post(&receiver.url()))).await;
        assert_eq!(exchange.outcome, Ok(200), "{ending}: {exchange:?}");
        assert_eq!(exchange.response, b"ok", "{ending}: a stray answer is nobody's");
        assert_eq!(receiver.seen.all().len(), 2, "{ending}");
    }
}

#[tokio::test]
async fn what_a_kept_connection_may_have_seen_is_never_sent_again() {
    for said in ["", "HTTP/1.1 2"] {
        let receiver = Receiver::start(move |mut guest| async move {
            guest.request().await;
            guest.say(OK).await;
            guest.request().await;
            guest.say(said).await;
        })
        .await;
        let mut line = line(&config(), &receiver.url());
        assert_eq!(within(line.post(&post(&receiver.url()))).await.outcome, Ok(200));
        let exchange = within(line.post(&post(&receiver.url()))).await;
        assert_eq!(exchange.outcome, Err(Fault::Reset), "{exchange:?}");
        assert!(!line.is_open());
        assert_eq!(receiver.seen.all().len(), 2);
    }
}

#[tokio::test]
async fn an_answer_that_closes_leaves_no_connection() {
    let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
    let receiver = Receiver::answering(answer).await;
    let mut line = line(&config(), &receiver.url());
    assert_eq!(within(line.post(&post(&receiver.url()))).await.outcome, Ok(200));
    assert!(!line.is_open());
}

#[tokio::test]
async fn an_idle_connection_is_let_go() {
    let receiver = Receiver::answering(OK).await;
    let mut patient = line(&config(), &receiver.url());
    let mut hasty = line(&WebhooksConfig { keep_alive_ms: 1, ..config() }, &receiver.url());
    for line in [&mut patient, &mut hasty] {
        assert_eq!(within(line.post(&post(&receiver.url()))).await.outcome, Ok(200));
        tokio::time::sleep(Duration::from_millis(5)).await;
        line.close_if_idle();
    }
    assert_eq!((patient.is_open(), hasty.is_open()), (true, false));
}

#[tokio::test]
async fn after_a_deadline_the_next_post_has_a_connection_of_its_own() {
    let receiver = Receiver::start(|mut guest| async move {
        guest.request().await;
        if guest.number > 0 {
            guest.say(OK).await;
        }
        guest.request().await;
    })
    .await;
    let mut line = line(&config(), &receiver.url());
    assert_eq!(within(line.post(&post(&receiver.url()))).await.outcome, Err(Fault::Timeout));
    assert!(!line.is_open());
    assert_eq!(within(line.post(&post(&receiver.url()))).await.outcome, Ok(200));
}

/// A busy connection is never idle; where its name leads is asked again all the same.
#[tokio::test]
async fn a_busy_connection_is_replaced_after_a_minute() {
    let receiver = Receiver::start(|mut guest| async move {
        while guest.request().await {
            guest.say(format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{}", guest.number)).await;
        }
    })
    .await;
    let config = WebhooksConfig { keep_alive_ms: 40_000, ..config() };
    let mut line = line(&config, &receiver.url());
    for (number, connection) in ["0", "0", "0", "1"].into_iter().enumerate() {
        let exchange = within(line.post(&post(&receiver.url()))).await;
        assert_eq!(exchange.response, connection.as_bytes(), "POST {number}: {exchange:?}");
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(25)).await;
        tokio::time::resume();
    }
}
