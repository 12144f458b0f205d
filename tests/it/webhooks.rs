//! Webhooks from the order to the receiver: each end is told once, signed, to its own account's endpoints.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use nexo_route::domain::endpoint_url::EndpointUrl;
use nexo_route::domain::ids::EndpointId;
use nexo_route::domain::signature::WebhookSecret;
use nexo_route::domain::webhook::{AttemptState, Cause, EventFilter, KeyForm, Outcome, RetrySchedule};
use nexo_route::records::attempts::{AttemptPage, Attempts, ListedAttempt};
use nexo_route::records::audit::Actor;
use nexo_route::records::endpoints::{self, NewEndpoint, Registered};
use sha2::{Digest as _, Sha256};

use crate::both_engines;
use crate::crash_recovery::SHORT;
use crate::house::customer::{Customer, PRICE, Purse, forced, phone};
use crate::house::database::Engine;
use crate::house::receiver::{Got, Manner, Receiver};
use crate::house::{House, node, until};

both_engines! {
    async fn an_end_is_told_once_and_signed(engine: Engine) { told_once(engine).await }
    async fn a_refusal_is_final_without_a_schedule(engine: Engine) { refused(engine).await }
    async fn a_schedule_sends_the_same_bytes_again(engine: Engine) { retried(engine).await }
    async fn an_endpoint_that_hangs_delays_no_other(engine: Engine) { hanging(engine).await }
    async fn a_stop_leaves_no_end_untold(engine: Engine) { stopped(engine).await }
}

/// Receivers of these tests are on the loopback, without TLS.
pub const LOOPBACK: [(&str, &str); 4] = [
    ("webhooks.allow_http", "true"),
    ("webhooks.allow_networks", "127.0.0.0/8"),
    ("webhooks.ports", "0"),
    ("webhooks.poll_ms", "100"),
];

const DELIVERED: u32 = 10;
const FAILED: u32 = 3;

/// An endpoint of a customer, and its secret.
pub struct Told {
    pub id: EndpointId,
    pub secret: WebhookSecret,
}

pub async fn endpoint(house: &House, customer: &Customer, receiver: &Receiver, retry: &str) -> Told {
    let store = house.store().await;
    let id = EndpointId::new(store.ping().await.expect("answers"), rand::random());
    let secret = WebhookSecret::from_entropy(&rand::random());
    let new = NewEndpoint {
        id,
        account: customer.account,
        url: EndpointUrl::parse(&receiver.url()).expect("a URL"),
        events: EventFilter::ALL,
        key_form: KeyForm::Raw,
        schedule: RetrySchedule::parse(retry).expect("a schedule"),
        key_sealed: node::keyring().seal_signing_key(id, rand::random(), &secret.signing_key()),
    };
    let made = store.write(move |tx| {
        let new = new.clone();
        Box::pin(async move { endpoints::create(tx, &Actor("tester".into()), &new).await })
    });
    assert_eq!(made.await, Ok(Registered::Done(id)));
    Told { id, secret }
}

pub async fn attempts(house: &House, customer: &Customer) -> Vec<ListedAttempt> {
    let reader = Attempts::new(house.store().await.clone(), std::sync::Arc::new(node::keyring()));
    let page = AttemptPage { limit: 100, starting_after: None, endpoint: None, delivery: None, state: None };
    reader.list(customer.account, &page).await.expect("reads").data
}

/// The customer's attempts, once there are `count` and each has its result.
async fn ended_attempts(house: &House, customer: &Customer, count: usize) -> Vec<ListedAttempt> {
    until("every attempt has its result", async || {
        let attempts = attempts(house, customer).await;
        let ended = attempts.iter().all(|attempt| matches!(attempt.state, AttemptState::Ended(_)));
        (ended && attempts.len() >= count).then_some(attempts)
    })
    .await
}

/// What the receivers of the guides do: HMAC-SHA256 with the hash of the secret as its key, and nothing of ours.
fn verify(got: &Got, secret: &WebhookSecret) {
    let key = Sha256::digest(secret.expose());
    let sign = |parts: &[&[u8]]| {
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any length");
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes()
    };
    let hex: String = sign(&[&got.body]).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(got.header("X-NEXO-Signature"), format!("sha256={hex}"));
    let (id, time) = (got.header("webhook-id"), got.header("webhook-timestamp"));
    let standard = sign(&[id.as_bytes(), b".", time.as_bytes(), b".", &got.body]);
    assert_eq!(got.header("webhook-signature"), format!("v1,{}", STANDARD.encode(standard)));
}

async fn told_once(engine: Engine) {
    let house = House::with(engine, &LOOPBACK).await;
    let (ours, theirs) = (house.customer(Purse::full()).await, house.customer(Purse::full()).await);
    let (receiver, stranger) = (Receiver::start(Manner::Status(200)).await, Receiver::start(Manner::Status(204)).await);
    let told = endpoint(&house, &ours, &receiver, "").await;
    endpoint(&house, &theirs, &stranger, "").await;
    let good = ours.send(&forced(0, DELIVERED)).await.expect(202).string("id");
    let bad = ours.send(&forced(1, FAILED)).await.expect(202).string("id");
    let foreign = theirs.send(&forced(2, DELIVERED)).await.expect(202).string("id");
    let (good_end, bad_end) = (ours.ended(&good).await, ours.ended(&bad).await);

    let got = receiver.received(2).await;
    let attempts = ended_attempts(&house, &ours, 2).await;
    for (id, end, event, refunded) in [(&good, good_end, "otp.delivered", false), (&bad, bad_end, "otp.failed", true)] {
        let of = |got: &&Got| got.header("X-NEXO-Delivery-Id") == id;
        let [got] = got.iter().filter(of).collect::<Vec<_>>()[..] else { panic!("{id} is told once: {got:?}") };
        verify(got, &told.secret);
        assert!(got.head.starts_with("POST /hooks/otp?from=nexo HTTP/1.1\r\n"), "{got:?}");
        for (name, value) in [
            ("Host", receiver.address.to_string()),
            ("Content-Type", "application/json".into()),
            ("User-Agent", "NEXO-ROUTE/1.0".into()),
            ("X-NEXO-Event-Type", event.into()),
            ("webhook-id", format!("evt_{id}")),
        ] {
            assert_eq!(got.header(name), value);
        }
        let body = got.json();
        assert_eq!((&body["type"], &body["refunded"]), (&event.into(), &refunded.into()));
        for field in ["id", "phone", "carrier", "status", "cost", "error_code", "created_at", "completed_at"] {
            assert_eq!(body[field], end[field], "{field} as the API says it");
        }
        let [attempt] = attempts.iter().filter(|attempt| attempt.delivery.to_string() == *id).collect::<Vec<_>>()[..]
        else {
            panic!("{id} is attempted once: {attempts:?}")
        };
        assert_eq!(attempt.body.as_bytes(), got.body, "what is shown is what was sent");
        assert_eq!((attempt.endpoint, attempt.cause, attempt.number), (told.id, Cause::Event, 1));
        assert_eq!((attempt.state, attempt.http_status), (AttemptState::Ended(Outcome::Accepted), Some(200)));
        assert_eq!(attempt.request.lines().collect::<Vec<_>>(), got.head.lines().collect::<Vec<_>>());
        assert!(attempt.response.contains("heard"), "{}", attempt.response);
    }
    let others = stranger.received(1).await;
    assert_eq!(others.iter().map(|got| got.header("X-NEXO-Delivery-Id")).collect::<Vec<_>>(), [foreign.as_str()]);
    assert_eq!(ours.purse().await.total(), Purse::full().total() - PRICE);
    house.finish().await;
    assert_eq!((receiver.got().len(), stranger.got().len()), (2, 1), "and nothing came after that");
}

async fn refused(engine: Engine) {
    let house = House::with(engine, &LOOPBACK).await;
    let customer = house.customer(Purse::full()).await;
    let receiver = Receiver::start(Manner::Status(500)).await;
    endpoint(&house, &customer, &receiver, "").await;
    customer.send(&forced(0, DELIVERED)).await.expect(202);
    let attempts = ended_attempts(&house, &customer, 1).await;
    assert_eq!((attempts[0].state, attempts[0].http_status), (AttemptState::Ended(Outcome::Failed), Some(500)));
    // Another one comes and goes; the first is not heard of again, however often the outbox is looked at.
    receiver.behave(Manner::Status(200));
    let second = customer.send(&forced(1, DELIVERED)).await.expect(202).string("id");
    assert_eq!(receiver.received(2).await[1].header("X-NEXO-Delivery-Id"), second);
    tokio::time::sleep(Duration::from_millis(500)).await;
    house.finish().await;
    assert_eq!(receiver.got().len(), 2);
}

async fn retried(engine: Engine) {
    let house = House::with(engine, &LOOPBACK).await;
    let customer = house.customer(Purse::full()).await;
    let receiver = Receiver::start(Manner::Status(500)).await;
    let told = endpoint(&house, &customer, &receiver, "1s,1s,1h").await;
    customer.send(&forced(0, FAILED)).await.expect(202);
    receiver.received(2).await;
    receiver.behave(Manner::Status(200));
    let got = receiver.received(3).await;
    for got in &got {
        verify(got, &told.secret);
        assert_eq!(
            (&got.body, got.header("webhook-id")),
            (&receiver.got()[0].body, receiver.got()[0].header("webhook-id"))
        );
    }
    let mut attempts = ended_attempts(&house, &customer, 3).await;
    attempts.reverse();
    let lives: Vec<_> = attempts.iter().map(|attempt| (attempt.cause, attempt.number, attempt.http_status)).collect();
    assert_eq!(lives, [(Cause::Event, 1, Some(500)), (Cause::Retry, 2, Some(500)), (Cause::Retry, 3, Some(200))]);
    for pair in attempts.windows(2) {
        let wait = pair[1].started_at.since(pair[0].completed_at.expect("ended"));
        assert!(wait >= Duration::from_millis(800), "a second less a fifth: {wait:?}");
    }
    house.finish().await;
    assert_eq!(receiver.got().len(), 3, "an accepted event is done with");
}

async fn hanging(engine: Engine) {
    let house = House::with(engine, &LOOPBACK).await;
    let (dead, alive) = (house.customer(Purse::full()).await, house.customer(Purse::full()).await);
    let (silent, quick) = (Receiver::start(Manner::Silence).await, Receiver::start(Manner::Status(200)).await);
    endpoint(&house, &dead, &silent, "").await;
    endpoint(&house, &alive, &quick, "").await;
    dead.volley((0..20).map(|n| dead.order(&phone(n)))).await.into_iter().for_each(|answer| drop(answer.expect(202)));
    silent.received(8).await;
    alive
        .volley((20..40).map(|n| alive.order(&phone(n))))
        .await
        .into_iter()
        .for_each(|answer| drop(answer.expect(202)));
    let told = ended_attempts(&house, &alive, 20).await;
    for attempt in &told {
        let took = attempt.completed_at.expect("ended").since(attempt.started_at);
        assert_eq!(attempt.state, AttemptState::Ended(Outcome::Accepted));
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
    // The one that hung is tried with fewer and fewer at once, and once answered it has everything, each once.
    silent.behave(Manner::Status(200));
    let got = silent.received(20).await;
    let mut deliveries: Vec<&str> = got.iter().map(|got| got.header("X-NEXO-Delivery-Id")).collect();
    deliveries.sort_unstable();
    deliveries.dedup();
    assert_eq!((deliveries.len(), got.len()), (20, 20));
    let states = ended_attempts(&house, &dead, 20).await;
    let timed_out = states.iter().filter(|attempt| attempt.state == AttemptState::Ended(Outcome::Failed)).count();
    assert!((8..20).contains(&timed_out), "{timed_out} hung");
    house.finish().await;
}

/// What ends while a daemon stops is told by it or by the next one; once.
async fn stopped(engine: Engine) {
    let settings = [LOOPBACK.as_slice(), &SHORT].concat();
    let house = House::with(engine, &settings).await;
    let customer = house.customer(Purse::full()).await;
    let receiver = Receiver::start(Manner::Status(200)).await;
    endpoint(&house, &customer, &receiver, "").await;
    let orders = (0..30).map(|n| customer.order(&phone(n)));
    for answer in customer.volley(orders).await {
        answer.expect(202);
    }
    receiver.received(1).await;
    house.node().stop().await.expect("stops gracefully");
    // All that it claimed has its result.
    for attempt in attempts(&house, &customer).await {
        assert_eq!(attempt.state, AttemptState::Ended(Outcome::Accepted));
    }
    house.add(&settings).await;
    let got = receiver.received(30).await;
    let mut deliveries: Vec<&str> = got.iter().map(|got| got.header("X-NEXO-Delivery-Id")).collect();
    deliveries.sort_unstable();
    deliveries.dedup();
    assert_eq!((deliveries.len(), got.len()), (30, 30));
    house.finish().await;
    assert_eq!(receiver.got().len(), 30);
}
