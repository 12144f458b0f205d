//! The house as its edge sees it: the handles behind the API, and its pulse for `/readyz`.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Handle;

use crate::actors::accept_health::AcceptHealth;
use crate::actors::dispatch::{Dispatch, LinkState};
use crate::actors::keys::{Keys, KeysError};
use crate::carrier::upstream;
use crate::clock::Doubt;
use crate::domain::api_key::KeyHash;
use crate::domain::carrier::Unroutable;
use crate::domain::ids::{AccountId, DeliveryId};
use crate::domain::money::Buckets;
use crate::domain::numbering::Routed;
use crate::domain::phone::Phone;
use crate::http::backend::{Backend, Identity, KeyRefused};
use crate::http::ops::{Health, LinkHealth, Readiness};
use crate::records::accounts;
use crate::records::attempts::{self, AttemptListing, AttemptPage, Attempts};
use crate::records::deliveries::{Deliveries, Delivery, ListError, Listing, Page};
use crate::send::{Answer, Caller, SendError, SendRequest, Sender};
use crate::store::{Store, StoreError};

/// Every handle that the API calls.
#[derive(Debug)]
pub(super) struct House {
    pub(super) sender: Sender,
    pub(super) keys: Keys,
    pub(super) deliveries: Deliveries,
    pub(super) attempts: Attempts,
    pub(super) store: Store,
    pub(super) engine: Handle,
}

impl Backend for House {
    fn authenticate(&self, key: &KeyHash, ip: IpAddr) -> Result<Identity, KeyRefused> {
        let known = self.keys.authenticate(key).map_err(|error| match error {
            KeysError::Unknown => KeyRefused::Unknown,
            KeysError::Stale => KeyRefused::Stale,
        })?;
        if !known.key.allowlist.admits(ip) {
            return Err(KeyRefused::Address);
        }
        Ok(Identity { account: known.key.account, auth_epoch: known.epoch })
    }

    async fn reload_keys(&self) {
        self.keys.reload().await;
    }

    fn route(&self, phone: Phone) -> Result<Routed, Unroutable> {
        self.sender.route(phone)
    }

    /// Runs in the engine room: on the way through the actors no thread but that one is woken, and a caller that goes away
    /// takes nothing with it.
    async fn send(&self, caller: Caller, request: SendRequest) -> Answer {
        let sender = self.sender.clone();
        let sent = self.engine.spawn(async move { sender.send(caller, request).await }).await;
        sent.unwrap_or_else(|_panicked_or_stopped| Answer::first(Err(SendError::Internal)))
    }

    async fn delivery(&self, account: AccountId, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        self.deliveries.find(account, id).await
    }

    async fn deliveries(&self, account: AccountId, page: &Page) -> Result<Listing, ListError> {
        self.deliveries.list(account, page).await
    }

    async fn attempts(&self, account: AccountId, page: &AttemptPage) -> Result<AttemptListing, attempts::ListError> {
        self.attempts.list(account, page).await
    }

    async fn wallet(&self, account: AccountId) -> Result<Option<Buckets>, StoreError> {
        self.store.read_for_customer(move |tx| Box::pin(async move { accounts::wallet(tx, account).await })).await
    }
}

/// How the house is, for load balancers.
#[derive(Debug)]
pub(super) struct Pulse {
    pub(super) store: Store,
    pub(super) keys: Keys,
    pub(super) accept_health: AcceptHealth,
    pub(super) dispatch: Dispatch,
    pub(super) stopping: Arc<AtomicBool>,
}

impl Readiness for Pulse {
    async fn check(&self) -> Health {
        let schema = self.store.schema_current().await;
        Health {
            database: schema.is_ok(),
            migrations: schema == Ok(true),
            round_trip: self.store.round_trip(),
            keys: self.keys.steady(),
            keys_age_ms: self.keys.age().map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            clock: self.store.clock().doubt().map(Doubt::reason),
            accepting: self.accept_health.is_accepting(),
            links: self.dispatch.any_link_up(),
            stopping: self.stopping.load(Ordering::Relaxed),
        }
    }

    fn links(&self) -> Vec<LinkHealth> {
        let shown = |link: LinkState| LinkHealth {
            upstream: link.upstream.as_str().to_owned(),
            health: match link.health {
                upstream::Health::Up => "up",
                upstream::Health::Down => "down",
                upstream::Health::Misconfigured => "misconfigured",
            },
            paused: link.paused,
            in_flight: link.running,
            window: link.window,
            rate_per_second: link.rate_per_second,
        };
        self.dispatch.links().into_iter().map(shown).collect()
    }
}
