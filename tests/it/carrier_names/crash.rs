//! A node is killed at any point between an attempt's ack and its receipt: what its name's row says holds.

use std::time::Duration;

use nexo_route::actors::supervise::{Budget, Tree};
use nexo_route::actors::sweeper::sweeper;
use nexo_route::carrier::upstream::ReceiptState;
use nexo_route::domain::ids::{AccountId, DeliveryId};
use nexo_route::domain::money::MicroUsd;

use super::nodes::{Node, charged, keyring, phone, status};
use super::rows::{age, count, find};
use super::{Engine, Sought, Store, UpstreamId, forms};
use crate::house::database::Database;
use crate::house::node::settings;
use crate::house::until;
use crate::operators::{account, assert_sound};

const KILLS: u32 = 20;
const SETTLE_AFTER: Duration = Duration::from_millis(500);

/// One attempt that the carrier acked around the kill.
struct Acked {
    number: u32,
    delivery: DeliveryId,
    /// The carrier's ack was believed: the caller may have been told 202.
    told: bool,
}

/// Twenty nodes die, and the carrier has acked five attempts of each.
async fn kill_nodes(url: &str, store: &Store, ours: AccountId) -> Vec<Acked> {
    let mut acked = Vec::new();
    for kill in 0..KILLS {
        let node = Node::start(url).await;
        let mut attempts = Vec::new();
        for number in kill * 5..kill * 5 + 5 {
            attempts.push((number, charged(store, ours, phone(number), SETTLE_AFTER).await));
        }
        // The first is never named; the second is named before the kill; the others as the kill lets them.
        acked.push(Acked { number: attempts[0].0, delivery: attempts[0].1, told: false });
        let (number, delivery) = attempts[1];
        assert_eq!(node.name(delivery, phone(number), &[&number.to_string()]).await, Ok(()));
        acked.push(Acked { number, delivery, told: true });
        let names = attempts[2..].iter().map(|(number, delivery)| {
            let (node, text) = (&node, number.to_string());
            async move { node.name(*delivery, phone(*number), &[&text]).await }
        });
        let alive = Duration::from_micros(rand::random_range(0..8_000));
        let mut named = vec![None; 3];
        let _cut = tokio::time::timeout(alive, async {
            let mut names: Vec<_> = names.map(Box::pin).collect();
            for (name, told) in names.iter_mut().zip(&mut named) {
                *told = Some(name.await);
            }
        })
        .await;
        drop(node);
        let told = named.into_iter().map(|told| told == Some(Ok(())));
        acked.extend(attempts[2..].iter().zip(told).map(|((number, delivery), told)| Acked {
            number: *number,
            delivery: *delivery,
            told,
        }));
    }
    acked
}

/// Twenty nodes die with attempts in every state; the receipts of all come later, to a node that knows nothing of them.
pub(super) async fn killed(engine: Engine) {
    let database = Database::fresh(engine).await.expect("a database");
    let store = Store::open(&database.url, 2).await.expect("opens");
    store.migrate().await.expect("migrates");
    let ours = account(&store, "killed", MicroUsd::from_micros(5_000_000)).await;
    let acked = kill_nodes(&database.url, &store, ours).await;

    // What died may still have had a commit under way; then the rows say which attempts are named.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let sought = |acked: &Acked| Sought {
        upstream: UpstreamId("probe".into()),
        references: forms(&[&acked.number.to_string()]),
        phone_key: Some(keyring().phone_key(phone(acked.number))),
    };
    let rows = find(&store, acked.iter().map(sought).collect()).await;
    let node = Node::start(&database.url).await;
    for acked in &acked {
        let to = Some(phone(acked.number));
        for _ in 0..2 {
            assert_eq!(node.report(&acked.number.to_string(), to, ReceiptState::Delivered).await, Ok(()));
        }
    }
    let named = rows.iter().flatten().count();
    for (acked, row) in acked.iter().zip(&rows) {
        let expected = if row.is_some() { "delivered" } else { "sent" };
        assert_eq!(status(&store, acked.delivery).await, expected, "{}", acked.number);
        assert!(row.is_some() || !acked.told, "whoever was told 202 has a row");
        assert!(row.is_none_or(|attempt| attempt.delivery == acked.delivery));
    }
    let strangers = i64::try_from(acked.len() - named).expect("few");
    assert_eq!(count(&store, "parked_receipts").await, 2 * strangers);
    println!("{named} of {} attempts were named", acked.len());

    // Nobody names them any more: they are dropped, and their deliveries are refunded at their settle time.
    age(&store, "parked_receipts", 61).await;
    let config = settings(&database.url, &[]).expect("sane");
    let child = sweeper(&config.sweeper, Duration::from_secs(3_600), &store, SETTLE_AFTER);
    let tree = Tree::grow(Budget::default(), vec![child]).await.expect("starts");
    for (acked, row) in acked.iter().zip(&rows) {
        let expected = if row.is_some() { "delivered" } else { "failed" };
        until("every delivery has ended", async || (status(&store, acked.delivery).await == expected).then_some(()))
            .await;
    }
    until("what nobody named is dropped", async || (count(&store, "parked_receipts").await == 0).then_some(())).await;
    // Too late to change anything.
    for acked in &acked {
        assert_eq!(node.report(&acked.number.to_string(), None, ReceiptState::Delivered).await, Ok(()));
    }
    for (acked, row) in acked.iter().zip(&rows) {
        let expected = if row.is_some() { "delivered" } else { "failed" };
        assert_eq!(status(&store, acked.delivery).await, expected);
    }
    tree.stop(Duration::from_secs(5)).await;
    drop(node);
    assert_sound(&store).await;
}
