//! Where phones are: learned from receipts and refusals, kept over restarts, and believed before the prefix.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use nexo_route::actors::learning::Learning;
use nexo_route::actors::supervise::{Budget, Tree};
use nexo_route::carrier::upstream::{
    Attempt, Capabilities, FailureClass, Health, Naming, NotDurable, Outcome, Receipt, ReceiptSink, ReceiptState,
    ReceiptTrust, Subject, Upstream,
};
use nexo_route::clock::DatabaseClock;
use nexo_route::config::carriers::CarrierTable;
use nexo_route::domain::carrier::{Carrier, CarrierSource, Channel, NetworkCode};
use nexo_route::domain::code::OtpCode;
use nexo_route::domain::delivery::CarrierStatus;
use nexo_route::domain::ids::DeliveryId;
use nexo_route::domain::phone::Phone;
use nexo_route::domain::reference::{Reference, UpstreamId};
use nexo_route::records::learned_carriers;
use nexo_route::routing::{Routing, TTL};
use nexo_route::store::{Scalar, Statement, Store, Type};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::both_engines;
use crate::house::node::keyring;
use crate::house::until;

both_engines! {
    async fn receipts_and_refusals_teach_where_a_phone_is(store: Store) { taught(store).await }
}

pub const TABLE: &str = "price_usd = \"0.022\"\n\
    [carrier.viettel]\nchannels = [\"voice\", \"sms\"]\nprefixes = [\"98\"]\nnetworks = [\"452-04\"]\n\
    [carrier.mobifone]\nchannels = [\"sms\"]\nprefixes = [\"90\"]\nnetworks = [\"452-01\"]\n\
    [not_served.gmobile]\nprefixes = [\"99\"]\nnetworks = [\"452-07\"]\n";

#[derive(Debug, Default)]
struct Sink {
    refuses: Mutex<bool>,
}

impl ReceiptSink for Sink {
    fn put(&self, _: Receipt) -> BoxFuture<'static, Result<(), NotDurable>> {
        let refuses = *self.refuses.lock().unwrap_or_else(PoisonError::into_inner);
        std::future::ready(if refuses { Err(NotDurable) } else { Ok(()) }).boxed()
    }

    fn name(&self, _: Naming) -> BoxFuture<'static, Result<(), NotDurable>> {
        std::future::ready(Ok(())).boxed()
    }
}

/// A link that refuses everybody as another network's.
#[derive(Debug)]
struct Refusing(UpstreamId, Capabilities, watch::Sender<Health>);

impl Upstream for Refusing {
    fn id(&self) -> &UpstreamId {
        &self.0
    }

    fn capabilities(&self) -> &Capabilities {
        &self.1
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.2.subscribe()
    }

    fn dispatch(&self, _: Attempt) -> BoxFuture<'static, Outcome> {
        let status = CarrierStatus::clean("other network");
        std::future::ready(Outcome::Refused { class: FailureClass::WrongNetwork, status }).boxed()
    }

    fn shutdown(&self, _: Duration) -> BoxFuture<'static, ()> {
        std::future::ready(()).boxed()
    }
}

fn refusing() -> Arc<dyn Upstream> {
    let (receipts, per_phone_gap) = (ReceiptTrust::Handset, None);
    let capabilities = Capabilities { in_flight_max: 1, rate_per_second: None, per_phone_gap, receipts };
    Arc::new(Refusing(UpstreamId::new("x").expect("sane"), capabilities, watch::Sender::new(Health::Up)))
}

/// What routing says, with how it knows.
fn told(routing: &Routing, phone: &str) -> (String, CarrierSource) {
    let routed = routing.route(Phone::parse(phone).expect("valid")).expect("served");
    (routed.route.carrier.as_str().to_owned(), routed.source)
}

fn receipt(subject: Subject, network: Option<&str>, state: ReceiptState) -> Receipt {
    let network = network.map(|code| NetworkCode::parse(code).expect("valid"));
    let (upstream, status) = (UpstreamId::new("x").expect("sane"), CarrierStatus::clean("DELIVRD"));
    Receipt { upstream, subject, state, status, network }
}

fn named(name: &str, phone: Option<&str>) -> Subject {
    let references = ["0", name].map(|name| Reference::new(name).expect("sane")).to_vec();
    Subject::Reference { references, phone: phone.map(|text| Phone::parse(text).expect("valid")) }
}

async fn routing(store: &Store) -> (Routing, Learning, Tree) {
    let plan = CarrierTable::parse(TABLE).expect("holds").plan;
    let clock = DatabaseClock::new(store.ping().await.expect("answers"));
    let routing = Routing::new(plan, Arc::new(keyring()), clock);
    let (learning, child) = Learning::new(&routing, store);
    let tree = Tree::grow(Budget::default(), vec![child]).await.expect("grows");
    (routing, learning, tree)
}

async fn rows(store: &Store) -> Vec<(i64, String)> {
    let first = nexo_route::domain::sealing::PhoneKey::from_number(i64::MIN);
    let rows = store.read(move |tx| Box::pin(learned_carriers::load(tx, first, TTL, 100))).await.expect("reads");
    rows.into_iter().map(|row| (row.phone.number(), row.carrier.as_str().to_owned())).collect()
}

static DELIVERY: Statement = Statement::new(
    "test.learned_delivery",
    &[],
    &[Type::Id, Type::Id, Type::I64, Type::Bytes, Type::Text],
    "INSERT INTO deliveries (id, account, phone_key, phone_sealed, carrier, channel, from_free, from_bonus, from_balance, \
     status, created_us, settle_us) VALUES ($1, $2, $3, $4, $5, 'voice', 0, 0, 0, 1, {now_us}, {now_us})",
);
static ATTEMPT: Statement = Statement::new(
    "test.learned_attempt",
    &[],
    &[Type::Text, Type::Text, Type::Id, Type::I64],
    "INSERT INTO attempts (upstream, reference, delivery, channel, phone_key, at_us) \
     VALUES ($1, $2, $3, 'voice', $4, {now_us})",
);

/// A delivery to the phone that Viettel was asked to make, and the carrier's name for it.
async fn delivery(store: &Store, number: u8, phone: &str, name: &'static str) -> DeliveryId {
    delivery_by(store, (number, phone), name, "viettel").await
}

async fn delivery_by(store: &Store, to: (u8, &str), name: &'static str, carrier: &'static str) -> DeliveryId {
    let (number, phone) = to;
    let key = keyring().phone_key(Phone::parse(phone).expect("valid")).number();
    let written = store.write(move |tx| {
        Box::pin(async move {
            let id = [number; 16];
            let scalars =
                [Scalar::Id(id), Scalar::Id([1; 16]), Scalar::I64(key), Scalar::Bytes(&[0]), Scalar::Text(carrier)];
            tx.execute(&DELIVERY, &[], &scalars).await?;
            let scalars = [Scalar::Text("x"), Scalar::Text(name), Scalar::Id(id), Scalar::I64(key)];
            tx.execute(&ATTEMPT, &[], &scalars).await
        })
    });
    assert_eq!(written.await, Ok(1));
    DeliveryId::from_bytes([number; 16])
}

async fn taught(store: Store) {
    let (routing, learning, tree) = routing(&store).await;
    let gate = Arc::new(Sink::default());
    let sink = learning.sink(Arc::<Sink>::clone(&gate));
    let (here, moved, never) = ("+84981000001", "+84981000002", "+84981000005");
    delivery(&store, 1, here, "n1").await;
    delivery(&store, 2, moved, "n2").await;
    let by_prefix = ("viettel".to_owned(), CarrierSource::Prefix);
    let learned = |carrier: &str| (carrier.to_owned(), CarrierSource::Learned);

    // What the prefix says, what nobody knows, and a network that is not served although it was reached, teach nothing.
    for network in [Some("452-04"), Some("310-260"), Some("452-07"), None] {
        sink.put(receipt(named("n1", Some(here)), network, ReceiptState::Delivered)).await.expect("durable");
    }
    // Nor does a phone that only the receipt names: of what nobody was sent, or was sent to somebody else.
    for name in ["n9", "n1"] {
        sink.put(receipt(named(name, Some(never)), Some("452-01"), ReceiptState::Delivered)).await.expect("durable");
    }
    // Not before it is durable.
    *gate.refuses.lock().expect("whole") = true;
    let other = || receipt(named("n2", Some(moved)), Some("452-01"), ReceiptState::Delivered);
    assert_eq!(sink.put(other()).await, Err(NotDurable));
    assert_eq!(told(&routing, moved), by_prefix);
    *gate.refuses.lock().expect("whole") = false;
    sink.put(other()).await.expect("durable");
    until("it is learned", async || (told(&routing, moved) == learned("mobifone")).then_some(())).await;
    for phone in [here, never] {
        assert_eq!(told(&routing, phone), by_prefix, "what came before is read before");
    }

    // A receipt that names a delivery, or an attempt by the carrier's name for it.
    let (third, fourth) = ("+84981000003", "+84981000004");
    let of_delivery = Subject::Attempt { delivery: delivery(&store, 3, third, "n3").await, channel: Channel::Voice };
    sink.put(receipt(of_delivery, Some("452-01"), ReceiptState::Delivered)).await.expect("durable");
    // A name that was given before, to another attempt: the younger is meant.
    delivery(&store, 8, never, "n4").await;
    delivery(&store, 4, fourth, "n4").await;
    sink.put(receipt(named("n4", None), Some("452-01"), ReceiptState::Delivered)).await.expect("durable");
    until("both are learned", async || {
        (told(&routing, third) == learned("mobifone") && told(&routing, fourth) == learned("mobifone")).then_some(())
    })
    .await;
    until("three are written", async || (rows(&store).await.len() == 3).then_some(())).await;

    // The next daemon knows them when it has started.
    let (again, _, other_tree) = self::routing(&store).await;
    until("memory is filled", async || (told(&again, moved) == learned("mobifone")).then_some(())).await;
    other_tree.stop(Duration::from_secs(5)).await;

    // Refused there: forgotten, in memory and in the rows. A refusal by the prefix's carrier refutes nothing.
    let link = learning.link(refusing());
    let dispatch = async |phone: &str, carrier: &str| {
        let now = Instant::now();
        let attempt = Attempt {
            delivery: DeliveryId::from_bytes([9; 16]),
            phone: Phone::parse(phone).expect("valid"),
            carrier: Carrier::new(carrier).expect("sane"),
            channel: Channel::Sms,
            code: OtpCode::parse("482917").expect("valid"),
            leave_by: now,
            settle_by: now,
        };
        assert!(matches!(link.dispatch(attempt).await, Outcome::Refused { .. }));
    };
    dispatch(moved, "viettel").await;
    assert_eq!(told(&routing, moved), learned("mobifone"));
    dispatch(moved, "mobifone").await;
    assert_eq!(told(&routing, moved), by_prefix);
    // A failed receipt without a network says as much of the delivery's carrier.
    let wrong = ReceiptState::Failed(FailureClass::WrongNetwork);
    sink.put(receipt(named("n3", Some(third)), None, wrong)).await.expect("durable");
    delivery_by(&store, (6, third), "n6", "mobifone").await;
    sink.put(receipt(named("n6", Some(third)), None, wrong)).await.expect("durable");
    until("it is forgotten", async || (told(&routing, third) == by_prefix).then_some(())).await;
    until("two are forgotten", async || (rows(&store).await.len() == 1).then_some(())).await;
    // And with the network of somebody who is not served it is learned: the phone cannot be reached.
    sink.put(receipt(named("n1", Some(here)), Some("452-07"), wrong)).await.expect("durable");
    until("nobody is sent there", async || routing.route(Phone::parse(here).expect("valid")).err()).await;
    tree.stop(Duration::from_secs(5)).await;
}
