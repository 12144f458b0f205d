//! Brings receipts to the URLs that came with the calls: over plain HTTP, signed, again until they are answered 200.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::calls::{Call, Calls};
use crate::carrier::upstream::{Naming, NotDurable, Receipt, ReceiptSink, Subject};
use crate::domain::endpoint_url::{EndpointUrl, Host};
use crate::domain::json::Object;
use crate::domain::signature::{hex, hmac_sha256};
use crate::wire::dns::Dns;
use crate::wire::tcp;

/// From the look-up of a name to the status line of the answer.
const WITHIN: Duration = Duration::from_secs(10);
/// So much of an answer is read: its status line.
const STATUS_BYTES: usize = 12;

/// The sink of the script's receipts.
pub(super) struct Bringer {
    calls: Arc<Calls>,
    post: Arc<Post>,
}

struct Post {
    key: String,
    dns: Dns,
}

impl fmt::Debug for Bringer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bringer")
    }
}

impl Bringer {
    pub(super) fn new(calls: Arc<Calls>, key: &str) -> Self {
        Self { calls, post: Arc::new(Post { key: key.to_owned(), dns: Dns::new(&[], WITHIN) }) }
    }
}

impl ReceiptSink for Bringer {
    fn put(&self, receipt: Receipt) -> BoxFuture<'static, Result<(), NotDurable>> {
        let Subject::Attempt { delivery, .. } = receipt.subject else { return future::ready(Ok(())).boxed() };
        let Some((call, status)) = self.calls.report(delivery, receipt.state) else {
            return future::ready(Ok(())).boxed();
        };
        let Some(url) = call.callback.as_deref().and_then(|url| EndpointUrl::parse(url).ok()) else {
            return future::ready(Ok(())).boxed();
        };
        let post = Arc::clone(&self.post);
        async move {
            let brought = timeout(WITHIN, post.bring(&url, &call, status)).await;
            // Whoever says anything else hears it again: the script's pump repeats it.
            if brought.is_ok_and(|answered| answered == Some(200)) { Ok(()) } else { Err(NotDurable) }
        }
        .boxed()
    }

    fn name(&self, _: Naming) -> BoxFuture<'static, Result<(), NotDurable>> {
        future::ready(Ok(())).boxed()
    }
}

impl Post {
    /// The status of the answer, if there is one.
    async fn bring(&self, url: &EndpointUrl, call: &Call, status: &'static str) -> Option<u16> {
        if url.is_https() {
            tracing::warn!(host = %url.host(), "a rehearsal brings receipts over http:// only");
            return Some(200);
        }
        let body = Object::with_capacity(256)
            .text("call_id", &call.id)
            .text("client_ref", call.client_ref.as_deref().unwrap_or_default())
            .quoted("to", call.phone.e164())
            .quoted("status", status)
            .quoted("network", "452-04")
            .finish();
        let signature = hex(&hmac_sha256(self.key.as_bytes(), &[&body]));
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nX-TKC-Signature: sha256={}\r\n\
             Connection: close\r\nContent-Length: {}\r\n\r\n",
            url.target(),
            url.host_header(),
            *signature,
            body.len()
        );
        let addresses = match url.host() {
            Host::Address(address) => vec![*address],
            Host::Name(name) => self.dns.look_up(name).await.ok()?,
        };
        let mut stream = tcp::connect(&addresses, url.port(), Instant::now() + WITHIN).await.ok()?;
        stream.write_all(&[head.as_bytes(), &body].concat()).await.ok()?;
        let mut line = [0; STATUS_BYTES];
        stream.read_exact(&mut line).await.ok()?;
        std::str::from_utf8(line.get(9..)?).ok()?.parse().ok()
    }
}
