//! Accounts, endpoints, deliveries and claims of these tests, written without the house.

use std::time::Duration;

use nexo_route::domain::delivery::{CarrierStatus, End, FailureCode, WindowAfter};
use nexo_route::domain::endpoint_url::EndpointUrl;
use nexo_route::domain::ids::{AccountId, AttemptId, DeliveryId, EndpointId};
use nexo_route::domain::money::MicroUsd;
use nexo_route::domain::phone::Phone;
use nexo_route::domain::sealing::{Keyring, SecretKey};
use nexo_route::domain::signature::SigningKey;
use nexo_route::domain::webhook::{EventFilter, EventType, KeyForm, Outcome, Phases, RetrySchedule};
use nexo_route::records::acceptance::{Order, Verdict, accept};
use nexo_route::records::attempts::{EndpointChange, Finished, finish};
use nexo_route::records::audit::Actor;
use nexo_route::records::endpoints::{self, Changed, GivenUp, NewEndpoint, Registered};
use nexo_route::records::keys;
use nexo_route::records::outbox::{self, Claimed, ClaimedEndpoint, Demand};
use nexo_route::records::settlement::{Settlement, Settlements, settle};
use nexo_route::store::{Scalar, Statement, Store, Type};

use crate::operators;

pub(super) static WAITING: Statement = Statement::new(
    "test.outbox.waiting",
    &[],
    &[Type::Id],
    "SELECT delivery, cause, number, due_us - {now_us}, body_of FROM webhook_outbox WHERE endpoint = $1 ORDER BY delivery",
);
static HURRY: Statement =
    Statement::new("test.outbox.hurry", &[], &[], "UPDATE webhook_outbox SET due_us = due_us - 3600000000");
static FORGET: Statement =
    Statement::new("test.outbox.forget", &[], &[Type::Id], "DELETE FROM deliveries WHERE id = $1");

pub(super) fn actor() -> Actor {
    Actor("tester".into())
}

pub(super) fn keyring() -> Keyring {
    let key = |byte| SecretKey::new([byte; 32]);
    Keyring::new(1, vec![(1, key(1))], key(9)).expect("a ring")
}

pub(super) async fn account(store: &Store) -> AccountId {
    operators::account(store, "told", MicroUsd::from_micros(5_000_000)).await
}

pub(super) async fn new_endpoint(store: &Store, account: AccountId, events: EventFilter, retry: &str) -> NewEndpoint {
    let id = EndpointId::new(store.ping().await.expect("answers"), rand::random());
    NewEndpoint {
        id,
        account,
        url: EndpointUrl::parse("https://hooks.example.com/otp?token=secret").expect("a URL"),
        events,
        key_form: KeyForm::Raw,
        schedule: RetrySchedule::parse(retry).expect("a schedule"),
        key_sealed: keyring().seal_signing_key(id, rand::random(), &SigningKey::from_bytes([4; 32])),
    }
}

pub(super) async fn register(store: &Store, new: NewEndpoint) -> Registered {
    let made = store.write(move |tx| {
        let new = new.clone();
        Box::pin(async move { endpoints::create(tx, &actor(), &new).await })
    });
    made.await.expect("decided")
}

pub(super) async fn endpoint(store: &Store, account: AccountId) -> EndpointId {
    match register(store, new_endpoint(store, account, EventFilter::ALL, "").await).await {
        Registered::Done(endpoint) => endpoint,
        other => panic!("{other:?}"),
    }
}

pub(super) async fn disable(store: &Store, id: EndpointId) -> Changed {
    store.write(move |tx| Box::pin(async move { endpoints::disable(tx, &actor(), id).await })).await.expect("decided")
}

/// A delivery that is still `sent`.
pub(super) async fn sent(store: &Store, account: AccountId) -> DeliveryId {
    let delivery = DeliveryId::new(store.ping().await.expect("answers"), rand::random());
    let (version, _) = store.read(|tx| Box::pin(keys::changes(tx, i64::MIN))).await.expect("a version");
    let (keyring, phone) = (keyring(), Phone::parse("+84981234567").expect("a phone"));
    let order = Order {
        delivery,
        account,
        auth_epoch: version,
        phone_key: nexo_route::domain::sealing::PhoneKey::from_number(rand::random()),
        phone_sealed: keyring.seal_phone(delivery, phone),
        metadata_sealed: None,
        carrier: nexo_route::domain::carrier::Carrier::new("viettel").expect("sane"),
        carrier_source: nexo_route::domain::carrier::CarrierSource::Prefix,
        channel: nexo_route::domain::carrier::Channel::Sms,
        price: MicroUsd::from_micros(22_000),
        settle_after: Duration::from_secs(65),
        idempotency: None,
    };
    let accepted = store.write(move |tx| {
        let orders = [order.clone()];
        Box::pin(async move { accept(tx, &orders).await })
    });
    let verdicts = accepted.await.expect("accepts").verdicts;
    assert!(matches!(verdicts[..], [Verdict::Charged { .. }]), "{verdicts:?}");
    delivery
}

pub(super) async fn end(store: &Store, delivery: DeliveryId, delivered: bool) -> Settlements {
    let end = if delivered {
        End::Delivered { carrier_status: CarrierStatus::clean("success") }
    } else {
        End::Failed { code: FailureCode::Timeout, carrier_status: None }
    };
    let settlement = Settlement { delivery, end, channel: None, unless_moved: false, window: WindowAfter::Keep };
    let settled = store.write(move |tx| {
        let batch = [settlement.clone()];
        Box::pin(async move { settle(tx, &batch).await })
    });
    settled.await.expect("settles")
}

/// A delivery of this account that has ended.
pub(super) async fn ended(store: &Store, account: AccountId) -> DeliveryId {
    let delivery = sent(store, account).await;
    end(store, delivery, true).await;
    delivery
}

pub(super) async fn claim(store: &Store, demands: &[(EndpointId, i64)]) -> Vec<ClaimedEndpoint> {
    let demands: Vec<Demand> =
        demands.iter().map(|(endpoint, limit)| Demand { endpoint: *endpoint, limit: *limit }).collect();
    let claimed = store.write(move |tx| {
        let demands = demands.clone();
        Box::pin(async move { outbox::claim(tx, &keyring(), &demands).await })
    });
    claimed.await.expect("claims")
}

/// Claims the only thing that is due.
pub(super) async fn claim_one(store: &Store, endpoint: EndpointId) -> Claimed {
    let mut claimed = claim(store, &[(endpoint, 10)]).await.pop().expect("known");
    assert_eq!((claimed.attempts.len(), claimed.discarded.len()), (1, 0), "{claimed:?}");
    claimed.attempts.pop().expect("one")
}

pub(super) fn over(claimed: &Claimed, endpoint: EndpointId, outcome: Outcome) -> Finished {
    Finished {
        attempt: claimed.attempt,
        endpoint,
        account: claimed.account,
        delivery: claimed.delivery,
        event: claimed.event,
        number: claimed.number,
        outcome,
        http_status: Some(if outcome == Outcome::Accepted { 204 } else { 500 }),
        fault: None,
        phases: Phases { total_us: 7, ..Phases::default() },
        exchange_sealed: keyring().seal_exchange(claimed.attempt, b"POST / HTTP/1.1\r\nHost: a\r\n\r\n500 oops"),
        retry: None,
        endpoint_change: EndpointChange::None,
    }
}

pub(super) async fn finish_all(store: &Store, finished: Vec<Finished>) -> Vec<(EndpointId, GivenUp)> {
    let done = store.write(move |tx| {
        let finished = finished.clone();
        Box::pin(async move { finish(tx, &finished).await })
    });
    done.await.expect("finishes")
}

/// A row of the outbox.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Waits {
    pub(super) delivery: DeliveryId,
    pub(super) cause: i64,
    pub(super) number: i64,
    /// Its time is still to come.
    pub(super) later: bool,
    pub(super) body_of: Option<AttemptId>,
}

pub(super) async fn waiting(store: &Store, endpoint: EndpointId) -> Vec<Waits> {
    let id = Scalar::Id(*endpoint.as_bytes());
    let rows =
        store.read(move |tx| Box::pin(async move { tx.query(&WAITING, &[], &[id]).await })).await.expect("reads");
    let waits = |row: &nexo_route::store::Row| {
        Ok(Waits {
            delivery: DeliveryId::from_bytes(row.id(0)?),
            cause: row.i64(1)?,
            number: row.i64(2)?,
            later: row.i64(3)? > 0,
            body_of: row.opt_id(4)?.map(AttemptId::from_bytes),
        })
    };
    rows.iter().map(waits).collect::<Result<_, nexo_route::store::StoreError>>().expect("whole rows")
}

async fn change(store: &Store, statement: &'static Statement, scalars: Vec<Scalar<'static>>) -> u64 {
    let changed = store.write(move |tx| {
        let scalars = scalars.clone();
        Box::pin(async move { tx.execute(statement, &[], &scalars).await })
    });
    changed.await.expect("changes")
}

/// Lets an hour pass for everything that waits.
pub(super) async fn an_hour_later(store: &Store) -> u64 {
    change(store, &HURRY, Vec::new()).await
}

pub(super) async fn forget(store: &Store, delivery: DeliveryId) {
    assert_eq!(change(store, &FORGET, vec![Scalar::Id(*delivery.as_bytes())]).await, 1);
}

pub(super) fn only(events: EventType) -> EventFilter {
    EventFilter::of([events]).expect("a terminal event")
}
