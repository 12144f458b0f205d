//! A client that speaks bytes and waits for answers, never for time.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// After this a test has failed: it waits for something that never comes.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Seeing {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Seeing {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self { stream: patiently(TcpStream::connect(address)).await.expect("accepted"), read: Vec::new() }
    }

    pub(crate) async fn send(&mut self, text: &str) {
        // A peer that has closed already makes this fail: what it answered is what counts.
        let _ = patiently(self.stream.write_all(text.as_bytes())).await;
    }

    pub(crate) async fn close_write(&mut self) {
        let _ = patiently(self.stream.shutdown()).await;
    }

    /// The next answer with its body.
    pub(crate) async fn answer(&mut self) -> Seeing {
        let head = self.head().await;
        let mut answer = Seeing { status: head[9..12].parse().expect("a status"), head, body: String::new() };
        let length: usize = answer.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        while self.read.len() < length {
            assert!(self.more().await, "the body is cut off");
        }
        let body = self.read.drain(..length).collect();
        answer.body = String::from_utf8(body).expect("text");
        answer
    }

    /// The next head alone, for what has no body.
    pub(crate) async fn head(&mut self) -> String {
        let end = loop {
            if let Some(at) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            let so_far = String::from_utf8_lossy(&self.read).into_owned();
            assert!(self.more().await, "closed before an answer, after {so_far:?}");
        };
        String::from_utf8(self.read.drain(..end).collect()).expect("text")
    }

    /// Everything until the peer closes; a reset counts as a close.
    pub(crate) async fn rest(&mut self) -> String {
        while self.more().await {}
        String::from_utf8(std::mem::take(&mut self.read)).expect("text")
    }

    async fn more(&mut self) -> bool {
        let mut space = [0; 4096];
        let count = patiently(self.stream.read(&mut space)).await.unwrap_or(0);
        self.read.extend_from_slice(&space[..count]);
        count > 0
    }
}

pub(crate) async fn patiently<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("something never came")
}
