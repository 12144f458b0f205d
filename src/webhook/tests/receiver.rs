//! A receiver on loopback that does with each connection what its script says, and remembers what it was sent.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Every request that was read whole, in order, over all connections.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    pub(super) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, request: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(request);
    }
}

/// Ends, with all its connections, when it is dropped.
pub(super) struct Receiver {
    pub(super) port: u16,
    pub(super) seen: Seen,
    _tasks: JoinSet<()>,
}

impl Receiver {
    /// Runs `script` for each connection.
    pub(super) async fn start<W>(script: impl Fn(Guest<TcpStream>) -> W + Send + 'static) -> Self
    where
        W: Future<Output = ()> + Send + 'static,
    {
        Self::on("127.0.0.1:0", script).await
    }

    pub(super) async fn on<W>(address: &str, script: impl Fn(Guest<TcpStream>) -> W + Send + 'static) -> Self
    where
        W: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let seen = Seen::default();
        let seen_by_guests = seen.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut guests = JoinSet::new();
            for number in 0.. {
                let (stream, _) = listener.accept().await.expect("a connection");
                guests.spawn(script(Guest { stream, number, seen: seen_by_guests.clone() }));
            }
        });
        Self { port, seen, _tasks: tasks }
    }

    /// Answers every connection's first request with `answer`, then waits for the other end to close.
    pub(super) async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |mut guest| {
            let answer = answer.clone();
            async move {
                guest.request().await;
                guest.say(&answer).await;
                guest.request().await;
            }
        })
        .await
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }
}

/// One connection at the receiver's end.
pub(super) struct Guest<S> {
    pub(super) stream: S,
    /// 0 for the first connection.
    pub(super) number: usize,
    seen: Seen,
}

impl<S> Guest<S> {
    /// The same connection with something laid over its stream.
    pub(super) fn over<T>(self, stream: impl FnOnce(S) -> T) -> Guest<T> {
        Guest { stream: stream(self.stream), number: self.number, seen: self.seen }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guest<S> {
    /// Reads a request to the end of its body; false if the other end has closed.
    pub(super) async fn request(&mut self) -> bool {
        let mut text = Vec::new();
        let mut piece = [0; 4_096];
        while !is_whole(&text) {
            match self.stream.read(&mut piece).await {
                Ok(count @ 1..) => text.extend_from_slice(&piece[..count]),
                Ok(0) | Err(_) => return false,
            }
        }
        self.seen.add(String::from_utf8(text).expect("text"));
        true
    }

    /// Writes; false if the other end has closed.
    pub(super) async fn say(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok() && self.stream.flush().await.is_ok()
    }

    /// Writes a byte at a time until the other end closes.
    pub(super) async fn trickle(&mut self, byte: u8) {
        while self.say([byte]).await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Guest<TcpStream> {
    /// Ends the connection with a reset instead of a goodbye.
    pub(super) fn reset(self) {
        self.stream.set_zero_linger().expect("a socket");
    }
}

fn is_whole(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    body.len() >= length.and_then(|length| length.parse().ok()).unwrap_or(0)
}
