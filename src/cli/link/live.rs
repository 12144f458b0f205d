//! What a daemon says of its links, asked at its ops listener: `GET /links`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const WITHIN: Duration = Duration::from_secs(2);
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// One link as its daemon sees it now.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Live {
    #[serde(skip_serializing)]
    pub(super) upstream: String,
    health: String,
    /// Whether this daemon has heard of a pause.
    paused: bool,
    in_flight: u64,
    window: u64,
    /// Its own limit, if it has one.
    rate_per_second: Option<u32>,
}

#[derive(Deserialize)]
struct Links {
    links: Vec<Live>,
}

impl Live {
    pub(super) fn line(&self) -> String {
        let rate = self.rate_per_second.map(|rate| format!("  at most {rate}/s")).unwrap_or_default();
        format!("{}  {}/{} in flight{rate}", self.health, self.in_flight, self.window)
    }
}

/// What the daemon at `ops` says; `None` if it does not answer in time, or with something else.
pub(super) async fn ask(ops: SocketAddr) -> Option<Vec<Live>> {
    let answer = timeout(WITHIN, get(reachable(ops))).await.ok()?.ok()?;
    let text = std::str::from_utf8(&answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let links: Links = serde_json::from_str(head.starts_with("HTTP/1.1 200 ").then_some(body)?).ok()?;
    Some(links.links)
}

async fn get(ops: SocketAddr) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(ops).await?;
    let request = format!("GET /links HTTP/1.1\r\nHost: {ops}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    Ok(answer)
}

/// Who listens everywhere is reached on this machine.
fn reachable(ops: SocketAddr) -> SocketAddr {
    let ip = match ops.ip() {
        IpAddr::V4(any) if any.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(any) if any.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        one => one,
    };
    SocketAddr::new(ip, ops.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_everywhere_is_asked_here() {
        for (bound, asked) in
            [("0.0.0.0:9464", "127.0.0.1:9464"), ("[::]:1", "[::1]:1"), ("10.0.0.7:9464", "10.0.0.7:9464")]
        {
            assert_eq!(reachable(bound.parse().expect("valid")).to_string(), asked);
        }
    }
}
