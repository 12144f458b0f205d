//! A TCP proxy between the daemon and its database, whose wire a test can cut or freeze.
//!
//! It forwards bytes both ways while it is whole, and can lose a COMMIT or the answer to one. Dropping it cuts everything.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

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
    wire: watch::Sender<Wire>,
    losses: Losses,
    _tasks: JoinSet<()>,
}

impl ChaosProxy {
    pub async fn start(to: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let wire = watch::Sender::new(Wire::Whole);
        let losses = Losses::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, to, wire.clone(), Arc::clone(&losses)));
        Ok(Self { address, wire, losses, _tasks: tasks })
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
        self.wire.send_replace(wire);
    }

    /// Has the next COMMITs, of whatever connections, meet with `losses`, one each.
    pub fn lose(&self, losses: &[Loss]) {
        *self.losses.lock().unwrap_or_else(PoisonError::into_inner) = losses.iter().copied().collect();
    }
}

/// What the next COMMITs meet with, in turn.
type Losses = Arc<Mutex<VecDeque<Loss>>>;

async fn accept(listener: TcpListener, to: SocketAddr, wire: watch::Sender<Wire>, losses: Losses) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((near, _)) = listener.accept().await else { return };
        if *wire.borrow() != Wire::Cut {
            connections.spawn(connection(near, to, wire.clone(), Arc::clone(&losses)));
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Lives until either side closes or the wire is cut.
async fn connection(near: TcpStream, to: SocketAddr, wire: watch::Sender<Wire>, losses: Losses) {
    let Ok(far) = TcpStream::connect(to).await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let mut cut = wire.subscribe();
    let (losing, then_cut) = (AtomicBool::new(false), AtomicBool::new(false));
    let asks = |bytes: &[u8]| {
        if !bytes.ends_with(COMMIT) {
            return true;
        }
        let loss = losses.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        losing.store(loss.is_some(), Ordering::Relaxed);
        then_cut.store(loss == Some(Loss::AnswerAndWire), Ordering::Relaxed);
        loss != Some(Loss::Commit)
    };
    let answers = |_: &[u8]| {
        let lost = losing.load(Ordering::Relaxed);
        if lost && then_cut.load(Ordering::Relaxed) {
            wire.send_replace(Wire::Cut);
        }
        !lost
    };
    tokio::select! {
        () = forward(near_read, far_write, wire.subscribe(), asks) => {}
        () = forward(far_read, near_write, wire.subscribe(), answers) => {}
        _ = cut.wait_for(|wire| *wire == Wire::Cut) => {}
    }
}

/// Ends when a side closes, or at bytes that `pass` does not let through.
async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut wire: watch::Receiver<Wire>,
    pass: impl Fn(&[u8]) -> bool,
) {
    let mut buffer = vec![0; 16 * 1_024];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        if wire.wait_for(|wire| *wire != Wire::Frozen).await.is_err() || !pass(&buffer[..count]) {
            return;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
