//! Names, receipts and their ages, written without the house.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use nexo_route::domain::delivery::CarrierStatus;
use nexo_route::domain::ids::{DeliveryId, ReceiptId};
use nexo_route::domain::reference::{Reference, UpstreamId};
use nexo_route::domain::sealing::PhoneKey;
use nexo_route::records::carrier_attempts as names;
use nexo_route::records::parked::{self as parked_rows, Matched, Parked, Place};
use nexo_route::store::{Scalar, Statement, Type};

use super::{CarrierAttempt, Channel, Named, Sought, Store};

static COUNT: Statement = Statement::new("test.names.count", &[], &[], "SELECT COUNT(*) FROM attempts");
static COUNT_PARKED: Statement = Statement::new("test.parked.count", &[], &[], "SELECT COUNT(*) FROM parked_receipts");
static AGE: Statement =
    Statement::new("test.names.age", &[], &[Type::I64], "UPDATE attempts SET at_us = at_us - $1 * 1000000");
static AGE_PARKED: Statement =
    Statement::new("test.parked.age", &[], &[Type::I64], "UPDATE parked_receipts SET at_us = at_us - $1 * 1000000");

pub(super) fn forms(references: &[&str]) -> Vec<Reference> {
    references.iter().map(|text| Reference::new(text).expect("sane")).collect()
}

pub(super) fn delivery(number: u8) -> CarrierAttempt {
    CarrierAttempt { delivery: DeliveryId::from_bytes([number; 16]), channel: Channel::Sms }
}

pub(super) fn named(number: u8, upstream: &str, references: &[&str], phone: i64) -> Named {
    Named {
        upstream: UpstreamId(upstream.into()),
        references: forms(references),
        attempt: delivery(number),
        phone_key: PhoneKey::from_number(phone),
        poller: None,
    }
}

pub(super) fn sought(upstream: &str, references: &[&str], phone: Option<i64>) -> Sought {
    let phone_key = phone.map(PhoneKey::from_number);
    Sought { upstream: UpstreamId(upstream.into()), references: forms(references), phone_key }
}

pub(super) fn parked(number: u8, of: Sought, state: i64) -> Parked {
    Parked { receipt: ReceiptId::from_bytes([number; 16]), of, state, status: CarrierStatus::clean("DELIVRD") }
}

pub(super) async fn insert(store: &Store, named: Vec<Named>) {
    let wrote = store.write(move |tx| {
        let named = named.clone();
        Box::pin(async move { names::insert(tx, &named).await })
    });
    wrote.await.expect("writes");
}

pub(super) async fn find(store: &Store, sought: Vec<Sought>) -> Vec<Option<CarrierAttempt>> {
    store.read(move |tx| Box::pin(async move { names::find(tx, &sought).await })).await.expect("reads")
}

pub(super) async fn park(store: &Store, parked: Vec<Parked>) {
    let wrote = store.write(move |tx| {
        let parked = parked.clone();
        Box::pin(async move { parked_rows::park(tx, &parked).await })
    });
    wrote.await.expect("parks");
}

pub(super) async fn for_names(store: &Store, named: Vec<Named>) -> Vec<Matched> {
    store.read(move |tx| Box::pin(async move { parked_rows::for_names(tx, &named).await })).await.expect("reads")
}

pub(super) async fn walk(store: &Store, from: Place, rows: i64) -> (Vec<Matched>, Option<Place>) {
    let step = store
        .read(move |tx| Box::pin(async move { parked_rows::matches(tx, &from, rows).await }))
        .await
        .expect("reads");
    (step.matched, step.next)
}

pub(super) async fn take(store: &Store, receipts: Vec<ReceiptId>) -> HashSet<ReceiptId> {
    let taken = store.write(move |tx| {
        let receipts = receipts.clone();
        Box::pin(async move { parked_rows::take(tx, &receipts).await })
    });
    taken.await.expect("takes")
}

pub(super) async fn prune(store: &Store, older_secs: u64, limit: i64) -> u64 {
    let before = store.ping().await.expect("answers").minus(Duration::from_secs(older_secs));
    store.write(move |tx| Box::pin(async move { names::prune(tx, before, limit).await })).await.expect("prunes")
}

pub(super) async fn expire(store: &Store, older_secs: u64, limit: i64) -> (BTreeMap<String, u64>, u64) {
    let before = store.ping().await.expect("answers").minus(Duration::from_secs(older_secs));
    let expired = store
        .write(move |tx| Box::pin(async move { parked_rows::expire(tx, before, limit).await }))
        .await
        .expect("drops");
    let by_upstream = expired.by_upstream.into_iter().map(|(upstream, count)| (upstream.as_str().to_owned(), count));
    (by_upstream.collect(), expired.rows)
}

pub(super) async fn count(store: &Store, table: &str) -> i64 {
    let statement = if table == "attempts" { &COUNT } else { &COUNT_PARKED };
    let rows = store.read(move |tx| Box::pin(async move { tx.query(statement, &[], &[]).await })).await.expect("reads");
    rows[0].i64(0).expect("a number")
}

pub(super) async fn age(store: &Store, table: &str, secs: i64) {
    let statement = if table == "attempts" { &AGE } else { &AGE_PARKED };
    let aged =
        store.write(move |tx| Box::pin(async move { tx.execute(statement, &[], &[Scalar::I64(secs)]).await })).await;
    aged.expect("ages");
}
