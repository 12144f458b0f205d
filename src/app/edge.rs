//! The house as its edge sees it: the handles behind the API, and its pulse for `/readyz`.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::actors::dispatch::Dispatch;
use crate::actors::keys::{Keys, KeysError};
use crate::domain::api_key::KeyHash;
use crate::domain::carrier::{Route, Unroutable};
use crate::domain::ids::{AccountId, DeliveryId};
use crate::domain::money::Buckets;
use crate::domain::phone::Phone;
use crate::http::backend::{Backend, Identity, KeyRefused};
use crate::http::ops::{Health, Readiness};
use crate::records::accounts;
use crate::records::deliveries::{Deliveries, Delivery, ListError, Listing, Page};
use crate::send::{Answer, Caller, SendRequest, Sender};
use crate::store::{Store, StoreError};

/// Every handle that the API calls.
#[derive(Debug)]
pub(super) struct House {
    pub(super) sender: Sender,
    pub(super) keys: Keys,
    pub(super) deliveries: Deliveries,
    pub(super) store: Store,
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

    fn route(&self, phone: Phone) -> Result<Arc<Route>, Unroutable> {
        self.sender.route(phone)
    }

    async fn send(&self, caller: Caller, request: SendRequest) -> Answer {
        self.sender.send(caller, request).await
    }

    async fn delivery(&self, account: AccountId, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        self.deliveries.find(account, id).await
    }

    async fn deliveries(&self, account: AccountId, page: &Page) -> Result<Listing, ListError> {
        self.deliveries.list(account, page).await
    }

    async fn wallet(&self, account: AccountId) -> Result<Option<Buckets>, StoreError> {
        self.store.read(move |tx| Box::pin(async move { accounts::wallet(tx, account).await })).await
    }
}

/// How the house is, for load balancers.
#[derive(Debug)]
pub(super) struct Pulse {
    pub(super) store: Store,
    pub(super) dispatch: Dispatch,
    pub(super) stopping: Arc<AtomicBool>,
}

impl Readiness for Pulse {
    async fn check(&self) -> Health {
        let schema = self.store.schema_current().await;
        Health {
            database: schema.is_ok(),
            migrations: schema == Ok(true),
            links: self.dispatch.any_link_up(),
            stopping: self.stopping.load(Ordering::Relaxed),
        }
    }
}
