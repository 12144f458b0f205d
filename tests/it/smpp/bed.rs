//! A link between a scripted SMSC and a sink that records.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use nexo_route::carrier::smpp::SmppLink;
use nexo_route::carrier::upstream::{
    Attempt, Health, Naming, NotDurable, Outcome, Receipt, ReceiptSink, ReceiptState, Subject, Upstream,
};
use nexo_route::config::upstreams::smpp::SmppConfig;
use nexo_route::domain::carrier::{Carrier, Channel};
use nexo_route::domain::code::OtpCode;
use nexo_route::domain::ids::DeliveryId;
use nexo_route::domain::phone::Phone;
use nexo_route::domain::reference::{Reference, UpstreamId};
use tokio::time::Instant;

use super::peer::Smsc;
use crate::house::{until, write_secret};

pub const CODE: &str = "482917";

/// What the house was told, in its order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Told {
    Name(Naming),
    Put(Receipt),
}

#[derive(Debug, Default)]
struct Book {
    told: Mutex<Vec<Told>>,
    is_away: AtomicBool,
}

impl Book {
    fn write(&self, told: Told) -> Result<(), NotDurable> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(NotDurable);
        }
        self.told.lock().unwrap_or_else(PoisonError::into_inner).push(told);
        Ok(())
    }
}

/// Records; while it is away nothing is durable.
#[derive(Clone, Debug, Default)]
pub struct Sink(Arc<Book>);

impl Sink {
    pub fn told(&self) -> Vec<Told> {
        self.0.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_away(&self, is_away: bool) {
        self.0.is_away.store(is_away, Ordering::SeqCst);
    }

    pub fn receipts(&self) -> Vec<Receipt> {
        self.told()
            .into_iter()
            .filter_map(|told| if let Told::Put(receipt) = told { Some(receipt) } else { None })
            .collect()
    }

    pub fn namings(&self) -> Vec<Naming> {
        self.told()
            .into_iter()
            .filter_map(|told| if let Told::Name(naming) = told { Some(naming) } else { None })
            .collect()
    }

    /// The states of the receipts that find `attempt` by what it was named.
    pub fn states_of(&self, attempt: &Attempt) -> Vec<ReceiptState> {
        let names: Vec<Reference> = self
            .namings()
            .into_iter()
            .filter(|naming| naming.delivery == attempt.delivery)
            .flat_map(|naming| naming.references)
            .collect();
        let is_of = |receipt: &Receipt| match &receipt.subject {
            Subject::Attempt { delivery, .. } => *delivery == attempt.delivery,
            Subject::Reference { references, phone } => {
                phone.is_none_or(|phone| phone == attempt.phone) && references.iter().any(|form| names.contains(form))
            }
        };
        self.receipts().into_iter().filter(is_of).map(|receipt| receipt.state).collect()
    }
}

impl ReceiptSink for Sink {
    fn put(&self, receipt: Receipt) -> BoxFuture<'static, Result<(), NotDurable>> {
        let book = Arc::clone(&self.0);
        async move { book.write(Told::Put(receipt)) }.boxed()
    }

    fn name(&self, naming: Naming) -> BoxFuture<'static, Result<(), NotDurable>> {
        let book = Arc::clone(&self.0);
        async move { book.write(Told::Name(naming)) }.boxed()
    }
}

/// The link, its SMSC and its sink.
pub struct Bed {
    pub smsc: Smsc,
    pub link: SmppLink,
    pub sink: Sink,
}

/// The settings of an account at `port`, and `more`.
pub fn config(port: u16, more: &str) -> SmppConfig {
    let file = std::env::temp_dir().join(format!("nexo-smpp-{:016x}", rand::random::<u64>()));
    write_secret(&file, "secret\n");
    let least = format!(
        "address = \"127.0.0.1:{port}\"\nsystem_id = \"nexo\"\nsender = \"NEXO\"\npassword = {{ file = {file:?} }}\n\
         reconnect_min_ms = 100\nreconnect_max_ms = 500\n"
    );
    let config = toml::from_str(&format!("{least}{more}")).expect("valid settings");
    std::fs::remove_file(file).expect("removed");
    config
}

impl Bed {
    /// A link that is up.
    pub async fn made(more: &str) -> Self {
        let smsc = Smsc::start(0, None).await;
        let bed = Self::over(smsc, more);
        bed.is(Health::Up).await;
        bed
    }

    /// A link that was just started.
    pub fn over(smsc: Smsc, more: &str) -> Self {
        let sink = Sink::default();
        let link = link(&config(smsc.port, more), &sink);
        Self { smsc, link, sink }
    }

    /// Returns when the link's health is this.
    pub async fn is(&self, health: Health) {
        let known = self.link.health();
        until("the health of the link", async || (*known.borrow() == health).then_some(())).await;
    }

    pub async fn dispatch(&self, attempt: &Attempt) -> Outcome {
        self.link.dispatch(attempt.clone()).await
    }

    /// The states of the receipts that find `attempt`, when there are so many.
    pub async fn receives(&self, attempt: &Attempt, count: usize) -> Vec<ReceiptState> {
        until("the receipts", async || Some(self.sink.states_of(attempt)).filter(|states| states.len() >= count)).await
    }

    /// Ends the link as the daemon does.
    pub async fn stop(self) {
        self.link.shutdown(Duration::from_secs(5)).await;
    }
}

pub fn link(config: &SmppConfig, sink: &Sink) -> SmppLink {
    SmppLink::start(UpstreamId::new("smsc").expect("sane"), config, Arc::new(sink.clone()))
}

/// A fresh attempt to a phone that ends in `digits`; it may leave for `leave_ms`.
pub fn attempt(digits: &str, leave_ms: u64) -> Attempt {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut id = [0; 16];
    id[12..].copy_from_slice(&number.to_be_bytes());
    let now = Instant::now();
    Attempt {
        delivery: DeliveryId::from_bytes(id),
        phone: Phone::from_national(&format!("98{:05}{digits}", number % 100_000)).expect("a mobile"),
        carrier: Carrier::new("viettel").expect("sane"),
        channel: Channel::Sms,
        code: OtpCode::parse(CODE).expect("a code"),
        leave_by: now + Duration::from_millis(leave_ms),
        settle_by: now + Duration::from_millis(leave_ms + 60_000),
    }
}

/// As it stands in a PDU.
pub fn digits(attempt: &Attempt) -> String {
    attempt.phone.e164().trim_start_matches('+').to_owned()
}
