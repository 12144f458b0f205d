//! Our own SMPP link at full speed: one bind, a window that is kept full, receipts that are durable at once.
//!
//! Nothing of the house is here but the link, so that what it achieves can be held against a bare `rusmpp` loop (`smpp_bare`).
//! The password is in NEXO_SMPP_PASSWORD. Prints one JSON document.

#![allow(clippy::print_stdout, reason = "a program of the load test: its output is its interface")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Parser;
use futures_util::future::{self, BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use nexo_route::carrier::smpp::SmppLink;
use nexo_route::carrier::upstream::{
    Attempt, Health, Naming, NotDurable, Outcome, Receipt, ReceiptSink, ReceiptState, Upstream,
};
use nexo_route::config::upstreams::smpp::SmppConfig;
use nexo_route::domain::carrier::{Carrier, Channel};
use nexo_route::domain::code::OtpCode;
use nexo_route::domain::ids::DeliveryId;
use nexo_route::domain::phone::Phone;
use nexo_route::domain::reference::UpstreamId;
use tokio::time::Instant;

#[derive(Parser)]
struct Arguments {
    #[arg(long)]
    to: SocketAddr,
    #[arg(long, default_value = "nexo")]
    system_id: String,
    #[arg(long, default_value_t = 20_000)]
    count: u32,
    #[arg(long, default_value_t = 50)]
    window: usize,
    /// How long to wait for the receipts that are left.
    #[arg(long, default_value_t = 10)]
    patience_s: u64,
}

/// Counts; everything is durable at once.
#[derive(Debug, Default)]
struct Counting {
    named: AtomicU32,
    delivered: AtomicU32,
}

impl ReceiptSink for Counting {
    fn put(&self, receipt: Receipt) -> BoxFuture<'static, Result<(), NotDurable>> {
        self.delivered.fetch_add(u32::from(receipt.state == ReceiptState::Delivered), Ordering::Relaxed);
        future::ready(Ok(())).boxed()
    }

    fn name(&self, _naming: Naming) -> BoxFuture<'static, Result<(), NotDurable>> {
        self.named.fetch_add(1, Ordering::Relaxed);
        future::ready(Ok(())).boxed()
    }
}

fn attempt(n: u32, carrier: &Carrier) -> anyhow::Result<Attempt> {
    // Never one of the forced numbers, which end in 0000NN.
    let phone = 320_000_000 + (n / 999_000) * 1_000_000 + 1_000 + n % 999_000;
    let now = Instant::now();
    Ok(Attempt {
        delivery: DeliveryId::from_bytes(u128::from(n + 1).to_be_bytes()),
        phone: Phone::from_national_number(phone).context("a mobile")?,
        carrier: carrier.clone(),
        channel: Channel::Sms,
        code: OtpCode::parse(&format!("{:06}", n % 1_000_000)).context("a code")?,
        leave_by: now + Duration::from_secs(30),
        settle_by: now + Duration::from_secs(95),
    })
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { to, system_id, count, window, patience_s } = Arguments::parse();
    let config: SmppConfig = toml::from_str(&format!(
        "address = \"{to}\"\nsystem_id = \"{system_id}\"\npassword = {{ env = \"NEXO_SMPP_PASSWORD\" }}\nwindow = {window}\nsender = \"NEXO\"\n"
    ))?;
    let sink = Arc::new(Counting::default());
    let counting: Arc<dyn ReceiptSink> = Arc::clone(&sink) as _;
    let link = SmppLink::start(UpstreamId::new("bench").context("a name")?, &config, counting);
    link.health().wait_for(|health| *health == Health::Up).await?;

    let carrier = Carrier::new("viettel").context("a carrier")?;
    let (began, mut under_way) = (Instant::now(), FuturesUnordered::new());
    let (mut sent, mut accepted, mut other) = (0, 0_u32, 0_u32);
    // The link's own bound keeps its window full while names become durable.
    let at_once = link.capabilities().in_flight_max;
    while sent < count || !under_way.is_empty() {
        while sent < count && under_way.len() < at_once {
            under_way.push(link.dispatch(attempt(sent, &carrier)?));
            sent += 1;
        }
        match under_way.next().await {
            Some(Outcome::Accepted) => accepted += 1,
            Some(_) => other += 1,
            None => {}
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let deadline = Instant::now() + Duration::from_secs(patience_s);
    while sink.delivered.load(Ordering::Relaxed) < accepted && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let receipts = sink.delivered.load(Ordering::Relaxed);
    ensure!(sink.named.load(Ordering::Relaxed) == accepted, "what is accepted has a name");
    link.shutdown(Duration::from_secs(2)).await;
    let rate = f64::from(accepted + other) / seconds;
    println!(
        r#"{{"submits":{},"accepted":{accepted},"receipts":{receipts},"seconds":{seconds:.3},"rate":{rate:.1}}}"#,
        accepted + other
    );
    Ok(())
}
