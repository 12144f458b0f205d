//! The list of webhook attempts: newest first, page by page, filtered; and never another account's.

use nexo_route::domain::endpoint_url::EndpointUrl;
use nexo_route::domain::ids::{AccountId, AttemptId, DeliveryId, EndpointId};
use nexo_route::domain::sealing::Keyring;
use nexo_route::domain::time::Timestamp;
use nexo_route::domain::webhook::{Cause, EventFilter, EventType, Fault, KeyForm, Outcome, Phases, RetrySchedule};
use nexo_route::records::attempts::{self, EndpointChange, Finished, NewAttempt};
use nexo_route::records::audit::Actor;
use nexo_route::records::endpoints::{self, NewEndpoint, Registered};
use nexo_route::store::{Scalar, Statement, Store, Type};
use serde_json::{Value, json};

use crate::both_engines;
use crate::house::House;
use crate::house::customer::{Customer, Purse};
use crate::house::node::keyring;

both_engines! {
    async fn pages_show_every_attempt_once_newest_first(house: House) { pages(house).await }
    async fn filters_show_the_attempts_that_they_name(house: House) { filters(house).await }
    async fn another_accounts_attempts_do_not_exist(house: House) { apart(house).await }
    async fn an_attempt_shows_what_was_sent_and_what_came_back(house: House) { exchange(house).await }
}

const BODY: &str = r#"{"type":"otp.delivered","id":"…"}"#;
const EXCHANGE: &str = "POST /hook HTTP/1.1\nHost: hooks.example\n\nHTTP 500\noh";

static AGE: Statement = Statement::new(
    "test.age_attempt",
    &[],
    &[Type::Id],
    "UPDATE webhook_attempts SET started_us = started_us - 61000000 WHERE id = $1",
);

/// An account with an endpoint that nothing is sent to: what it has is written by the test.
struct Owner {
    customer: Customer,
    endpoint: EndpointId,
    store: Store,
}

async fn endpoint(store: &Store, account: AccountId) -> EndpointId {
    let id = EndpointId::from_bytes(rand::random());
    let new = NewEndpoint {
        id,
        account,
        url: EndpointUrl::parse("https://hooks.example/hook").expect("a URL"),
        events: EventFilter::ALL,
        key_form: KeyForm::Raw,
        schedule: RetrySchedule::default(),
        key_sealed: vec![0; 77],
    };
    let made = store.write(move |tx| {
        let new = new.clone();
        Box::pin(async move { endpoints::create(tx, &Actor("tester".into()), &new).await })
    });
    assert_eq!(made.await, Ok(Registered::Done(id)));
    id
}

impl Owner {
    async fn of(house: &House) -> Self {
        let (customer, store) = (house.customer(Purse::full()).await, house.store().await.clone());
        let endpoint = endpoint(&store, customer.account).await;
        Self { customer, endpoint, store }
    }

    /// An attempt that has begun.
    async fn begin(&self, endpoint: EndpointId, delivery: DeliveryId) -> AttemptId {
        let new = NewAttempt {
            account: self.customer.account,
            endpoint,
            delivery,
            event: EventType::Delivered,
            cause: Cause::Replay,
            number: 1,
            body: BODY.into(),
        };
        let begun = self.store.write(move |tx| {
            let new = new.clone();
            Box::pin(async move { attempts::begin(tx, &keyring(), &new).await })
        });
        begun.await.expect("begins").attempt
    }

    /// The same, a minute ago, by a node that has ended since.
    async fn lose(&self, endpoint: EndpointId, delivery: DeliveryId) -> AttemptId {
        let attempt = self.begin(endpoint, delivery).await;
        let aged = self
            .store
            .write(move |tx| Box::pin(async move { tx.execute(&AGE, &[], &[Scalar::Id(*attempt.as_bytes())]).await }));
        assert_eq!(aged.await, Ok(1));
        attempt
    }

    /// An attempt that is over.
    async fn end(&self, endpoint: EndpointId, delivery: DeliveryId, outcome: Outcome) -> AttemptId {
        let attempt = self.begin(endpoint, delivery).await;
        let finished = finished(self.customer.account, attempt, endpoint, delivery, outcome, &keyring());
        let written = self.store.write(move |tx| {
            let finished = finished.clone();
            Box::pin(async move { attempts::finish(tx, &[finished]).await })
        });
        written.await.expect("written");
        attempt
    }

    async fn list(&self, query: &str) -> Value {
        let list = self.customer.read(&format!("/api/v1/webhooks/attempts{query}")).await;
        let fields: Vec<&String> = list.as_object().expect("an object").keys().collect();
        assert_eq!(fields, ["data", "has_more", "next_cursor", "ok"]);
        list
    }

    async fn ids(&self, query: &str) -> Vec<String> {
        ids(&self.list(query).await)
    }
}

fn finished(
    account: AccountId,
    attempt: AttemptId,
    endpoint: EndpointId,
    delivery: DeliveryId,
    outcome: Outcome,
    keyring: &Keyring,
) -> Finished {
    let (http_status, fault) = match outcome {
        Outcome::Accepted => (Some(200), None),
        Outcome::Failed => (Some(500), Some(Fault::Status)),
        Outcome::Discarded => (None, Some(Fault::Disabled)),
    };
    Finished {
        attempt,
        endpoint,
        account,
        delivery,
        event: EventType::Delivered,
        number: 1,
        outcome,
        http_status,
        fault,
        phases: Phases { dns_us: 1_500, connect_us: 20, tls_us: 0, wait_us: 300, total_us: 1_820 },
        exchange_sealed: keyring.seal_exchange(attempt, EXCHANGE.as_bytes()),
        retry: None,
        endpoint_change: EndpointChange::None,
    }
}

fn ids(list: &Value) -> Vec<String> {
    let data = list["data"].as_array().expect("a list");
    data.iter().map(|attempt| attempt["id"].as_str().expect("an id").to_owned()).collect()
}

fn delivery(n: u8) -> DeliveryId {
    DeliveryId::from_bytes([n; 16])
}

/// Newest first: ids of one millisecond are in no order of their making.
fn newest_first(attempts: &[AttemptId]) -> Vec<String> {
    let mut ids: Vec<String> = attempts.iter().map(AttemptId::to_string).collect();
    ids.sort_by(|one, other| other.cmp(one));
    ids
}

async fn pages(house: House) {
    let owner = Owner::of(&house).await;
    assert_eq!(owner.list("").await, json!({"ok": true, "data": [], "has_more": false, "next_cursor": null}));
    let mut made = Vec::new();
    for n in 0..23 {
        made.push(owner.begin(owner.endpoint, delivery(n)).await);
    }
    let all = newest_first(&made);
    let first = owner.list("").await;
    assert_eq!((ids(&first), &first["has_more"]), (all[..20].to_vec(), &json!(true)));
    assert_eq!(first["next_cursor"], json!(all[19]));
    for (limit, filter) in [(1, ""), (7, ""), (23, ""), (100, ""), (5, "&state=sending")] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = owner.list(&format!("?limit={limit}{filter}&starting_after={cursor}")).await;
            seen.extend(ids(&page));
            if page["has_more"] == false {
                break;
            }
            cursor = page["next_cursor"].as_str().expect("a cursor").to_owned();
        }
        assert_eq!(seen, all, "{limit} a page{filter}");
    }
}

async fn filters(house: House) {
    let owner = Owner::of(&house).await;
    let second = endpoint(&owner.store, owner.customer.account).await;
    let (here, there) = (owner.endpoint, second);
    let accepted = owner.end(here, delivery(1), Outcome::Accepted).await;
    let failed = owner.end(there, delivery(1), Outcome::Failed).await;
    let discarded = owner.end(there, delivery(2), Outcome::Discarded).await;
    let sending = owner.begin(here, delivery(2)).await;
    let lost = owner.lose(here, delivery(3)).await;
    let (one, two) = (delivery(1), delivery(2));
    for (query, expected) in [
        (String::new(), vec![accepted, failed, discarded, sending, lost]),
        ("?state=accepted".to_owned(), vec![accepted]),
        ("?state=failed".to_owned(), vec![failed]),
        ("?state=discarded".to_owned(), vec![discarded]),
        ("?state=expired".to_owned(), vec![]),
        ("?state=sending".to_owned(), vec![sending]),
        ("?state=unknown".to_owned(), vec![lost]),
        (format!("?endpoint={here}"), vec![accepted, sending, lost]),
        (format!("?endpoint={there}"), vec![failed, discarded]),
        (format!("?delivery_id={one}"), vec![accepted, failed]),
        (format!("?delivery_id={two}&endpoint={here}"), vec![sending]),
        (format!("?delivery_id={one}&endpoint={there}&state=failed"), vec![failed]),
        (format!("?delivery_id={one}&state=unknown"), vec![]),
        (format!("?endpoint={}", EndpointId::from_bytes([0xee; 16])), vec![]),
        (format!("?delivery_id={}", delivery(0xee)), vec![]),
    ] {
        assert_eq!(owner.ids(&query).await, newest_first(&expected), "{query}");
    }
}

async fn apart(house: House) {
    let (one, other) = (Owner::of(&house).await, Owner::of(&house).await);
    // Both tell of the same id, as no two accounts can: only the account keeps them apart.
    let (shared, own) = (delivery(1), delivery(2));
    let mut theirs = Vec::new();
    for outcome in Outcome::ALL {
        theirs.push(one.end(one.endpoint, shared, outcome).await);
    }
    theirs.push(one.begin(one.endpoint, own).await);
    theirs.push(one.lose(one.endpoint, own).await);
    let mine = other.end(other.endpoint, shared, Outcome::Failed).await;

    let (everything, nothing) = (vec![mine.to_string()], Vec::<String>::new());
    let stranger = one.endpoint;
    for (query, expected) in [
        (String::new(), &everything),
        ("?limit=100".to_owned(), &everything),
        (format!("?delivery_id={shared}"), &everything),
        (format!("?delivery_id={own}"), &nothing),
        (format!("?endpoint={stranger}"), &nothing),
        (format!("?endpoint={stranger}&delivery_id={shared}"), &nothing),
        ("?state=failed".to_owned(), &everything),
        ("?state=accepted".to_owned(), &nothing),
        ("?state=discarded".to_owned(), &nothing),
        ("?state=sending".to_owned(), &nothing),
        ("?state=unknown".to_owned(), &nothing),
        (format!("?starting_after={mine}"), &nothing),
    ] {
        assert_eq!(&other.ids(&query).await, expected, "{query}");
    }
    let path = |cursor: &str| format!("/api/v1/webhooks/attempts?starting_after={cursor}");
    let unknown = other.customer.get(&path("0199a1b2-0000-7000-8000-000000000000")).await.expect(400);
    for attempt in &theirs {
        let refused = other.customer.get(&path(&attempt.to_string())).await.expect(400);
        let without_id = |answer: &crate::house::client::Answer| answer.text.replace(&answer.string("request_id"), "");
        assert_eq!(without_id(&refused), without_id(&unknown));
    }
    assert_eq!(one.ids("?limit=100").await, newest_first(&theirs));
}

async fn exchange(house: House) {
    let owner = Owner::of(&house).await;
    let attempt = owner.end(owner.endpoint, delivery(1), Outcome::Failed).await;
    let shown = owner.list("").await["data"][0].clone();
    for (field, expected) in [
        ("id", json!(attempt.to_string())),
        ("endpoint", json!(owner.endpoint.to_string())),
        ("delivery_id", json!(delivery(1).to_string())),
        ("event", json!("otp.delivered")),
        ("cause", json!("replay")),
        ("state", json!("failed")),
        ("http_status", json!(500)),
        ("error", json!("status")),
        ("timings", json!({"dns_ms": 1.5, "connect_ms": 0.02, "tls_ms": 0.0, "wait_ms": 0.3, "total_ms": 1.82})),
        ("request", json!({"head": "POST /hook HTTP/1.1\nHost: hooks.example", "body": BODY})),
        ("response", json!("HTTP 500\noh")),
    ] {
        assert_eq!(shown[field], expected, "{field}");
    }
    let time = |field: &str| Timestamp::parse_rfc3339(shown[field].as_str().expect("a time")).expect("RFC 3339");
    assert!(time("started_at") <= time("completed_at"));

    let lost = owner.lose(owner.endpoint, delivery(2)).await;
    let unknown = owner.list("?state=unknown").await["data"][0].clone();
    assert_eq!(unknown["id"], json!(lost.to_string()));
    assert_eq!(unknown["request"], json!({"head": null, "body": BODY}));
    for field in ["http_status", "error", "timings", "completed_at", "response"] {
        assert_eq!(unknown[field], Value::Null, "{field}");
    }
}
