//! A signed POST: the seed's headers, the Standard Webhooks headers beside them, and the body.
//!
//! Made once per attempt, from bytes that are not touched again: what is signed here is what is sent, stored and shown.

use std::fmt;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::http::uri::PathAndQuery;
use hyper::{Method, Request, Uri};

use crate::domain::endpoint_url::EndpointUrl;
use crate::domain::ids::DeliveryId;
use crate::domain::signature::SigningKey;
use crate::domain::webhook::{EventType, KeyForm};

const SEED_SIGNATURE: HeaderName = HeaderName::from_static("x-nexo-signature");
const SEED_EVENT: HeaderName = HeaderName::from_static("x-nexo-event-type");
const SEED_DELIVERY: HeaderName = HeaderName::from_static("x-nexo-delivery-id");
const STANDARD_ID: HeaderName = HeaderName::from_static("webhook-id");
const STANDARD_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const STANDARD_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// What an endpoint's events are signed with.
#[derive(Clone, Debug)]
pub struct Keys {
    pub current: SigningKey,
    /// The key before, while a rotation's overlap lasts.
    pub old: Option<SigningKey>,
    pub form: KeyForm,
}

/// Which key makes `X-NEXO-Signature`, which holds only one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SeedKey {
    /// The old one while there is one: the receiver may not know the new one yet.
    Rotating,
    /// The current one: a ping that asks whether the receiver knows it.
    Current,
}

/// A POST that is ready to be sent.
#[derive(Clone)]
pub struct Post {
    target: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
    unix_seconds: i64,
}

/// Without what it says: a phone stands in its body, and customers put secrets into their URLs.
impl fmt::Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Post({} bytes)", self.body.len())
    }
}

/// Signs `body` for one attempt. `unix_seconds` is the time of the attempt: it is signed too.
#[must_use]
pub fn signed(
    url: &EndpointUrl,
    keys: &Keys,
    event: EventType,
    delivery: DeliveryId,
    unix_seconds: i64,
    body: Vec<u8>,
    seed_key: SeedKey,
) -> Post {
    let seed_signer = match (seed_key, &keys.old) {
        (SeedKey::Rotating, Some(old)) => old,
        _ => &keys.current,
    };
    let id = format!("evt_{delivery}");
    let signers = [Some(&keys.current), keys.old.as_ref()];
    let standard = signers.into_iter().flatten().map(|key| key.standard_signature(&id, unix_seconds, &body));
    let headers = vec![
        (HOST, visible(&url.host_header())),
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (USER_AGENT, HeaderValue::from_static("NEXO-ROUTE/1.0")),
        (SEED_SIGNATURE, visible(&seed_signer.seed_signature(keys.form, &body))),
        (SEED_EVENT, HeaderValue::from_static(event.as_str())),
        (SEED_DELIVERY, visible(&delivery.to_string())),
        (STANDARD_ID, visible(&id)),
        (STANDARD_TIMESTAMP, HeaderValue::from(unix_seconds)),
        (STANDARD_SIGNATURE, visible(&standard.collect::<Vec<_>>().join(" "))),
        (ACCEPT_ENCODING, HeaderValue::from_static("identity")),
        (CONTENT_LENGTH, HeaderValue::from(body.len())),
    ];
    let target = PathAndQuery::try_from(url.target()).expect("an endpoint's path has only what a target may have");
    Post { target: Uri::from(target), headers, body: Bytes::from(body), unix_seconds }
}

/// Names of hosts, ids and signatures: visible ASCII by their making.
fn visible(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("visible ASCII")
}

impl Post {
    /// The head as it goes onto the wire, with line feeds, and without the empty line at its end.
    #[must_use]
    pub fn head(&self) -> String {
        let mut head = format!("POST {} HTTP/1.1\n", self.target);
        for (name, value) in &self.headers {
            head.push_str(&title_case(name.as_str()));
            head.push_str(": ");
            head.push_str(&String::from_utf8_lossy(value.as_bytes()));
            head.push('\n');
        }
        head
    }

    /// The time that is signed.
    pub(crate) fn unix_seconds(&self) -> i64 {
        self.unix_seconds
    }

    pub(crate) fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.target.clone();
        request.headers_mut().extend(self.headers.iter().cloned());
        request
    }
}

/// Names of headers are sent as most write them (`Content-Type`): some receivers compare them letter by letter.
fn title_case(name: &str) -> String {
    let mut starts = true;
    let letters = name.chars().map(|letter| {
        let shown = if starts { letter.to_ascii_uppercase() } else { letter };
        starts = letter == '-';
        shown
    });
    letters.collect()
}
