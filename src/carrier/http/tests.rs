//! A link before a provider that is a raw socket: every test says what the provider does, and what became of the attempt.

mod answers;
mod faults;
mod polling;
mod provider;
mod receipts;
mod requests;
mod sending;
mod tkc;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::HttpLink;
use crate::carrier::upstream::{Attempt, Naming, NotDurable, Outcome, Receipt, ReceiptSink};
use crate::config::upstreams::http::HttpConfig;
use crate::domain::carrier::{Carrier, Channel};
use crate::domain::code::OtpCode;
use crate::domain::delivery::CarrierStatus;
use crate::domain::ids::DeliveryId;
use crate::domain::phone::Phone;
use crate::domain::reference::UpstreamId;
use provider::Provider;

/// Long on any machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A sink that keeps what it is told, and is not durable as often as a test wants.
#[derive(Debug, Default)]
pub(super) struct Sink {
    told: Mutex<Told>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Told {
    receipts: Vec<Receipt>,
    namings: Vec<Naming>,
    refusals: usize,
}

impl Sink {
    fn refuse(&self, refusals: usize) {
        self.told().refusals = refusals;
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, keep: impl FnOnce(&mut Told)) -> Result<(), NotDurable> {
        let mut told = self.told();
        if told.refusals > 0 {
            told.refusals -= 1;
            return Err(NotDurable);
        }
        keep(&mut told);
        self.news.notify_one();
        Ok(())
    }

    /// The names that were told, as text.
    fn names(&self) -> Vec<String> {
        let told = self.told();
        told.namings.iter().flat_map(|naming| &naming.references).map(|name| name.as_str().to_owned()).collect()
    }

    async fn named(&self) -> Vec<String> {
        self.heard(|told| !told.namings.is_empty()).await;
        self.names()
    }

    async fn received(&self) -> Vec<Receipt> {
        self.heard(|told| !told.receipts.is_empty()).await;
        self.told().receipts.clone()
    }

    async fn heard(&self, enough: impl Fn(&Told) -> bool) {
        let waiting = async {
            while !enough(&self.told()) {
                self.news.notified().await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("the sink is told");
    }
}

impl ReceiptSink for Sink {
    fn put(&self, receipt: Receipt) -> BoxFuture<'static, Result<(), NotDurable>> {
        let kept = self.keep(|told| told.receipts.push(receipt));
        std::future::ready(kept).boxed()
    }

    fn name(&self, naming: Naming) -> BoxFuture<'static, Result<(), NotDurable>> {
        let kept = self.keep(|told| told.namings.push(naming));
        std::future::ready(kept).boxed()
    }
}

/// An attempt to the same phone each time, which may leave for 5 s.
pub(super) fn attempt() -> Attempt {
    leaving_within(Duration::from_secs(5))
}

pub(super) fn leaving_within(leave: Duration) -> Attempt {
    let now = Instant::now();
    Attempt {
        delivery: "01997d0a-0000-7000-8000-000000000001".parse::<DeliveryId>().expect("an id"),
        phone: Phone::parse("+84981234567").expect("a phone"),
        carrier: Carrier::new("viettel").expect("a name"),
        channel: Channel::Voice,
        code: OtpCode::parse("482917").expect("a code"),
        leave_by: now + leave,
        settle_by: now + leave + Duration::from_secs(60),
    }
}

/// The settings of a provider at `address`, with `more` beside what every provider needs.
pub(super) fn settings(address: &str, more: &str) -> HttpConfig {
    let text = format!("url = \"http://{address}/send\"\njson = {{ to = \"{{phone}}\", code = \"{{code}}\" }}\n{more}");
    toml::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// What most tests are about: a provider that names what it takes, brings receipts, and answers soon or never.
const USUAL: &str = "
answer_timeout_ms = 400
connect_timeout_ms = 400
answers = [{ status = \"2xx\", at = \"/id\", means = \"accepted\", reference = \"/id\" }]
callback = { header = { name = \"x-key\", value = { file = \".rustfmt.toml\" } }, reference = \"/id\", status = \"/s\", delivered = [\"d\"] }
";

pub(super) fn link(config: &HttpConfig) -> (HttpLink, Arc<Sink>) {
    let sink = Arc::new(Sink::default());
    let id = UpstreamId::new("tkc").expect("a name");
    let told: Arc<dyn ReceiptSink> = Arc::<Sink>::clone(&sink);
    (HttpLink::start(id, config, told).expect("starts"), sink)
}

/// A link before a provider, with the usual settings and `more`.
pub(super) fn before(provider: &Provider, more: &str) -> (HttpLink, Arc<Sink>) {
    link(&settings(&provider.address.to_string(), &format!("{USUAL}{more}")))
}

pub(super) fn status_of(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::NotSent { status } | Outcome::Refused { status, .. } | Outcome::Ambiguous { status } => {
            status.as_str()
        }
        Outcome::Accepted | Outcome::PerPhone { .. } => "",
    }
}

pub(super) fn ambiguous(status: &str) -> Outcome {
    Outcome::Ambiguous { status: CarrierStatus::clean(status) }
}

/// A file with a secret, gone when it is dropped.
pub(super) struct SecretFile(PathBuf);

impl SecretFile {
    pub(super) fn new(secret: &str) -> Self {
        let path = std::env::temp_dir().join(format!("nexo-http-{:016x}", rand::random::<u64>()));
        std::fs::write(&path, secret).expect("written");
        Self(path)
    }

    pub(super) fn source(&self) -> String {
        format!("{{ file = {:?} }}", self.0)
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
