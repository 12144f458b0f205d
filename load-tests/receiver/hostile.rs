//! Receivers that mean harm: each takes any request and answers in its own manner.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinSet, spawn_local};
use tokio::time::{sleep, timeout};

const GIBIBYTE: usize = 1 << 30;
const DRIP: Duration = Duration::from_millis(100);

/// How a receiver answers.
#[derive(Clone)]
pub enum Manner {
    /// A header line now and then, and never the last.
    SlowHeaders,
    /// 200, and a byte of the body now and then.
    SlowBody,
    /// 200 and a gibibyte.
    HugeBody,
    /// 200 and a small body that would unpack to a gibibyte.
    Bomb(Rc<Vec<u8>>),
    /// To the address where clouds keep their machines' credentials.
    Redirect,
    /// The connection is reset once the request has come.
    Reset,
    /// Nobody answers the attempt to connect.
    BlackHole,
}

impl Manner {
    /// All of them; the bomb only with its bytes.
    pub fn all(bomb: Option<Vec<u8>>) -> Vec<Self> {
        let mut all =
            vec![Self::SlowHeaders, Self::SlowBody, Self::HugeBody, Self::Redirect, Self::Reset, Self::BlackHole];
        all.extend(bomb.map(|bytes| Self::Bomb(Rc::new(bytes))));
        all
    }

    pub const fn name(&self) -> &'static str {
        match self {
            Self::SlowHeaders => "slow-headers",
            Self::SlowBody => "slow-body",
            Self::HugeBody => "huge-body",
            Self::Bomb(_) => "gzip-bomb",
            Self::Redirect => "redirect",
            Self::Reset => "reset",
            Self::BlackHole => "black-hole",
        }
    }

    /// Starts it; it lives as long as the program.
    pub async fn start(self) -> std::io::Result<SocketAddr> {
        if matches!(self, Self::BlackHole) {
            return black_hole().await;
        }
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        spawn_local(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn_local(self.clone().answer(stream));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(address)
    }

    /// Until the other side has had enough.
    async fn answer(self, mut stream: TcpStream) {
        let mut request = [0; 16 * 1_024];
        if !matches!(stream.read(&mut request).await, Ok(1..)) {
            return;
        }
        let _the_other_side_has_gone = match self {
            Self::SlowHeaders => drip(&mut stream, "HTTP/1.1 200 OK\r\n", b"X-Wait: a little\r\n").await,
            Self::SlowBody => drip(&mut stream, &head("200 OK", "", GIBIBYTE), b"a").await,
            Self::HugeBody => flood(&mut stream).await,
            Self::Bomb(bytes) => {
                let head = head("200 OK", "Content-Encoding: gzip\r\n", bytes.len());
                both(&mut stream, &head, &bytes).await
            }
            Self::Redirect => {
                let head = head("302 Found", "Location: http://169.254.169.254/latest/meta-data/\r\n", 0);
                both(&mut stream, &head, b"").await
            }
            Self::Reset => stream.set_zero_linger(),
            Self::BlackHole => Ok(()),
        };
    }
}

fn head(status: &str, headers: &str, length: usize) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n")
}

async fn both(stream: &mut TcpStream, head: &str, body: &[u8]) -> std::io::Result<()> {
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    stream.shutdown().await?;
    // Closed with bytes unread, the connection would be reset before the answer is read.
    let mut rest = [0; 1_024];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

async fn drip(stream: &mut TcpStream, first: &str, then: &[u8]) -> std::io::Result<()> {
    stream.write_all(first.as_bytes()).await?;
    loop {
        sleep(DRIP).await;
        stream.write_all(then).await?;
    }
}

async fn flood(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(head("200 OK", "", GIBIBYTE).as_bytes()).await?;
    let piece = vec![b'a'; 1 << 20];
    for _ in 0..GIBIBYTE / piece.len() {
        stream.write_all(&piece).await?;
    }
    stream.shutdown().await
}

/// A listener that accepts nobody and whose backlog is full: the system drops what else knocks.
async fn black_hole() -> std::io::Result<SocketAddr> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    let listener = socket.listen(1)?;
    let address = listener.local_addr()?;
    let mut waiting = Vec::new();
    while let Ok(connected) = timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
        waiting.push(connected?);
    }
    spawn_local(async move {
        std::future::pending::<()>().await;
        drop((listener, waiting));
    });
    Ok(address)
}
