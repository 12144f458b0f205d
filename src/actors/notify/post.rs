//! One POST: a task of its own, on the threads that serve requests.
//!
//! It owns a line to the endpoint and one claimed attempt; it signs, sends, judges the answer and gives all of it back to the
//! desk, however it ends: a POST that panics frees its slot, and its attempt shows as `unknown`. It never sends twice, and
//! never what was claimed too long ago: the process stood still, and somebody may have replayed the event meanwhile.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use metrics::{counter, histogram};
use tokio::time::Instant;
use tracing::debug;

use super::desk::Message;
use super::policy::{Consequence, Ended, consequence};
use super::slots::Ending;
use crate::actors::supervise::Slot;
use crate::clock::DatabaseClock;
use crate::domain::endpoint_url::EndpointUrl;
use crate::domain::ids::EndpointId;
use crate::domain::sealing::Keyring;
use crate::domain::webhook::{Cause, Fault, Outcome};
use crate::records::attempts::Finished;
use crate::records::endpoints::{Endpoint, Recipient};
use crate::records::outbox::Claimed;
use crate::telemetry::names;
use crate::webhook::courier::Courier;
use crate::webhook::line::{Exchange, Line, exchange_text};
use crate::webhook::request::{Keys, Post, SeedKey, signed};

/// An attempt that was claimed longer ago is not sent any more; well below the time after which it shows as `unknown`.
const START_WITHIN: Duration = Duration::from_secs(20);
/// While the desk is started again it takes nothing: how often it is tried, and after which pause.
const TELL_TRIES: u32 = 20;
const TELL_PAUSE: Duration = Duration::from_millis(50);

/// The ways to endpoints; the courier's in the house, a script in tests.
pub(super) trait Ways: Send + Sync {
    fn to(&self, url: &EndpointUrl) -> Box<dyn Way>;
}

/// A way to one endpoint: one connection, kept between POSTs.
pub(super) trait Way: Send {
    fn post<'w>(&'w mut self, post: &'w Post) -> BoxFuture<'w, Exchange>;

    /// Whether the connection is open and has not been idle for too long; closes it if it has.
    fn is_open(&mut self) -> bool;
}

impl Ways for Courier {
    fn to(&self, url: &EndpointUrl) -> Box<dyn Way> {
        Box::new(self.line(url.clone()))
    }
}

impl Way for Line {
    fn post<'w>(&'w mut self, post: &'w Post) -> BoxFuture<'w, Exchange> {
        Box::pin(Self::post(self, post))
    }

    fn is_open(&mut self) -> bool {
        self.close_if_idle();
        Self::is_open(self)
    }
}

/// What every POST is made with.
pub(super) struct Office {
    pub(super) ways: Arc<dyn Ways>,
    pub(super) keyring: Arc<Keyring>,
    pub(super) clock: DatabaseClock,
    /// Where POSTs come back to: the desk that is alive then.
    pub(super) desk: Slot<Message>,
}

/// One claimed attempt on its way.
pub(super) struct Errand {
    /// Which life of the desk it holds its slot of.
    pub(super) birth: u64,
    pub(super) to: Arc<Recipient>,
    pub(super) claimed: Claimed,
    /// Before its claim.
    pub(super) since: Instant,
    pub(super) way: Option<Box<dyn Way>>,
}

/// What comes back of a POST.
pub(super) struct Posted {
    pub(super) birth: u64,
    pub(super) endpoint: EndpointId,
    pub(super) ending: Ending,
    pub(super) way: Option<Box<dyn Way>>,
    /// `None` if nobody knows what became of it.
    pub(super) finished: Option<Finished>,
}

impl Errand {
    /// Does it, and brings back what became of it.
    pub(super) async fn run(self, office: Arc<Office>) {
        let lost = Posted {
            birth: self.birth,
            endpoint: self.to.endpoint.id,
            ending: Ending::Unlearned,
            way: None,
            finished: None,
        };
        let mut guard = Guard { posted: Some(lost), desk: office.desk.clone() };
        let posted = self.send(&office).await;
        guard.posted = Some(posted);
        guard.tell().await;
    }

    async fn send(mut self, office: &Office) -> Posted {
        let (birth, endpoint) = (self.birth, self.to.endpoint.id);
        if self.since.elapsed() > START_WITHIN {
            counter!(names::WEBHOOK_UNRESOLVED, "reason" => "late").increment(1);
            return Posted { birth, endpoint, ending: Ending::Unlearned, way: self.way, finished: None };
        }
        let Claimed { event, delivery, .. } = self.claimed;
        let body = std::mem::take(&mut self.claimed.body);
        let unix_seconds = office.clock.now().millis().div_euclid(1_000);
        let Recipient { endpoint: Endpoint { url, key_form, .. }, key, old_key } = &*self.to;
        let keys = Keys { current: key.clone(), old: old_key.clone(), form: *key_form };
        let post = signed(url, &keys, event, delivery, unix_seconds, body, SeedKey::Rotating);
        let mut way = self.way.take().unwrap_or_else(|| office.ways.to(url));
        let started = Instant::now();
        let exchange = way.post(&post).await;
        let took = started.elapsed();
        self.meter(office, &exchange, took);
        let exchange_sealed = office.keyring.seal_exchange(self.claimed.attempt, &exchange_text(&post, &exchange));
        let finished = self.finished(&exchange, exchange_sealed);
        let way = if way.is_open() { Some(way) } else { None };
        Posted { birth, endpoint, ending: ending(&exchange, took), way, finished: Some(finished) }
    }

    fn finished(&self, exchange: &Exchange, exchange_sealed: Vec<u8>) -> Finished {
        let ended = Ended {
            accepted: exchange.outcome.is_ok(),
            number: self.claimed.number,
            status: exchange.status,
            retry_after: exchange.retry_after,
        };
        let Consequence { retry, endpoint } = consequence(&self.to.endpoint.schedule, ended, rand::random());
        let Claimed { attempt, account, delivery, event, number, .. } = self.claimed;
        Finished {
            attempt,
            endpoint: self.to.endpoint.id,
            account,
            delivery,
            event,
            number,
            outcome: if ended.accepted { Outcome::Accepted } else { Outcome::Failed },
            http_status: exchange.status,
            fault: exchange.outcome.err(),
            phases: exchange.phases,
            exchange_sealed,
            retry,
            endpoint_change: endpoint,
        }
    }

    fn meter(&self, office: &Office, exchange: &Exchange, took: Duration) {
        let (outcome, fault) = match exchange.outcome {
            Ok(_) => (Outcome::Accepted, "none"),
            Err(fault) => (Outcome::Failed, fault.as_str()),
        };
        counter!(names::WEBHOOK_ATTEMPTS, "outcome" => outcome.as_str(), "fault" => fault).increment(1);
        histogram!(names::WEBHOOK_ATTEMPT_SECONDS, "outcome" => outcome.as_str()).record(took);
        if outcome == Outcome::Accepted && self.claimed.cause == Cause::Event {
            histogram!(names::WEBHOOK_DELAY_SECONDS).record(office.clock.now().since(self.claimed.due_at));
        }
        if outcome == Outcome::Failed {
            let endpoint = self.to.endpoint.id;
            debug!(%endpoint, attempt = %self.claimed.attempt, fault, detail = exchange.detail, "a webhook failed");
        }
    }
}

/// What slots learn of an exchange.
fn ending(exchange: &Exchange, took: Duration) -> Ending {
    match exchange.outcome {
        Ok(_) => Ending::Accepted(took),
        Err(Fault::Dns | Fault::Connect | Fault::Tls | Fault::Timeout | Fault::Reset) => Ending::Silent,
        Err(_) => Ending::Answered(took),
    }
}

/// Brings a POST back to the desk, even if its task panics.
struct Guard {
    posted: Option<Posted>,
    desk: Slot<Message>,
}

impl Guard {
    /// Tells the desk; one that is being started again is waited for.
    async fn tell(mut self) {
        for _ in 0..TELL_TRIES {
            let Some(posted) = self.posted.take() else { return };
            match self.desk.cast(Message::Posted(Box::new(posted))) {
                Err(Message::Posted(posted)) => self.posted = Some(*posted),
                Ok(()) | Err(_) => return,
            }
            tokio::time::sleep(TELL_PAUSE).await;
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Some(posted) = self.posted.take() else { return };
        counter!(names::WEBHOOK_UNRESOLVED, "reason" => "lost").increment(1);
        // Without a desk there is nobody who counts slots.
        let _nobody_waits = self.desk.cast(Message::Posted(Box::new(posted)));
    }
}
