//! Nodes of tracking alone, each with a runtime and a store of its own, so that one can be killed.

use std::sync::Arc;
use std::time::Duration;

use nexo_route::actors::supervise::{Budget, Tasks, Tree};
use nexo_route::actors::tracking::{InFlight, Tracking};
use nexo_route::carrier::upstream::{FailureClass, Naming, NotDurable, Receipt, ReceiptState, Subject};
use nexo_route::domain::carrier::{Carrier, CarrierSource};
use nexo_route::domain::delivery::CarrierStatus;
use nexo_route::domain::ids::{AccountId, DeliveryId};
use nexo_route::domain::money::MicroUsd;
use nexo_route::domain::phone::Phone;
use nexo_route::domain::sealing::{Keyring, SecretKey};
use nexo_route::records::acceptance::{Order, Verdict, accept};
use nexo_route::records::keys;
use nexo_route::store::{Scalar, Statement, Type};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Channel, Engine, Store, UpstreamId, count, forms};
use crate::house::database::Database;
use crate::house::node::settings;
use crate::house::until;
use crate::operators::{account, assert_sound};

pub(super) fn keyring() -> Keyring {
    Keyring::new(1, vec![(1, SecretKey::new([1; 32]))], SecretKey::new([9; 32])).expect("a ring")
}

pub(super) fn phone(number: u32) -> Phone {
    Phone::parse(&format!("+8498{number:07}")).expect("a mobile")
}

/// Tracking on a runtime of its own. It is killed where it stands when it is dropped.
pub(super) struct Node {
    runtime: Option<Runtime>,
    pub(super) tracking: Tracking<u32>,
    pub(super) fallbacks: mpsc::Receiver<Box<u32>>,
    _tree: Tree,
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Node {
    pub(super) async fn start(url: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let url = url.to_owned();
        let started = runtime.spawn(async move {
            let config = settings(&url, &[]).expect("sane");
            let store = Store::open(&url, 1).await.expect("opens");
            let (fallen, fallbacks) = mpsc::channel(64);
            let (tracking, branch) = Tracking::new(
                &config.tracking,
                &config.dispatch,
                &store,
                &Arc::new(keyring()),
                &Tasks::new(),
                fallen,
                Arc::new(|_told| ()),
            );
            let tree = Tree::grow(Budget::default(), vec![branch]).await.expect("starts");
            (tracking, fallbacks, tree)
        });
        let (tracking, fallbacks, tree) = started.await.expect("starts");
        Self { runtime: Some(runtime), tracking, fallbacks, _tree: tree }
    }

    pub(super) async fn name(&self, delivery: DeliveryId, to: Phone, references: &[&str]) -> Result<(), NotDurable> {
        let upstream = UpstreamId("probe".into());
        let naming = Naming {
            upstream,
            delivery,
            channel: Channel::Sms,
            phone: to,
            references: forms(references),
            poller: None,
        };
        self.tracking.sink().name(naming).await
    }

    pub(super) async fn report(
        &self,
        reference: &str,
        to: Option<Phone>,
        state: ReceiptState,
    ) -> Result<(), NotDurable> {
        let subject = Subject::Reference { references: forms(&[reference]), phone: to };
        let (upstream, status) = (UpstreamId("probe".into()), CarrierStatus::clean("word"));
        self.tracking.sink().put(Receipt { upstream, subject, state, status, network: None }).await
    }

    fn watch(&self, delivery: DeliveryId, fallback: Option<u32>) {
        self.tracking.watch(InFlight {
            delivery,
            carrier: Carrier::new("viettel").expect("sane"),
            channel: Channel::Sms,
            upstream: UpstreamId("probe".into()),
            moved: false,
            price: MicroUsd::from_micros(22_000),
            accepted_at: Instant::now(),
            settle_by: Instant::now() + Duration::from_secs(60),
            fallback: fallback.map(Box::new),
        });
    }
}

/// A charged delivery to the phone.
pub(super) async fn charged(store: &Store, account: AccountId, to: Phone, settle_after: Duration) -> DeliveryId {
    let delivery = DeliveryId::new(store.ping().await.expect("answers"), rand::random());
    let (auth_epoch, _) = store.read(|tx| Box::pin(keys::changes(tx, i64::MIN))).await.expect("a version");
    let order = Order {
        delivery,
        account,
        auth_epoch,
        phone_key: keyring().phone_key(to),
        phone_sealed: keyring().seal_phone(delivery, to),
        metadata_sealed: None,
        carrier: Carrier::new("viettel").expect("sane"),
        carrier_source: CarrierSource::Prefix,
        channel: Channel::Sms,
        price: MicroUsd::from_micros(22_000),
        settle_after,
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

static STATUS: Statement =
    Statement::new("test.names.status", &[], &[Type::Id], "SELECT status FROM deliveries WHERE id = $1");

/// How the delivery ended, if it has.
pub(super) async fn status(store: &Store, delivery: DeliveryId) -> &'static str {
    let id = [Scalar::Id(*delivery.as_bytes())];
    let rows = store.read(move |tx| Box::pin(async move { tx.query(&STATUS, &[], &id).await })).await.expect("reads");
    ["sent", "delivered", "failed"][usize::try_from(rows[0].i64(0).expect("a number")).expect("small")]
}

pub(super) async fn two(engine: Engine) {
    let database = Database::fresh(engine).await.expect("a database");
    let store = Store::open(&database.url, 2).await.expect("opens");
    store.migrate().await.expect("migrates");
    let ours = account(&store, "named", MicroUsd::from_micros(1_000_000)).await;
    let (mut one, other) = tokio::join!(Node::start(&database.url), Node::start(&database.url));
    let minute = Duration::from_secs(60);

    // Named here, reported there, by another form of the name.
    let first = charged(&store, ours, phone(1), minute).await;
    one.watch(first, None);
    assert_eq!(one.name(first, phone(1), &["bc6150", "12345680"]).await, Ok(()));
    assert_eq!(other.report("12345680", Some(phone(1)), ReceiptState::InProgress).await, Ok(()));
    assert_eq!(status(&store, first).await, "sent");
    assert_eq!(other.report("12345680", Some(phone(1)), ReceiptState::Delivered).await, Ok(()));
    assert_eq!(status(&store, first).await, "delivered");
    let contradiction = ReceiptState::Failed(FailureClass::Expired);
    for node in [&one, &other] {
        assert_eq!(node.report("bc6150", None, contradiction).await, Ok(()));
    }
    assert_eq!(status(&store, first).await, "delivered", "terminal once");

    // Reported there, named here.
    let second = charged(&store, ours, phone(2), minute).await;
    one.watch(second, None);
    assert_eq!(other.report("2", Some(phone(2)), ReceiptState::Delivered).await, Ok(()));
    assert_eq!((status(&store, second).await, count(&store, "parked_receipts").await), ("sent", 1));
    assert_eq!(one.name(second, phone(2), &["2"]).await, Ok(()));
    until("the parked receipt settles", async || {
        let settled = status(&store, second).await == "delivered";
        (settled && count(&store, "parked_receipts").await == 0).then_some(())
    })
    .await;

    // A failed one that is reported where the code is goes on.
    let third = charged(&store, ours, phone(3), minute).await;
    one.watch(third, Some(3));
    assert_eq!(one.name(third, phone(3), &["3"]).await, Ok(()));
    assert_eq!(one.report("3", None, ReceiptState::Failed(FailureClass::Unreachable)).await, Ok(()));
    assert_eq!(one.fallbacks.recv().await.as_deref(), Some(&3));
    assert_eq!(status(&store, third).await, "sent");
    // And elsewhere it ends the delivery.
    let fourth = charged(&store, ours, phone(4), minute).await;
    assert_eq!(one.name(fourth, phone(4), &["4"]).await, Ok(()));
    assert_eq!(other.report("4", Some(phone(5)), ReceiptState::Delivered).await, Ok(()), "a stranger's");
    assert_eq!(status(&store, fourth).await, "sent");
    assert_eq!(other.report("4", Some(phone(4)), contradiction).await, Ok(()));
    assert_eq!(status(&store, fourth).await, "failed");
    assert_eq!(count(&store, "parked_receipts").await, 1, "the stranger's waits");

    // Many at once, half of them named before and half after, on either node.
    let mut crowd = Vec::new();
    for number in 100..140 {
        crowd.push((number, charged(&store, ours, phone(number), minute).await));
    }
    let raced = crowd.iter().map(async |(number, delivery)| {
        let (text, even) = (number.to_string(), number % 2 == 0);
        let (names, reports) = if number % 4 < 2 { (&one, &other) } else { (&other, &one) };
        let texts = [text.as_str()];
        let name = names.name(*delivery, phone(*number), &texts);
        let to = even.then(|| phone(*number));
        tokio::join!(name, reports.report(&text, to, ReceiptState::Delivered))
    });
    let raced = futures_util::future::join_all(raced).await;
    assert!(raced.iter().all(|both| *both == (Ok(()), Ok(()))), "{raced:?}");
    for (number, delivery) in crowd {
        until(&format!("{number} is delivered"), async || {
            (status(&store, delivery).await == "delivered").then_some(())
        })
        .await;
    }
    drop((one, other));
    assert_sound(&store).await;
}
