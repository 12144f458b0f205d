//! The public API: from a routed request to an answer.
//!
//! The order of checks is the contract's §6: path, method, declared length, key, allowlist, media type, body, and then
//! the handler's own. It holds the handles of the house behind [`Backend`] and no state of its own.

mod attempts;
mod balance;
mod deliveries;
mod send_otp;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use hyper::{HeaderMap, StatusCode};
use ipnet::IpNet;

use crate::config::HttpConfig;
use crate::domain::api_key::KeyHash;
use crate::http::backend::{Backend, Identity};
use crate::http::client_ip::client_ip;
use crate::http::error::ApiError;
use crate::http::listener::{Call, Handler};
use crate::http::router::Resource;
use crate::http::{Reply, auth, wire};
use crate::send::Caller;
use crate::store::StoreError;

/// The document that describes this API, compiled in.
pub const OPENAPI: &str = include_str!("openapi.json");

/// The handler of the public listener.
#[derive(Debug)]
pub struct Api<B> {
    backend: B,
    trusted_proxies: Vec<IpNet>,
    deposit_url: Arc<str>,
}

impl<B: Backend> Api<B> {
    #[must_use]
    pub fn new(backend: B, config: &HttpConfig) -> Self {
        Self {
            backend,
            trusted_proxies: config.trusted_proxies.clone(),
            deposit_url: config.deposit_url.as_str().into(),
        }
    }

    /// Authenticates the call.
    fn admit(&self, peer: IpAddr, headers: &HeaderMap) -> Result<(KeyHash, Caller), ApiError> {
        let key = auth::key_of(headers)?;
        let ip = client_ip(peer, headers, &self.trusted_proxies);
        let Identity { account, auth_epoch } = auth::admit(&self.backend, &key, ip)?;
        Ok((key, Caller { account, auth_epoch, ip }))
    }
}

impl<B: Backend> Handler for Api<B> {
    const ROUTES: &'static [&'static str] = &Resource::NAMES;

    async fn handle(&self, call: &mut Call) -> Result<Reply, ApiError> {
        let Call { peer, head, body, id, route } = call;
        let resource = Resource::find(head.uri.path()).ok_or(ApiError::NotFound)?;
        *route = resource.index();
        resource.check(&head.method)?;
        body.check_declared()?;
        if resource == Resource::OpenApi {
            return Ok(wire::json(StatusCode::OK, Bytes::from_static(OPENAPI.as_bytes())));
        }
        let (key, caller) = self.admit(*peer, &head.headers)?;
        match resource {
            Resource::SendOtp => send_otp::answer(self, &head.headers, body, id, &key, caller).await,
            Resource::Deliveries => deliveries::list(self, caller, head.uri.query().unwrap_or_default()).await,
            Resource::Delivery(delivery) => deliveries::find(self, caller, delivery).await,
            Resource::Balance => balance::answer(self, caller).await,
            Resource::WebhookAttempts => attempts::list(self, caller, head.uri.query().unwrap_or_default()).await,
            Resource::OpenApi => Err(ApiError::Internal),
        }
    }
}

/// What a failed read becomes; a failure of ours is logged here, once.
fn store_failed(error: &StoreError, call: &'static str) -> ApiError {
    match error {
        StoreError::Unavailable(_) | StoreError::Unfit(_) | StoreError::Conflict(_) | StoreError::Locked(_) => {
            tracing::warn!(%error, call, "a read failed");
            ApiError::Unavailable
        }
        StoreError::Internal(_) => {
            tracing::error!(%error, call, "a read failed");
            ApiError::Internal
        }
    }
}
