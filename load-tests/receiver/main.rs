//! Receivers of webhooks: a good one that counts, and hostile ones, each on a port of its own.
//!
//! Prints one JSON object with the address of each and ends when it is killed, or with its totals on SIGTERM. The good one
//! takes POSTs on any path and answers 200; `GET /stats` shows totals, `GET /log` one line for every pair of path and
//! delivery: both, and how often it came.

#![allow(clippy::print_stdout, reason = "a program of the load test: its output is its interface")]
#![allow(unreachable_pub, reason = "a program exports nothing; `pub` is how its files see each other")]

mod counting;
mod hostile;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use serde_json::{Map, Value};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;

use counting::Ledger;
use hostile::Manner;

#[derive(Parser)]
struct Arguments {
    /// How long the good receiver takes to answer.
    #[arg(long, default_value_t = 0)]
    answer_ms: u64,
    /// What the gzip bomb sends; without it there is none.
    #[arg(long)]
    bomb: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, run(arguments))
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut ended = signal(SignalKind::terminate())?;
    let mut addresses = Map::new();
    let bomb = arguments.bomb.map(std::fs::read).transpose()?;
    for manner in Manner::all(bomb) {
        addresses.insert(manner.name().to_owned(), manner.start().await?.to_string().into());
    }
    let ledger = Ledger::default();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    addresses.insert("good".to_owned(), listener.local_addr()?.to_string().into());
    println!("{}", Value::Object(addresses));
    tokio::select! {
        served = counting::serve(listener, ledger.clone(), Duration::from_millis(arguments.answer_ms)) => served,
        _ = ended.recv() => {
            println!("{}", ledger.totals());
            Ok(())
        }
    }
}
