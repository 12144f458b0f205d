//! A customer of the gateway: an account with a key, and what it does over HTTP. Also phones, of which tests need many.

use std::net::SocketAddr;

use nexo_route::domain::allowlist::Allowlist;
use nexo_route::domain::api_key::PlainKey;
use nexo_route::domain::ids::{AccountId, KeyId};
use nexo_route::domain::money::{Bucket, MicroUsd};
use nexo_route::records::accounts::{self, AccountName};
use nexo_route::records::audit::Actor;
use nexo_route::records::keys::{self, Created, NewKey, Revoked};
use nexo_route::records::ledger::{self, Credit, Credited, Reference};
use nexo_route::store::Store;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::client::{Answer, Request};
use super::until;

pub const SEND: &str = "/api/v1/send-otp";
/// What one code costs, in micro-dollars.
pub const PRICE: i64 = 22_000;

/// Micro-dollars per bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Purse {
    pub free: i64,
    pub bonus: i64,
    pub cash: i64,
}

impl Purse {
    pub const fn cash(micros: i64) -> Self {
        Self { free: 0, bonus: 0, cash: micros }
    }

    /// Enough for a test that is not about money.
    pub const fn full() -> Self {
        Self::cash(100_000_000)
    }

    pub const fn total(self) -> i64 {
        self.free + self.bonus + self.cash
    }
}

fn operator() -> Actor {
    Actor("tester".into())
}

/// A mobile of Viettel whose fate is left to the dice; `n` below 800,000.
pub fn phone(n: u32) -> String {
    format!("+8498{:07}", 2_100_000 + n)
}

/// A mobile of Viettel that forces outcome `nn`; `series` (0–9) makes ten of each.
pub fn forced(series: u32, nn: u32) -> String {
    format!("+8498{series}0000{nn:02}")
}

/// The body of an order for `phone`.
pub fn body(phone: &str) -> Value {
    json!({"phone": phone, "code": "482917"})
}

/// An account with one key, and the daemon that it calls.
#[derive(Clone, Debug)]
pub struct Customer {
    pub account: AccountId,
    pub key: String,
    pub key_id: KeyId,
    pub api: SocketAddr,
}

impl Customer {
    /// Makes an account with `purse` and a key that may be used from `allowlist`.
    pub async fn create(store: &Store, api: SocketAddr, purse: Purse, allowlist: &[&str]) -> Self {
        let account = store.write(move |tx| {
            let name = AccountName::new("a customer").expect("a name");
            Box::pin(async move { accounts::create(tx, &operator(), &name, MicroUsd::ZERO).await })
        });
        let account = account.await.expect("an account");
        for (bucket, micros) in [(Bucket::Free, purse.free), (Bucket::Bonus, purse.bonus), (Bucket::Cash, purse.cash)] {
            if micros > 0 {
                credit(store, account, bucket, micros).await;
            }
        }
        let (key, key_id) = new_key(store, account, allowlist).await;
        let customer = Self { account, key, key_id, api };
        customer.known_at(api).await;
        customer
    }

    /// Waits until a daemon knows the key.
    pub async fn known_at(&self, api: SocketAddr) {
        let balance = Request::new("GET", "/api/v1/balance").key(&self.key);
        until("the key is known", async || {
            let status = balance.send(api).await.ok()?.status;
            (status == 200 || status == 403).then_some(())
        })
        .await;
    }

    /// The same customer, calling another daemon.
    pub fn at(&self, api: SocketAddr) -> Self {
        Self { api, ..self.clone() }
    }

    /// The same account with another key.
    pub async fn with_another_key(&self, store: &Store, allowlist: &[&str]) -> Self {
        let (key, key_id) = new_key(store, self.account, allowlist).await;
        let customer = Self { key, key_id, ..self.clone() };
        customer.known_at(self.api).await;
        customer
    }

    pub async fn revoke(&self, store: &Store) {
        let key = self.key_id;
        let revoked = store.write(move |tx| Box::pin(async move { keys::revoke(tx, &operator(), key).await }));
        assert_eq!(revoked.await, Ok(Revoked::Done));
    }

    pub fn request(&self, method: &'static str, path: &str) -> Request {
        Request::new(method, path).key(&self.key)
    }

    /// The request that sends a code to `phone`.
    pub fn order(&self, phone: &str) -> Request {
        self.request("POST", SEND).json(&body(phone))
    }

    pub async fn ask(&self, request: &Request) -> Answer {
        request.send(self.api).await.expect("an answer")
    }

    pub async fn send(&self, phone: &str) -> Answer {
        self.ask(&self.order(phone)).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(&self.request("GET", path)).await
    }

    /// Sends every request at once, each on a connection of its own; the answers are in the same order.
    pub async fn volley(&self, requests: impl IntoIterator<Item = Request>) -> Vec<Answer> {
        volley(requests.into_iter().map(|request| (self.api, request))).await
    }

    /// What a read says. On a machine that stood still for a second the key list is old, and the answer 503: that is
    /// asked again.
    pub async fn read(&self, path: &str) -> Value {
        let answer = until("a read is answered", async || {
            let answer = self.get(path).await;
            (answer.status != 503).then_some(answer)
        });
        answer.await.expect(200).json()
    }

    pub async fn delivery(&self, id: &str) -> Value {
        self.read(&format!("/api/v1/deliveries/{id}")).await
    }

    /// The delivery, once it has ended.
    pub async fn ended(&self, id: &str) -> Value {
        until("the delivery ends", async || {
            let delivery = self.delivery(id).await;
            (delivery["status"] != "sent").then_some(delivery)
        })
        .await
    }

    pub async fn purse(&self) -> Purse {
        let answer = self.read("/api/v1/balance").await;
        let of = |name: &str| micros(&answer[name]);
        Purse { free: of("free_credit"), bonus: of("bonus_credit"), cash: of("balance") }
    }
}

/// Micro-dollars of a JSON number.
pub fn micros(number: &Value) -> i64 {
    let amount: MicroUsd = number.to_string().parse().unwrap_or_else(|error| panic!("{number}: {error}"));
    amount.micros()
}

/// Sends every request at once, each on a connection of its own; the answers are in the same order.
pub async fn volley(requests: impl IntoIterator<Item = (SocketAddr, Request)>) -> Vec<Answer> {
    let mut calls = JoinSet::new();
    for (place, (to, request)) in requests.into_iter().enumerate() {
        calls.spawn(async move { (place, request.send(to).await.expect("an answer")) });
    }
    let mut answers = calls.join_all().await;
    answers.sort_by_key(|(place, _)| *place);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

pub async fn credit(store: &Store, account: AccountId, bucket: Bucket, micros: i64) {
    let reference = Reference::new(&format!("test-{}-{:08x}", bucket.as_str(), rand::random::<u32>()));
    let reference = reference.expect("a reference");
    let credit = Credit { account, bucket, amount: MicroUsd::from_micros(micros), reference };
    let credited = store.write(move |tx| {
        let credit = credit.clone();
        Box::pin(async move { ledger::credit(tx, &operator(), &credit).await })
    });
    assert!(matches!(credited.await, Ok(Credited::Done { .. })));
}

async fn new_key(store: &Store, account: AccountId, allowlist: &[&str]) -> (String, KeyId) {
    let plain = PlainKey::from_entropy(&rand::random());
    let allowlist = Allowlist::parse(allowlist.iter().copied()).expect("valid");
    let new = NewKey { account, hash: plain.hash(), hint: plain.hint(), allowlist };
    let created = store.write(move |tx| {
        let new = new.clone();
        Box::pin(async move { keys::create(tx, &operator(), &new).await })
    });
    match created.await.expect("decided") {
        Created::Done(id) => (plain.expose().to_owned(), id),
        other => panic!("no key: {other:?}"),
    }
}
