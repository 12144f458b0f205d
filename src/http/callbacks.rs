//! The carriers' listener: receipts that providers bring, `POST /callbacks/{upstream}`, on a port of its own.
//!
//! Who calls proves it (`proof`), from where the settings allow; who can be nobody's provider gets no connection. 200 is said when the receipt is durable and not before; a
//! provider that hears anything else brings it again, and whatever comes twice changes nothing. A receipt of something that
//! nobody knows yet is parked by the sink, and is a 200 too: the provider cannot mend that. No secret and no body is logged.

mod proof;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use hyper::{Method, StatusCode};
use ipnet::IpNet;
use tokio::time::{Instant, timeout};

use crate::carrier::http::receipt::{self, Told};
use crate::carrier::upstream::ReceiptSink;
use crate::config::CallbacksConfig;
use crate::config::upstreams::http::CallbackConfig;
use crate::domain::reference::UpstreamId;
use crate::http::Reply;
use crate::http::body::is_encoded;
use crate::http::client_ip::{carrier_ip, is_trusted};
use crate::http::error::ApiError;
use crate::http::listener::{Call, Handler};
use crate::http::wire;
use crate::telemetry::names;

const ROUTES: [&str; 2] = ["/callbacks/{upstream}", "unknown callback"];
/// A receipt that is not durable by then is brought again.
const DURABLE_WITHIN: Duration = Duration::from_secs(10);
/// An address that no upstream allows is told of so often: it may be a provider's new one, or anybody's.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// One upstream's callbacks.
#[derive(Debug)]
struct Receiver {
    id: UpstreamId,
    config: CallbackConfig,
}

/// Whose callbacks are taken now; cheap to clone, all clones share what is set.
#[derive(Clone, Debug, Default)]
pub struct Receivers(Arc<ArcSwap<HashMap<UpstreamId, Arc<Receiver>>>>);

impl Receivers {
    /// From now on those of `upstreams` are taken, and of nobody else.
    pub fn replace(&self, upstreams: impl IntoIterator<Item = (UpstreamId, CallbackConfig)>) {
        let receivers = upstreams.into_iter().map(|(id, config)| (id.clone(), Arc::new(Receiver { id, config })));
        self.0.store(Arc::new(receivers.collect()));
    }

    /// Whether any of them may be called from `address`.
    fn any_admits(&self, address: IpAddr) -> bool {
        let receivers = self.0.load();
        receivers.is_empty() || receivers.values().any(|receiver| receiver.config.allow.admits(address))
    }

    fn find(&self, name: &str) -> Option<Arc<Receiver>> {
        self.0.load().get(&UpstreamId::new(name)?).cloned()
    }
}

/// The handler of the carriers' listener.
#[derive(Debug)]
pub struct Callbacks {
    receivers: Receivers,
    sink: Arc<dyn ReceiptSink>,
    body_bytes_max: usize,
    trusted_proxies: Vec<IpNet>,
    /// When somebody was last told to have been turned away.
    told: Mutex<Option<Instant>>,
}

/// Why a callback is refused, in the words of the metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Refused {
    Forbidden,
    Unproven,
    TooLarge,
    /// Its bytes are packed: nothing could be read of them, and no signature of what they stand for would hold.
    Encoded,
    Unreadable,
    NotDurable,
}

impl Refused {
    const fn facts(self) -> (&'static str, StatusCode) {
        match self {
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN),
            Self::Unproven => ("unproven", StatusCode::UNAUTHORIZED),
            Self::TooLarge => ("too_large", StatusCode::PAYLOAD_TOO_LARGE),
            Self::Encoded => ("encoded", StatusCode::UNSUPPORTED_MEDIA_TYPE),
            Self::Unreadable => ("unreadable", StatusCode::BAD_REQUEST),
            Self::NotDurable => ("not_durable", StatusCode::SERVICE_UNAVAILABLE),
        }
    }
}

impl Callbacks {
    #[must_use]
    pub fn new(config: &CallbacksConfig, receivers: Receivers, sink: Arc<dyn ReceiptSink>) -> Self {
        let trusted_proxies = config.trusted_proxies.clone();
        Self { receivers, sink, body_bytes_max: config.body_bytes_max, trusted_proxies, told: Mutex::new(None) }
    }

    /// An operator whose provider has a new address sees why no receipt comes.
    fn tell_of(&self, peer: IpAddr) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
            *told = Some(Instant::now());
            tracing::warn!(%peer, "no upstream's `allow` has this address, and no trusted proxy: it gets no connection for callbacks");
        }
    }

    /// Takes one receipt; the word for the metrics.
    async fn take(&self, receiver: &Receiver, call: &mut Call) -> Result<&'static str, Refused> {
        let address = carrier_ip(call.peer, &call.head.headers, &self.trusted_proxies);
        if !receiver.config.allow.admits(address) {
            return Err(Refused::Forbidden);
        }
        let query = call.head.uri.query().unwrap_or_default();
        let proof = &receiver.config.proof;
        if !proof::holds_without_body(proof, &call.head.headers, query) {
            return Err(Refused::Unproven);
        }
        if is_encoded(&call.head.headers) {
            return Err(Refused::Encoded);
        }
        let body = call.body.read_up_to(self.body_bytes_max).await.map_err(|error| match error {
            ApiError::BodyTooLarge => Refused::TooLarge,
            _ => Refused::Unreadable,
        })?;
        if !proof::holds_for_body(proof, &call.head.headers, &body) {
            return Err(Refused::Unproven);
        }
        let told = receipt::of_callback(&receiver.config, &receiver.id, query, &body);
        let Told { receipt, word_is_known } = told.map_err(|_why| Refused::Unreadable)?;
        match timeout(DURABLE_WITHIN, self.sink.put(receipt)).await {
            Ok(Ok(())) if word_is_known => Ok("taken"),
            Ok(Ok(())) => Ok("unknown_word"),
            Ok(Err(_)) | Err(_) => Err(Refused::NotDurable),
        }
    }
}

impl Handler for Callbacks {
    const ROUTES: &'static [&'static str] = &ROUTES;

    fn admits(&self, peer: IpAddr) -> bool {
        let admits = is_trusted(peer.to_canonical(), &self.trusted_proxies) || self.receivers.any_admits(peer);
        if !admits {
            self.tell_of(peer);
        }
        admits
    }

    fn body_bytes_max(&self) -> usize {
        self.body_bytes_max
    }

    async fn handle(&self, call: &mut Call) -> Result<Reply, ApiError> {
        let name = call.head.uri.path().strip_prefix("/callbacks/");
        let receiver = name.and_then(|name| self.receivers.find(name)).ok_or(ApiError::NotFound)?;
        call.route = 0;
        if call.head.method != Method::POST {
            return Err(ApiError::MethodNotAllowed { allow: "POST" });
        }
        let taken = self.take(&receiver, call).await;
        let (result, reply) = match taken {
            Ok(result) => (result, wire::json(StatusCode::OK, Bytes::from_static(b"{\"ok\":true}"))),
            Err(Refused::Encoded) => (Refused::Encoded.facts().0, ApiError::EncodedBody.reply(&call.id)),
            Err(refused) => {
                let (result, status) = refused.facts();
                (result, wire::json(status, Bytes::from_static(b"{\"ok\":false}")))
            }
        };
        let upstream = receiver.id.as_str().to_owned();
        metrics::counter!(names::CALLBACKS, "upstream" => upstream, "result" => result).increment(1);
        Ok(reply)
    }
}

#[cfg(test)]
mod tests;
