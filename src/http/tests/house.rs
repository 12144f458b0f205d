//! A house that answers as a test scripts it and remembers what it was asked.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::client::{Client, Seeing};
use crate::config::HttpConfig;
use crate::domain::api_key::{KeyHash, PlainKey};
use crate::domain::carrier::{Carrier, CarrierSource, Channel, Channels, Route, Unroutable};
use crate::domain::delivery::Status;
use crate::domain::ids::{AccountId, AttemptId, DeliveryId};
use crate::domain::money::{Buckets, MicroUsd};
use crate::domain::numbering::Routed;
use crate::domain::phone::Phone;
use crate::domain::time::Timestamp;
use crate::http::api::Api;
use crate::http::backend::{Backend, Identity, KeyRefused};
use crate::http::listener::{Limits, Listener};
use crate::records::attempts::{self, AttemptListing, AttemptPage};
use crate::records::deliveries::{Delivery, ListError, Listing, Page};
use crate::send::{Answer, Caller, SendError, SendRequest, Sent};
use crate::store::StoreError;

pub(super) const ACCOUNT: AccountId = AccountId::from_bytes([0xaa; 16]);
pub(super) const DELIVERY: DeliveryId = DeliveryId::from_bytes([0x11; 16]);
pub(super) const ATTEMPT: AttemptId = AttemptId::from_bytes([0x33; 16]);
pub(super) const ORDER: &str = r#"{"phone":"+84981234567","code":"482917"}"#;

/// What the house says and what it was asked.
#[derive(Default)]
pub(super) struct Script {
    /// What the key list says after each reload; the last one stays.
    pub(super) keys: VecDeque<Result<(), KeyRefused>>,
    pub(super) epoch: i64,
    /// What `send` says, in turn; when it is empty, a 202.
    pub(super) answers: VecDeque<Answer>,
    pub(super) sent: Vec<(Caller, SendRequest)>,
    pub(super) pages: Vec<Page>,
    pub(super) attempt_pages: Vec<AttemptPage>,
    pub(super) broken: Option<StoreError>,
    pub(super) panics: bool,
}

#[derive(Clone)]
pub(super) struct House(Arc<Mutex<Script>>, KeyHash);

impl House {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self) -> Result<(), StoreError> {
        self.script().broken.clone().map_or(Ok(()), Err)
    }
}

impl Backend for House {
    fn authenticate(&self, key: &KeyHash, ip: IpAddr) -> Result<Identity, KeyRefused> {
        let script = self.script();
        script.keys.front().copied().unwrap_or(Ok(()))?;
        if *key != self.1 {
            return Err(KeyRefused::Unknown);
        }
        if ip == IpAddr::V4(Ipv4Addr::new(203, 0, 113, 66)) {
            return Err(KeyRefused::Address);
        }
        Ok(Identity { account: ACCOUNT, auth_epoch: script.epoch })
    }

    async fn reload_keys(&self) {
        let mut script = self.script();
        script.epoch += 1;
        if script.keys.len() > 1 {
            script.keys.pop_front();
        }
    }

    fn route(&self, phone: Phone) -> Result<Routed, Unroutable> {
        let carrier = |name| Carrier::new(name).expect("valid");
        if phone.national() / 10_000_000 == 99 {
            return Err(Unroutable::NotServed(carrier("gmobile")));
        }
        let price = MicroUsd::from_micros(22_000);
        let route = Route { carrier: carrier("mobifone"), channels: Channels::only(Channel::Sms), price };
        Ok(Routed { route: Arc::new(route), source: CarrierSource::Override })
    }

    async fn send(&self, caller: Caller, request: SendRequest) -> Answer {
        let mut script = self.script();
        assert!(!script.panics, "as scripted");
        script.sent.push((caller, request));
        script.answers.pop_front().unwrap_or_else(accepted)
    }

    async fn delivery(&self, account: AccountId, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        self.check()?;
        Ok((account == ACCOUNT && id == DELIVERY).then(delivery))
    }

    async fn deliveries(&self, _: AccountId, page: &Page) -> Result<Listing, ListError> {
        self.check()?;
        self.script().pages.push(page.clone());
        if page.starting_after.is_some_and(|cursor| cursor != DELIVERY) {
            return Err(ListError::BadCursor);
        }
        Ok(Listing { data: vec![delivery()], has_more: false, next_cursor: Some(DELIVERY) })
    }

    async fn attempts(&self, _: AccountId, page: &AttemptPage) -> Result<AttemptListing, attempts::ListError> {
        self.check()?;
        self.script().attempt_pages.push(page.clone());
        if page.starting_after.is_some_and(|cursor| cursor != ATTEMPT) {
            return Err(attempts::ListError::BadCursor);
        }
        Ok(AttemptListing { data: vec![], has_more: false, next_cursor: page.starting_after })
    }

    async fn wallet(&self, _: AccountId) -> Result<Option<Buckets>, StoreError> {
        self.check()?;
        let usd = MicroUsd::from_micros;
        Ok(Some(Buckets { free: usd(66_000), bonus: usd(2_000_000), cash: usd(9_978_000) }))
    }
}

pub(super) fn accepted() -> Answer {
    let carrier = Carrier::new("viettel").expect("valid");
    let (cost, balance) = (MicroUsd::from_micros(22_000), MicroUsd::from_micros(9_978_000));
    Answer { result: Ok(Sent { delivery: DELIVERY, carrier, cost, balance }), replayed: false }
}

pub(super) fn refused(why: SendError) -> Answer {
    Answer { result: Err(why), replayed: false }
}

fn delivery() -> Delivery {
    Delivery {
        id: DELIVERY,
        phone: Phone::parse("+84981234567").expect("valid"),
        carrier: Carrier::new("viettel").expect("valid"),
        channel: Channel::Voice,
        status: Status::Sent,
        cost: MicroUsd::from_micros(22_000),
        refunded: false,
        error_code: None,
        carrier_status: None,
        created_at: Timestamp::from_micros(1_779_703_200_000_000),
        completed_at: None,
        metadata: None,
    }
}

/// The API on a port of its own, and who calls it.
pub(super) struct Edge {
    pub(super) address: SocketAddr,
    pub(super) key: String,
    house: House,
    _served: JoinSet<()>,
}

impl Edge {
    /// Trusts 127.0.0.1 as a proxy, so that a test can call from anywhere.
    pub(super) fn start() -> Self {
        let key = PlainKey::from_entropy(&[5; 32]);
        let house = House(Arc::default(), key.hash());
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let config = HttpConfig {
            bind: local,
            deposit_url: "https://example.com/deposit".to_owned(),
            trusted_proxies: vec![IpAddr::V4(Ipv4Addr::LOCALHOST).into()],
            connections_max: 64,
            connections_per_ip_max: 64,
            first_byte_ms: 60_000,
            header_read_ms: 60_000,
            body_read_ms: 60_000,
            idle_ms: 60_000,
            write_ms: 60_000,
        };
        let listener = Listener::bind("test", local, Limits::from(&config)).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let mut served = JoinSet::new();
        served.spawn(listener.serve(Api::new(house.clone(), &config), CancellationToken::new()));
        Self { address, key: key.expose().to_owned(), house, _served: served }
    }

    pub(super) fn script(&self) -> MutexGuard<'_, Script> {
        self.house.script()
    }

    /// Sends `method path` with `headers` (whole lines) and `body` on a connection of its own.
    pub(super) async fn raw(&self, request_line: &str, headers: &str, body: &str) -> Seeing {
        let mut client = Client::connect(self.address).await;
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        client.send(&format!("{request_line} HTTP/1.1\r\nHost: a\r\n{headers}{length}\r\n{body}")).await;
        client.answer().await
    }

    /// The same with the key.
    pub(super) async fn call(&self, request_line: &str, headers: &str, body: &str) -> Seeing {
        self.raw(request_line, &format!("Authorization: Bearer {}\r\n{headers}", self.key), body).await
    }

    pub(super) async fn order(&self, body: &str) -> Seeing {
        self.call("POST /api/v1/send-otp", "Content-Type: application/json\r\n", body).await
    }
}
