//! An HTTP provider from end to end, without the house around it: the rehearsal's provider on one side, a link and the carriers'
//! listener on the other, and the worked example (`config/upstreams/tkc.toml`) as it is printed but for addresses and secrets.

mod daemon;
mod polled;
mod several;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use nexo_route::carrier::http::HttpLink;
use nexo_route::carrier::simulator::{Delay, Script};
use nexo_route::carrier::upstream::{
    Attempt, FailureClass, Naming, NotDurable, Outcome, Receipt, ReceiptSink, ReceiptState, Subject, Upstream as _,
};
use nexo_route::config::upstreams::http::HttpConfig;
use nexo_route::config::{CallbacksConfig, assemble};
use nexo_route::domain::carrier::{Carrier, Channel};
use nexo_route::domain::code::OtpCode;
use nexo_route::domain::ids::DeliveryId;
use nexo_route::domain::phone::Phone;
use nexo_route::domain::reference::UpstreamId;
use nexo_route::http::callbacks::{Callbacks, Receivers};
use nexo_route::http::listener::{Limits, Listener};
use nexo_route::rehearsal::provider::{Provider, Settings};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::house::{until, write_secret};

const KEY: &str = "rehearsal";
const TKC: &str = include_str!("../../config/upstreams/tkc.toml");

/// Keeps what it is told; refuses receipts as often as it is told to.
#[derive(Debug, Default)]
struct Sink {
    receipts: Mutex<Vec<Receipt>>,
    namings: Mutex<Vec<Naming>>,
    refusals: Mutex<usize>,
}

impl ReceiptSink for Sink {
    fn put(&self, receipt: Receipt) -> BoxFuture<'static, Result<(), NotDurable>> {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = *refusals > 0;
        *refusals = refusals.saturating_sub(1);
        if !refused {
            self.receipts.lock().unwrap_or_else(PoisonError::into_inner).push(receipt);
        }
        std::future::ready(if refused { Err(NotDurable) } else { Ok(()) }).boxed()
    }

    fn name(&self, naming: Naming) -> BoxFuture<'static, Result<(), NotDurable>> {
        self.namings.lock().unwrap_or_else(PoisonError::into_inner).push(naming);
        std::future::ready(Ok(())).boxed()
    }
}

/// A provider, a link to it, and the listener that it brings receipts to.
struct Scene {
    link: HttpLink,
    sink: Arc<Sink>,
    _running: JoinSet<()>,
}

impl Scene {
    async fn set() -> Self {
        let here = SocketAddr::from(([127, 0, 0, 1], 0));
        let script =
            Script { receipt: Delay { base: Duration::from_millis(20), ..Delay::default() }, ..Script::default() };
        let settings = Settings { script, phone_gap: Duration::from_secs(30), callback_key: KEY.to_owned() };
        let provider = Provider::bind(here, settings).await.expect("binds");
        let listener = Listener::bind("callbacks", here, Limits::default()).expect("binds");
        let callbacks_at = listener.local_addr().expect("bound");
        let config = example(provider.address().expect("bound"), callbacks_at);
        let (id, receivers) = (UpstreamId::new("tkc").expect("a name"), Receivers::default());
        receivers.replace([(id.clone(), config.callback.clone().expect("the example has callbacks"))]);
        let sink = Arc::new(Sink::default());
        let told: Arc<dyn ReceiptSink> = Arc::<Sink>::clone(&sink);
        let edge: CallbacksConfig = assemble(None, []).expect("the defaults hold").config.callbacks;
        let mut running = JoinSet::new();
        running.spawn(listener.serve(Callbacks::new(&edge, receivers, Arc::clone(&told)), CancellationToken::new()));
        running.spawn(provider.run(std::future::pending()));
        let link = HttpLink::start(id, &config, told).expect("starts");
        Self { link, sink, _running: running }
    }

    fn receipts(&self) -> Vec<Receipt> {
        self.sink.receipts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn receipt_of(&self, attempt: &Attempt) -> Receipt {
        let of = Subject::of_attempt_id(&attempt.id()).expect("reads back");
        until("the receipt comes", async || self.receipts().into_iter().find(|receipt| receipt.subject == of)).await
    }
}

/// The example with both addresses and secrets put in.
fn example(provider: SocketAddr, callbacks: SocketAddr) -> HttpConfig {
    let secret = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("tkc-{:016x}", rand::random::<u64>()));
    write_secret(&secret, KEY);
    let text = TKC
        .replace("https://api.tkc.example", &format!("http://{provider}"))
        .replace("https://otp.example.com", &format!("http://{callbacks}"))
        .replace("203.0.113.0/24", "127.0.0.1")
        .replace("{ env = \"NEXO_TKC_TOKEN\" }", &format!("{{ file = {secret:?} }}"))
        .replace("{ env = \"NEXO_TKC_CALLBACK_KEY\" }", &format!("{{ file = {secret:?} }}"));
    let mut table: toml::Table = text.parse().expect("TOML");
    let mut tkc = std::mem::take(table["upstream"]["tkc"].as_table_mut().expect("the example"));
    tkc.remove("kind");
    let config = tkc.try_into().unwrap_or_else(|error| panic!("{error}"));
    std::fs::remove_file(&secret).expect("removed");
    config
}

fn attempt(phone: &str) -> Attempt {
    let now = Instant::now();
    Attempt {
        delivery: DeliveryId::from_bytes(rand::random()),
        phone: Phone::parse(phone).expect("a phone"),
        carrier: Carrier::new("viettel").expect("a name"),
        channel: Channel::Voice,
        code: OtpCode::parse("482917").expect("a code"),
        leave_by: now + Duration::from_secs(5),
        settle_by: now + Duration::from_secs(65),
    }
}

#[tokio::test]
async fn a_call_is_placed_named_and_reported() {
    let scene = Scene::set().await;
    let call = attempt("+84981000000");
    assert_eq!(scene.link.dispatch(call.clone()).await, Outcome::Accepted);
    let named = scene.sink.namings.lock().unwrap_or_else(PoisonError::into_inner)[0].clone();
    assert!(named.delivery == call.delivery && named.references[0].as_str().starts_with("call-"), "{named:?}");
    let receipt = scene.receipt_of(&call).await;
    assert_eq!((receipt.state, receipt.status.as_str()), (ReceiptState::Delivered, "answered"));
    assert!(receipt.network.is_some());
}

#[tokio::test]
async fn the_limit_of_30_s_is_a_per_phone_outcome_with_the_seconds_that_are_left() {
    let scene = Scene::set().await;
    assert_eq!(scene.link.dispatch(attempt("+84981000000")).await, Outcome::Accepted);
    let second = scene.link.dispatch(attempt("+84981000000")).await;
    let Outcome::PerPhone { retry_after } = second else { panic!("{second:?}") };
    assert!((1..=30).contains(&retry_after.as_secs()), "{retry_after:?}");
    assert_eq!(scene.link.dispatch(attempt("+84982000000")).await, Outcome::Accepted, "another phone is free");
}

#[tokio::test]
async fn a_receipt_that_is_not_durable_is_brought_again() {
    let scene = Scene::set().await;
    *scene.sink.refusals.lock().unwrap_or_else(PoisonError::into_inner) = 2;
    let call = attempt("+84981000000");
    assert_eq!(scene.link.dispatch(call.clone()).await, Outcome::Accepted);
    assert_eq!(scene.receipt_of(&call).await.state, ReceiptState::Delivered);
}

#[tokio::test]
async fn every_forced_outcome_goes_over_the_wire() {
    let scene = Scene::set().await;
    for (number, expected) in [
        (2, ReceiptState::Failed(FailureClass::Unreachable)),
        (3, ReceiptState::Failed(FailureClass::InvalidNumber)),
        (5, ReceiptState::Failed(FailureClass::Expired)),
        // The first answer is lost; the same key finds the call again.
        (13, ReceiptState::Delivered),
    ] {
        let call = attempt(&format!("+849810000{number:02}"));
        assert_eq!(scene.link.dispatch(call.clone()).await, Outcome::Accepted, "{number}");
        assert_eq!(scene.receipt_of(&call).await.state, expected, "{number}");
    }
    let seventh = scene.link.dispatch(attempt("+84981000007")).await;
    assert!(matches!(seventh, Outcome::Refused { class: FailureClass::Rejected, .. }), "{seventh:?}");
    let eighth = scene.link.dispatch(attempt("+84981000008")).await;
    assert_eq!(eighth, Outcome::PerPhone { retry_after: Duration::from_secs(17) });
    let nineteenth = scene.link.dispatch(attempt("+84981000019")).await;
    assert!(matches!(nineteenth, Outcome::NotSent { .. }), "{nineteenth:?}");
}
