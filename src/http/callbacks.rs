//! The carriers' listener: receipts that providers bring, `POST /callbacks/{upstream}` (or GET, where the settings say so), on a
//! port of its own.
//!
//! Who calls proves it (`proof`), from where the settings allow; who can be nobody's provider gets no connection. 200 is said
//! when every receipt that can be read is durable and not before; a provider that hears anything else brings them again, and
//! whatever comes twice changes nothing. A receipt of something that nobody knows yet is parked by the sink, and is a 200 too:
//! the provider cannot mend that. No secret, no query and no body is logged.

mod proof;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::future::join_all;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, HeaderValue};
use ipnet::IpNet;
use tokio::time::{Instant, timeout};

use crate::carrier::http::receipt::{self, Heard, Unreadable};
use crate::carrier::upstream::ReceiptSink;
use crate::config::CallbacksConfig;
use crate::config::upstreams::http::{CallbackConfig, CallbackMethod};
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
    /// When the log last told of an address that was turned away.
    told_of_peer: Told,
    /// When it last told of a list that the settings do not name.
    told_of_list: Told,
}

/// When something was last logged that a provider may repeat many times a second.
#[derive(Debug, Default)]
struct Told(Mutex<Option<Instant>>);

impl Told {
    /// Whether it is time to log it once more.
    fn is_due(&self) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = told.is_none_or(|at| at.elapsed() >= TELL_EVERY);
        if is_due {
            *told = Some(Instant::now());
        }
        is_due
    }
}

/// Why a callback is refused, in the words of the metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Refused {
    Forbidden,
    Unproven,
    TooLarge,
    /// Its bytes are packed: nothing could be read of them, and no signature of what they stand for would hold.
    Encoded,
    TooMany,
    Unreadable,
    /// What could be read is durable, and there is more in it than the settings name.
    Unseen,
    NotDurable,
}

impl Refused {
    const fn facts(self) -> (&'static str, StatusCode) {
        match self {
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN),
            Self::Unproven => ("unproven", StatusCode::UNAUTHORIZED),
            Self::TooLarge => ("too_large", StatusCode::PAYLOAD_TOO_LARGE),
            Self::Encoded => ("encoded", StatusCode::UNSUPPORTED_MEDIA_TYPE),
            Self::TooMany => ("too_many", StatusCode::PAYLOAD_TOO_LARGE),
            Self::Unreadable => ("unreadable", StatusCode::BAD_REQUEST),
            Self::Unseen => ("unseen", StatusCode::BAD_REQUEST),
            Self::NotDurable => ("not_durable", StatusCode::SERVICE_UNAVAILABLE),
        }
    }
}

impl Callbacks {
    #[must_use]
    pub fn new(config: &CallbacksConfig, receivers: Receivers, sink: Arc<dyn ReceiptSink>) -> Self {
        let (body_bytes_max, trusted_proxies) = (config.body_bytes_max, config.trusted_proxies.clone());
        let (told_of_peer, told_of_list) = (Told::default(), Told::default());
        Self { receivers, sink, body_bytes_max, trusted_proxies, told_of_peer, told_of_list }
    }

    /// Takes what one callback says.
    async fn take(&self, receiver: &Receiver, call: &mut Call) -> Result<(), Refused> {
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
        let body = match receiver.config.method {
            CallbackMethod::Get => Bytes::new(),
            CallbackMethod::Post => call.body.read_up_to(self.body_bytes_max).await.map_err(|error| match error {
                ApiError::BodyTooLarge => Refused::TooLarge,
                _ => Refused::Unreadable,
            })?,
        };
        if !proof::holds_for_body(proof, &call.head.headers, &body) {
            return Err(Refused::Unproven);
        }
        let heard = receipt::of_callback(&receiver.config, &receiver.id, query, &body);
        let heard = heard.map_err(|why| match why {
            Unreadable::TooMany => Refused::TooMany,
            _ => Refused::Unreadable,
        })?;
        self.keep(receiver, heard).await
    }

    /// Makes every receipt durable; one that cannot be read blocks no other.
    async fn keep(&self, receiver: &Receiver, heard: Heard) -> Result<(), Refused> {
        let Heard { told, unreadable, unseen } = heard;
        let (count, unknown) = (told.len(), told.iter().filter(|told| !told.word_is_known).count());
        // In their order: a failure of a first channel may stand before the success of the second.
        let puts: Vec<_> = told.into_iter().map(|told| self.sink.put(told.receipt)).collect();
        let durable = timeout(DURABLE_WITHIN, join_all(puts)).await;
        if !durable.is_ok_and(|durable| durable.iter().all(Result::is_ok)) {
            return Err(Refused::NotDurable);
        }
        receiver.count("taken", count - unknown);
        receiver.count("unknown_word", unknown);
        if let Some(list) = unseen {
            if self.told_of_list.is_due() {
                let upstream = receiver.id.as_str();
                tracing::warn!(
                    upstream,
                    list,
                    "a callback holds more receipts than the pointers see: set callback.each"
                );
            }
            return Err(Refused::Unseen);
        }
        if count == 0 && unreadable > 1 {
            receiver.count("unreadable", unreadable - 1);
        }
        match (count, unreadable) {
            (0, 1..) => return Err(Refused::Unreadable),
            (0, 0) => receiver.count("empty", 1),
            _ => receiver.count("unreadable", unreadable),
        }
        Ok(())
    }
}

impl Receiver {
    /// Receipts, or callbacks that say nothing, by what became of them.
    fn count(&self, result: &'static str, count: usize) {
        if count > 0 {
            let upstream = self.id.as_str().to_owned();
            metrics::counter!(names::CALLBACKS, "upstream" => upstream, "result" => result).increment(count as u64);
        }
    }
}

impl Handler for Callbacks {
    const ROUTES: &'static [&'static str] = &ROUTES;

    fn admits(&self, peer: IpAddr) -> bool {
        let admits = is_trusted(peer.to_canonical(), &self.trusted_proxies) || self.receivers.any_admits(peer);
        // An operator whose provider has a new address sees why no receipt comes.
        if !admits && self.told_of_peer.is_due() {
            tracing::warn!(%peer, "no upstream's `allow` has this address, and no trusted proxy: it gets no connection for callbacks");
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
        // HEAD is no GET here: a checker of links that looks at one settles nothing.
        let allow = receiver.config.method.as_str();
        if call.head.method.as_str() != allow {
            return Err(ApiError::MethodNotAllowed { allow });
        }
        let mut reply = match self.take(&receiver, call).await {
            Ok(()) => wire::json(StatusCode::OK, Bytes::from_static(b"{\"ok\":true}")),
            Err(refused @ Refused::Encoded) => {
                receiver.count(refused.facts().0, 1);
                ApiError::EncodedBody.reply(&call.id)
            }
            Err(refused) => {
                let (result, status) = refused.facts();
                receiver.count(result, 1);
                wire::json(status, Bytes::from_static(b"{\"ok\":false}"))
            }
        };
        // A cache between would swallow a receipt that is brought again.
        reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(reply)
    }
}

#[cfg(test)]
mod tests;
