//! What the edge asks of the house: one trait, so that the whole edge is tested against a scripted house.
//!
//! Nothing here knows HTTP. Every method is the call of one handle of a lower floor.

use std::future::Future;
use std::net::IpAddr;

use crate::domain::api_key::KeyHash;
use crate::domain::carrier::Unroutable;
use crate::domain::ids::{AccountId, DeliveryId};
use crate::domain::money::Buckets;
use crate::domain::numbering::Routed;
use crate::domain::phone::Phone;
use crate::records::attempts::{self, AttemptListing, AttemptPage};
use crate::records::deliveries::{Delivery, ListError, Listing, Page};
use crate::send::{Answer, Caller, SendRequest};
use crate::store::StoreError;

/// Who a live key belongs to, as the key list of epoch `auth_epoch` knew it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    pub account: AccountId,
    pub auth_epoch: i64,
}

/// Why a key does not authenticate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyRefused {
    /// Not a live key: never issued, revoked, or its account is closed.
    Unknown,
    /// Live, but not to be used from this address.
    Address,
    /// The key list is too old to be believed.
    Stale,
}

/// The house behind the edge.
pub trait Backend: Send + Sync + 'static {
    /// Who calls with `key` from `ip`; it never asks the database.
    ///
    /// # Errors
    /// [`KeyRefused`].
    fn authenticate(&self, key: &KeyHash, ip: IpAddr) -> Result<Identity, KeyRefused>;

    /// Reads the key list anew.
    fn reload_keys(&self) -> impl Future<Output = ()> + Send;

    /// # Errors
    /// [`Unroutable`] if no configured carrier serves the phone.
    fn route(&self, phone: Phone) -> Result<Routed, Unroutable>;

    /// Runs the use case to its end.
    fn send(&self, caller: Caller, request: SendRequest) -> impl Future<Output = Answer> + Send;

    /// The delivery, if it is this account's.
    fn delivery(
        &self,
        account: AccountId,
        id: DeliveryId,
    ) -> impl Future<Output = Result<Option<Delivery>, StoreError>> + Send;

    /// One page of the account's deliveries, newest first.
    fn deliveries(&self, account: AccountId, page: &Page) -> impl Future<Output = Result<Listing, ListError>> + Send;

    /// One page of what was sent to the account's webhook endpoints, newest first.
    fn attempts(
        &self,
        account: AccountId,
        page: &AttemptPage,
    ) -> impl Future<Output = Result<AttemptListing, attempts::ListError>> + Send;

    /// What the account holds; `None` if there is no such account.
    fn wallet(&self, account: AccountId) -> impl Future<Output = Result<Option<Buckets>, StoreError>> + Send;
}
