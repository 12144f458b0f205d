//! A TCP proxy between the daemon and its database, whose wire a test can cut or freeze.
//!
//! It forwards bytes both ways while it is whole. Dropping it cuts everything.

use std::net::SocketAddr;

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

/// Forwards connections to one address.
#[derive(Debug)]
pub struct ChaosProxy {
    address: SocketAddr,
    wire: watch::Sender<Wire>,
    _tasks: JoinSet<()>,
}

impl ChaosProxy {
    pub async fn start(to: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (wire, state) = watch::channel(Wire::Whole);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, to, state));
        Ok(Self { address, wire, _tasks: tasks })
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
}

async fn accept(listener: TcpListener, to: SocketAddr, wire: watch::Receiver<Wire>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((near, _)) = listener.accept().await else { return };
        if *wire.borrow() != Wire::Cut {
            connections.spawn(connection(near, to, wire.clone()));
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Lives until either side closes or the wire is cut.
async fn connection(near: TcpStream, to: SocketAddr, wire: watch::Receiver<Wire>) {
    let Ok(far) = TcpStream::connect(to).await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let mut cut = wire.clone();
    tokio::select! {
        () = forward(near_read, far_write, wire.clone()) => {}
        () = forward(far_read, near_write, wire) => {}
        _ = cut.wait_for(|wire| *wire == Wire::Cut) => {}
    }
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut wire: watch::Receiver<Wire>) {
    let mut buffer = vec![0; 16 * 1_024];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        if wire.wait_for(|wire| *wire != Wire::Frozen).await.is_err() {
            return;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
