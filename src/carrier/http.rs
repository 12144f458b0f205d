//! A provider that is spoken to over HTTP: the second implementation of [`Upstream`], configured and not coded.
//!
//! An attempt is a request (`request`) over a kept connection (`line`, `exchange`); its answer is judged by the settings (`answer`). What
//! certainly did not reach the provider is `NotSent`; what may have is `Ambiguous`, unless the provider promises to take a key
//! of ours once only: then the same request goes again while it may still leave (`sending`). "Slower" pauses the whole link
//! (`throttle`), and what cannot be reached is probed (`vitals`). Receipts are read by `receipt`, which callbacks bring to the
//! edge and `polling` fetches; what another node asked for until it died comes by `orphans`. Attempts run as tasks of the link, so that a caller who stops waiting loses no answer.

pub(in crate::carrier) mod answer;
pub(in crate::carrier) mod exchange;
mod form;
pub(in crate::carrier) mod line;
mod meters;
mod orphans;
mod polling;
pub mod receipt;
mod request;
mod retry_after;
mod sending;
mod throttle;
mod vitals;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use request::signature;

use super::upstream::{Attempt, Capabilities, Health, Outcome, ReceiptSink, ReceiptTrust, Upstream};
use crate::config::upstreams::http::{HttpConfig, Worth};
use crate::domain::delivery::CarrierStatus;
use crate::domain::ids::PollerId;
use crate::domain::reference::UpstreamId;
use crate::wire::tls::TlsError;
use line::Lines;
use meters::Meters;
use polling::Polls;
use throttle::Throttle;
use vitals::Vitals;

/// A link to one provider; cheap to clone.
#[derive(Clone)]
pub struct HttpLink {
    shared: Arc<Shared>,
}

/// What attempts, polls and probes of one link share.
struct Shared {
    id: UpstreamId,
    /// This life of the link, where it asks for receipts.
    poller: PollerId,
    config: HttpConfig,
    capabilities: Capabilities,
    sink: Arc<dyn ReceiptSink>,
    lines: Lines,
    throttle: Throttle,
    vitals: Vitals,
    polls: Polls,
    meters: Meters,
    /// The places of the window.
    window: Arc<Semaphore>,
    /// Where the link's tasks run.
    runtime: Handle,
    tasks: TaskTracker,
    /// No attempt begins any more, and nothing is asked for.
    closed: CancellationToken,
    /// What is under way is called off.
    cut: CancellationToken,
}

impl fmt::Debug for HttpLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpLink({})", self.shared.id.as_str())
    }
}

impl HttpLink {
    /// Starts a link named `id` on the runtime that this is called on. It tells `sink` of receipts that it fetches, and of the
    /// names under which receipts will come.
    ///
    /// # Errors
    /// [`TlsError`] if the extra authorities cannot be read.
    pub fn start(id: UpstreamId, config: &HttpConfig, sink: Arc<dyn ReceiptSink>) -> Result<Self, TlsError> {
        let shared = Arc::new(Shared {
            capabilities: capabilities(config),
            lines: Lines::new(config)?,
            throttle: Throttle::new(),
            vitals: Vitals::new(id.clone()),
            polls: Polls::new(config),
            meters: Meters::new(&id),
            window: Arc::new(Semaphore::new(config.in_flight_max)),
            runtime: Handle::current(),
            tasks: TaskTracker::new(),
            closed: CancellationToken::new(),
            cut: CancellationToken::new(),
            config: config.clone(),
            sink,
            poller: PollerId::from_bytes(rand::random()),
            id,
        });
        let nursed = Arc::clone(&shared);
        shared.tasks.spawn_on(
            async move { nursed.closed.run_until_cancelled(nursed.vitals.nurse(&nursed.lines)).await },
            &shared.runtime,
        );
        if config.poll.is_some() {
            let adopting = Arc::clone(&shared);
            let closed = shared.closed.clone();
            shared.tasks.spawn_on(closed.run_until_cancelled_owned(adopting.take_over()), &shared.runtime);
        }
        Ok(Self { shared })
    }
}

fn capabilities(config: &HttpConfig) -> Capabilities {
    Capabilities {
        in_flight_max: config.in_flight_max,
        rate_per_second: config.rate_per_second,
        per_phone_gap: config.per_phone_gap,
        receipts: match config.receipts {
            Worth::Handset => ReceiptTrust::Handset,
            Worth::Network => ReceiptTrust::Network,
            Worth::Refunded => ReceiptTrust::Refunded,
            Worth::Charged => ReceiptTrust::Charged,
        },
    }
}

fn not_sent(why: &str) -> Outcome {
    Outcome::NotSent { status: CarrierStatus::clean(why) }
}

fn ambiguous(why: &str) -> Outcome {
    Outcome::Ambiguous { status: CarrierStatus::clean(why) }
}

impl Upstream for HttpLink {
    fn id(&self) -> &UpstreamId {
        &self.shared.id
    }

    fn capabilities(&self) -> &Capabilities {
        &self.shared.capabilities
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.shared.vitals.watch()
    }

    fn dispatch(&self, attempt: Attempt) -> BoxFuture<'static, Outcome> {
        let shared = &self.shared;
        if shared.closed.is_cancelled() {
            return future::ready(not_sent("link closed")).boxed();
        }
        let Ok(place) = Arc::clone(&shared.window).try_acquire_owned() else {
            return future::ready(not_sent("window full")).boxed();
        };
        let sending = Arc::clone(shared);
        let task = shared.tasks.spawn_on(
            async move {
                let _place = place;
                let cut = sending.cut.clone();
                cut.run_until_cancelled_owned(sending.send(attempt)).await
            },
            &shared.runtime,
        );
        // Dropping the handle leaves the task to itself: a late answer still has a name to tell.
        task.map(|ended| match ended {
            Ok(Some(outcome)) => outcome,
            Ok(None) => ambiguous("the link was closed"),
            Err(_panicked) => ambiguous("the link failed"),
        })
        .boxed()
    }

    fn shutdown(&self, grace: Duration) -> BoxFuture<'static, ()> {
        let shared = Arc::clone(&self.shared);
        shared.closed.cancel();
        shared.vitals.close();
        async move {
            shared.tasks.close();
            if tokio::time::timeout(grace, shared.tasks.wait()).await.is_err() {
                shared.cut.cancel();
                shared.tasks.wait().await;
            }
            shared.leave().await;
            shared.lines.close();
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;
