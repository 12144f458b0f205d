//! From addresses to a connection.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::descriptors::{self, Need};

/// Why there is no connection.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unconnected {
    #[error("no address")]
    NoAddress,
    #[error("{0}")]
    Refused(String),
    #[error("{0} does not answer")]
    Silent(SocketAddr),
}

/// Tries each address in turn, with an equal share of the time that is left. A canonical address is reached itself, or not at
/// all.
///
/// # Errors
/// [`Unconnected`] of the last one.
pub async fn connect(addresses: &[IpAddr], port: u16, deadline: Instant) -> Result<TcpStream, Unconnected> {
    let mut last = Unconnected::NoAddress;
    for (at, address) in (1_u32..).zip(addresses.iter().copied()) {
        let left = u32::try_from(addresses.len()).unwrap_or(u32::MAX).saturating_sub(at).saturating_add(1);
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        let target = SocketAddr::new(address, port);
        match timeout_at(Instant::now() + share, open(target)).await {
            Ok(Ok(stream)) if stream.peer_addr().is_ok_and(|peer| peer.ip().to_canonical() == address) => {
                // A request is one small write; it does not wait for another.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Ok(_)) => last = Unconnected::Refused(format!("{target}: the connection is gone")),
            Ok(Err(error)) => last = Unconnected::Refused(format!("{target}: {error}")),
            Err(_) => last = Unconnected::Silent(target),
        }
    }
    Err(last)
}

async fn open(target: SocketAddr) -> io::Result<TcpStream> {
    match TcpStream::connect(target).await {
        Err(error) if descriptors::is_want(&error) && descriptors::lend(Need::Second) => {
            TcpStream::connect(target).await
        }
        opened => opened,
    }
}
