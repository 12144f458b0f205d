//! A TCP proxy between the daemon and its database, whose wire a test can cut, freeze or lengthen.
//!
//! It forwards bytes both ways while it is whole, counts the round trips, and can lose a COMMIT or the answer to one. Dropping
//! it cuts everything.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::round_trips::{Counted, RoundTrips};

/// What the wire does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wire {
    /// Bytes pass.
    Whole,
    /// Every connection is closed, new ones at once.
    Cut,
    /// Connections stand, and nothing passes.
    Frozen,
}

/// What is to be lost of a COMMIT; its connection is lost with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loss {
    /// It never reaches the server.
    Commit,
    /// The server has done it, and nobody hears of it.
    Answer,
    /// The same, and from then on the wire is cut.
    AnswerAndWire,
}

/// How a COMMIT looks on the wire: a simple query.
const COMMIT: &[u8] = b"COMMIT\0";

/// Forwards connections to one address.
#[derive(Debug)]
pub struct ChaosProxy {
    address: SocketAddr,
    line: Line,
    _tasks: JoinSet<()>,
}

/// What all connections share.
#[derive(Clone, Debug)]
struct Line {
    /// The server that new connections lead to.
    to: watch::Sender<SocketAddr>,
    wire: watch::Sender<Wire>,
    losses: Losses,
    /// Microseconds that bytes take, each way.
    delay_us: Arc<AtomicU64>,
    counted: Counted,
}

impl ChaosProxy {
    pub async fn start(to: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let line = Line {
            to: watch::Sender::new(to),
            wire: watch::Sender::new(Wire::Whole),
            losses: Losses::default(),
            delay_us: Arc::default(),
            counted: Counted::default(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, line.clone()));
        Ok(Self { address, line, _tasks: tasks })
    }

    /// Stands before the Postgres server of `url`; returns the proxy and the address through it.
    pub async fn before_postgres(url: &str) -> anyhow::Result<(Self, String)> {
        let server = url.split_once('@').and_then(|(_, rest)| rest.split_once('/')).map(|(server, _)| server);
        let server = server.ok_or_else(|| anyhow::anyhow!("no server in the database's address"))?;
        let proxy = Self::start(server.parse()?).await?;
        let through = url.replacen(server, &proxy.address.to_string(), 1);
        Ok((proxy, through))
    }

    pub fn set(&self, wire: Wire) {
        self.line.wire.send_replace(wire);
    }

    /// Has bytes take this long, each way.
    pub fn lengthen(&self, each_way: Duration) {
        let us = u64::try_from(each_way.as_micros()).expect("short");
        self.line.delay_us.store(us, Ordering::Relaxed);
    }

    /// Leads new connections to another server.
    pub fn lead_to(&self, server: SocketAddr) {
        self.line.to.send_replace(server);
    }

    /// The server that new connections lead to.
    pub fn leads_to(&self) -> SocketAddr {
        *self.line.to.borrow()
    }

    /// Round trips so far, over all connections.
    pub fn round_trips(&self) -> u64 {
        self.line.counted.get()
    }

    /// Has the next COMMITs, of whatever connections, meet with `losses`, one each.
    pub fn lose(&self, losses: &[Loss]) {
        *self.line.losses.lock().unwrap_or_else(PoisonError::into_inner) = losses.iter().copied().collect();
    }
}

/// What the next COMMITs meet with, in turn.
type Losses = Arc<Mutex<VecDeque<Loss>>>;

async fn accept(listener: TcpListener, line: Line) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((near, _)) = listener.accept().await else { return };
        if *line.wire.borrow() != Wire::Cut {
            connections.spawn(connection(near, line.clone()));
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Lives until either side closes or the wire is cut.
async fn connection(near: TcpStream, line: Line) {
    let Line { to, wire, losses, delay_us, counted } = line;
    let to = *to.borrow();
    let trips = RoundTrips::new(counted);
    let Ok(far) = TcpStream::connect(to).await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let mut cut = wire.subscribe();
    let (losing, then_cut) = (AtomicBool::new(false), AtomicBool::new(false));
    let asks = |bytes: &[u8]| {
        trips.asks(bytes);
        if !bytes.ends_with(COMMIT) {
            return Fate::Passes;
        }
        let loss = losses.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        losing.store(loss.is_some(), Ordering::Relaxed);
        then_cut.store(loss == Some(Loss::AnswerAndWire), Ordering::Relaxed);
        if loss == Some(Loss::Commit) { Fate::EndsAll } else { Fate::Passes }
    };
    let answers = |bytes: &[u8]| {
        trips.answers(bytes);
        if !losing.load(Ordering::Relaxed) {
            return Fate::Passes;
        }
        // A server that is hung up on before it has done all of it may not do the rest.
        if !trips.all_answered() {
            return Fate::IsLost;
        }
        if then_cut.load(Ordering::Relaxed) {
            wire.send_replace(Wire::Cut);
        }
        Fate::EndsAll
    };
    tokio::select! {
        () = forward(near_read, far_write, wire.subscribe(), &delay_us, asks) => {}
        () = forward(far_read, near_write, wire.subscribe(), &delay_us, answers) => {}
        _ = cut.wait_for(|wire| *wire == Wire::Cut) => {}
    }
}

/// What becomes of bytes that were read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Passes,
    IsLost,
    /// Its connection is lost with it.
    EndsAll,
}

/// Ends when a side closes, or as `fate` says.
async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut wire: watch::Receiver<Wire>,
    delay_us: &AtomicU64,
    fate: impl Fn(&[u8]) -> Fate,
) {
    let (under_way, mut arriving) = mpsc::channel::<(Instant, Vec<u8>)>(1_024);
    let depart = async move {
        let mut buffer = vec![0; 16 * 1_024];
        loop {
            let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
            if wire.wait_for(|wire| *wire != Wire::Frozen).await.is_err() {
                return;
            }
            match fate(&buffer[..count]) {
                Fate::Passes => {}
                Fate::IsLost => continue,
                Fate::EndsAll => return,
            }
            let at = Instant::now() + Duration::from_micros(delay_us.load(Ordering::Relaxed));
            if under_way.send((at, buffer[..count].to_vec())).await.is_err() {
                return;
            }
        }
    };
    let arrive = async move {
        while let Some((at, bytes)) = arriving.recv().await {
            sleep_until(at).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(depart, arrive);
}
