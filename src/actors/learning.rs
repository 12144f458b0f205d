//! Learning: which network phones turn out to be on, from receipts, refusals and look-ups.
//!
//! Whoever hears of a network tells this handle, which changes memory at once where the phone is known and never asks the
//! database. The actor behind it writes what is news in batches, finds the phones of receipts that name only a delivery or
//! a reference, and fills memory when it starts. What a crash takes of it is only learned again.

mod link;
mod notebook;
mod sink;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::{Counter, counter, gauge};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::time::Instant;
use tracing::{info, warn};

use self::link::LearningLink;
use self::notebook::Notebook;
use self::sink::LearningSink;
use crate::actors::supervise::{Child, Slot};
use crate::carrier::upstream::{ReceiptSink, Upstream};
use crate::domain::carrier::Carrier;
use crate::domain::ids::DeliveryId;
use crate::domain::phone::Phone;
use crate::domain::reference::{Reference, UpstreamId};
use crate::domain::sealing::PhoneKey;
use crate::records::learned_carriers;
use crate::routing::{LEARNED_MAX, Routing, TTL};
use crate::store::{Store, StoreError};
use crate::telemetry::{count, names};

/// How often what was learned is written.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// How often what is too old is deleted.
const PRUNE_EVERY: Duration = Duration::from_secs(3_600);
/// Facts that may wait to be written; more are dropped, and learned again.
const FACTS_MAX: usize = 8_192;
/// Rows of one page while memory is filled.
const PAGE: i64 = 10_000;

/// Of whom something was learned.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Whom {
    Phone(PhoneKey),
    /// The phone that a delivery went to.
    Delivery(DeliveryId),
    /// The phone of the attempt that an upstream calls so; one of the names is enough. With a phone, only if it is that one.
    Named {
        upstream: UpstreamId,
        references: Vec<Reference>,
        phone: Option<PhoneKey>,
    },
}

/// What was learned.
#[derive(Clone, PartialEq, Eq, Debug)]
enum What {
    /// On this carrier's network.
    On(Carrier),
    /// Not on this carrier's; without one, not on that of the delivery.
    NotOn(Option<Carrier>),
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Fact {
    whom: Whom,
    what: What,
}

/// The handle. Cheap to clone.
#[derive(Clone)]
pub struct Learning {
    routing: Routing,
    facts: Arc<Mutex<Vec<Fact>>>,
    lost: Counter,
}

impl fmt::Debug for Learning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Learning({:?})", self.routing)
    }
}

impl Learning {
    /// Makes the handle and the actor's place in the tree.
    #[must_use]
    pub fn new(routing: &Routing, store: &Store) -> (Self, Child) {
        let learning = Self { routing: routing.clone(), facts: Arc::default(), lost: counter!(names::LEARNED_LOST) };
        let (handle, store) = (learning.clone(), store.clone());
        let child = Child::actor("learning", &Slot::vacant(), move || {
            (Writer { learning: handle.clone(), store: store.clone() }, ())
        });
        (learning, child)
    }

    /// A provider of look-ups says that the phone is on the carrier's network. Remembered whatever the prefix says: the
    /// next order need not ask.
    pub fn looked_up(&self, phone: Phone, carrier: &Carrier) {
        let phone = self.routing.phone_key(phone);
        if self.routing.learn(phone, carrier) {
            self.note(Fact { whom: Whom::Phone(phone), what: What::On(carrier.clone()) });
        }
    }

    /// The carrier refused the phone: it is another network's, or may be.
    fn refuted(&self, phone: Phone, carrier: &Carrier) {
        let key = self.routing.phone_key(phone);
        if self.routing.forget(key, carrier) {
            self.note(Fact { whom: Whom::Phone(key), what: What::NotOn(Some(carrier.clone())) });
        }
    }

    fn note(&self, fact: Fact) {
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        if facts.len() < FACTS_MAX {
            facts.push(fact);
        } else {
            self.lost.increment(1);
        }
    }

    fn take(&self) -> Vec<Fact> {
        std::mem::take(&mut *self.facts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A link that learns from what `upstream` refuses.
    #[must_use]
    pub fn link(&self, upstream: Arc<dyn Upstream>) -> Arc<dyn Upstream> {
        Arc::new(LearningLink::new(upstream, self.clone()))
    }

    /// A sink that learns from the receipts on their way to `sink`.
    #[must_use]
    pub fn sink(&self, sink: Arc<dyn ReceiptSink>) -> Arc<dyn ReceiptSink> {
        Arc::new(LearningSink::new(sink, self.clone()))
    }
}

#[derive(Debug)]
enum Message {
    Fill,
    Write,
    Prune,
}

struct Writer {
    learning: Learning,
    store: Store,
}

impl Actor for Writer {
    type Msg = Message;
    type State = Notebook;
    type Arguments = ();

    async fn pre_start(&self, writer: ActorRef<Message>, (): ()) -> Result<Notebook, ActorProcessingErr> {
        writer.send_after(Duration::ZERO, || Message::Fill);
        writer.send_interval(WRITE_EVERY, || Message::Write);
        writer.send_after(PRUNE_EVERY, || Message::Prune);
        Ok(Notebook::default())
    }

    async fn handle(
        &self,
        writer: ActorRef<Message>,
        message: Message,
        notebook: &mut Notebook,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Fill => {
                if let Err(why) = self.fill().await {
                    warn!(%why, "what was learned of phones cannot be read yet");
                    writer.send_after(WRITE_EVERY, || Message::Fill);
                }
            }
            Message::Write => notebook.write(&self.store, &self.learning).await,
            Message::Prune => {
                let pruned = self.store.write(|tx| Box::pin(learned_carriers::prune(tx, TTL))).await;
                let more = pruned.is_ok_and(|more| more);
                writer.send_after(if more { WRITE_EVERY } else { PRUNE_EVERY }, || Message::Prune);
            }
        }
        gauge!(names::LEARNED).set(count(self.learning.routing.learned().len()));
        Ok(())
    }
}

impl Writer {
    /// Fills memory from the rows, page by page, as far as it goes.
    async fn fill(&self) -> Result<(), StoreError> {
        let (began, learned) = (Instant::now(), self.learning.routing.learned());
        let (mut after, mut rows) = (PhoneKey::from_number(i64::MIN), 0);
        while rows < LEARNED_MAX {
            let page = self.store.read(move |tx| Box::pin(learned_carriers::load(tx, after, TTL, PAGE))).await?;
            let Some(last) = page.last() else { break };
            after = last.phone;
            rows += page.len();
            for row in &page {
                learned.put(row.phone, &row.carrier, row.at);
            }
        }
        if rows > 0 {
            info!(phones = rows, took_ms = began.elapsed().as_millis(), "what was learned of phones is in memory");
        }
        Ok(())
    }
}
