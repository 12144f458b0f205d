//! Open-loop load: OTPs at a fixed rate, whatever the daemon does, each to its own valid phone.
//!
//! An arrival takes an idle connection or opens one more; a slow answer never holds back the next arrival. Latency counts
//! from the instant at which the OTP was to be sent, so that a stall of the daemon is not omitted. One thread paces, one
//! sends. Prints one JSON document and ends when every answer has come or `--patience-s` has passed.

#![allow(clippy::print_stdout, reason = "a program of the load test: its output is its interface")]
#![allow(unreachable_pub, reason = "a program exports nothing; `pub` is how its files see each other")]

mod connection;
mod phones;
mod tally;

use std::cell::RefCell;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, LocalSet};

use connection::{Connection, Job};
use phones::Phones;
use tally::Tally;

/// Arrivals come in ticks: below this, timers cost more than they are worth.
const TICK: Duration = Duration::from_micros(500);

#[derive(Parser)]
struct Arguments {
    /// Where the daemon listens.
    #[arg(long)]
    to: SocketAddr,
    /// A file with one API key per line, used in turn.
    #[arg(long)]
    keys: PathBuf,
    /// The served prefixes, three national digits each, separated by commas.
    #[arg(long, value_delimiter = ',')]
    prefixes: Vec<String>,
    /// The index of the first phone; runs over one database use ranges that do not meet.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Arrivals per second and for how many seconds; stages follow each other.
    #[arg(long = "stage", value_name = "RATE:SECONDS", required = true)]
    stages: Vec<Stage>,
    /// Connections that are opened before the clock starts.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    #[arg(long, default_value_t = 8_192)]
    connections_max: usize,
    /// How long to wait for answers after the last arrival.
    #[arg(long, default_value_t = 10)]
    patience_s: u64,
    /// A file that gets the id of every accepted delivery.
    #[arg(long)]
    witness: Option<PathBuf>,
}

#[derive(Clone, Copy)]
struct Stage {
    per_second: f64,
    seconds: f64,
}

impl FromStr for Stage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (rate, seconds) = text.split_once(':').ok_or("expected RATE:SECONDS")?;
        let number = |part: &str| part.parse::<f64>().map_err(|error| error.to_string());
        Ok(Self { per_second: number(rate)?, seconds: number(seconds)? })
    }
}

/// What all connections of a run share; they live on one thread.
pub struct Run {
    pub to: SocketAddr,
    keys: Vec<String>,
    phones: Phones,
    pub tally: RefCell<Tally>,
    pub idle: RefCell<Vec<Connection>>,
    witness: Option<RefCell<BufWriter<File>>>,
}

impl Run {
    /// The bytes of the request for the OTP of index `n`.
    pub fn request(&self, n: u64) -> Vec<u8> {
        let phone = self.phones.nth(n);
        let key = &self.keys[usize::try_from(n).unwrap_or(0) % self.keys.len()];
        let body = format!(r#"{{"phone":"+84{phone}","code":"{:06}"}}"#, n % 1_000_000);
        format!(
            "POST /api/v1/send-otp HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {key}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.to,
            body.len()
        )
        .into_bytes()
    }

    pub fn witnessed(&self, id: &str) {
        if let Some(witness) = &self.witness {
            // A line at a time, so that a reader of a run that was cut short sees whole ids.
            let _ = writeln!(witness.borrow_mut(), "{id}");
        }
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let keys = std::fs::read_to_string(&arguments.keys).context("the file of keys")?;
    let keys: Vec<String> = keys.lines().map(str::to_owned).filter(|key| !key.is_empty()).collect();
    anyhow::ensure!(!keys.is_empty(), "no key in {}", arguments.keys.display());
    let witness = arguments.witness.as_ref().map(File::create).transpose()?;
    let run = Rc::new(Run {
        to: arguments.to,
        keys,
        phones: Phones::new(arguments.prefixes.clone())?,
        tally: RefCell::new(Tally::default()),
        idle: RefCell::default(),
        witness: witness.map(|file| RefCell::new(BufWriter::new(file))),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, drive(&arguments, Rc::clone(&run)));
    if let Some(witness) = &run.witness {
        witness.borrow_mut().flush()?;
    }
    println!("{}", run.tally.borrow().report());
    Ok(())
}

async fn drive(arguments: &Arguments, run: Rc<Run>) {
    let mut connections = JoinSet::new();
    for _ in 0..arguments.connections {
        let connection = Connection::start(Rc::clone(&run), &mut connections);
        connection.warm().await;
    }
    while run.idle.borrow().len() < arguments.connections {
        tokio::task::yield_now().await;
    }
    let (arrivals, mut due) = mpsc::channel(4_096);
    let stages = arguments.stages.clone();
    let start = Instant::now();
    let pacer = std::thread::spawn(move || pace(&stages, start, &arrivals));
    run.tally.borrow_mut().start(start);

    let mut next = arguments.from;
    while let Some(Tick { at, arrivals }) = due.recv().await {
        for _ in 0..arrivals {
            let job = Job { n: next, intended: at };
            next += 1;
            run.tally.borrow_mut().offered(at);
            let idle = run.idle.borrow_mut().pop();
            match idle {
                Some(connection) => connection.send(job),
                None if connections.len() < arguments.connections_max => {
                    Connection::start(Rc::clone(&run), &mut connections).send(job);
                }
                None => run.tally.borrow_mut().unsent(),
            }
        }
        while connections.try_join_next().is_some() {}
    }
    let _ = pacer.join();
    let patience = tokio::time::sleep(Duration::from_secs(arguments.patience_s));
    tokio::select! {
        () = patience => {}
        () = async {
            while run.tally.borrow().outstanding() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        } => {}
    }
}

struct Tick {
    at: Instant,
    arrivals: u64,
}

/// Says on time how many OTPs are due; sleeps in between.
fn pace(stages: &[Stage], start: Instant, due: &mpsc::Sender<Tick>) {
    let mut begins = start;
    for stage in stages {
        let ends = begins + Duration::from_secs_f64(stage.seconds);
        let (mut at, mut owed) = (begins, 0.0);
        while at < ends {
            owed += stage.per_second * TICK.as_secs_f64();
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            let arrivals = whole(owed);
            owed -= f64::from(arrivals);
            if arrivals > 0 && due.blocking_send(Tick { at, arrivals: u64::from(arrivals) }).is_err() {
                return;
            }
            at += TICK;
        }
        begins = ends;
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count of one tick: small and not negative"
)]
fn whole(owed: f64) -> u32 {
    owed as u32
}
