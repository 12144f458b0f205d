//! A customer's receiver of webhooks: a plain HTTP server on the loopback that keeps what it got and answers as it is told.
//!
//! Hand-written over a socket, so that it shows the bytes of a request and can also answer nothing at all.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::until;

/// How requests are answered from now on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manner {
    Status(u16),
    /// The request is read, and that is all.
    Silence,
}

/// One request, taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Got {
    /// The request line and the headers, as they came.
    pub head: String,
    pub body: Vec<u8>,
}

impl Got {
    pub fn header(&self, name: &str) -> &str {
        let of = |line: &&str| line.split_once(": ").is_some_and(|(known, _)| known.eq_ignore_ascii_case(name));
        let mut found = self.head.lines().filter(of).map(|line| line.split_once(": ").expect("a header").1);
        let value = found.next().unwrap_or_else(|| panic!("no {name} in {self:?}"));
        assert_eq!(found.next(), None, "{name} comes once");
        value
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }
}

/// The receiver; it listens until it is dropped.
#[derive(Debug)]
pub struct Receiver {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    _serving: JoinSet<()>,
}

#[derive(Debug)]
struct State {
    manner: Manner,
    got: Vec<Got>,
}

impl Receiver {
    pub async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("bound");
        let state = Arc::new(Mutex::new(State { manner, got: Vec::new() }));
        let mut serving = JoinSet::new();
        let told = Arc::clone(&state);
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&told)));
            }
        });
        Self { address, state, _serving: serving }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hooks/otp?from=nexo", self.address)
    }

    pub fn behave(&self, manner: Manner) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).manner = manner;
    }

    /// Everything that has come, in order.
    pub fn got(&self) -> Vec<Got> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).got.clone()
    }

    /// Everything that has come, once it is at least `count`.
    pub async fn received(&self, count: usize) -> Vec<Got> {
        until("the receiver has got its webhooks", async || Some(self.got()).filter(|got| got.len() >= count)).await
    }
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut buffer = Vec::new();
    while let Some(got) = request(&mut stream, &mut buffer).await {
        let manner = {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.got.push(got);
            state.manner
        };
        let Manner::Status(status) = manner else {
            std::future::pending::<()>().await;
            return;
        };
        let answer = format!("HTTP/1.1 {status} As Told\r\nContent-Length: 6\r\n\r\nheard\n");
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The next request of a connection; `None` when it has ended.
async fn request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Got> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(buffer[..end].to_vec()).expect("text");
            let length = head
                .lines()
                .find_map(|line| line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("content-length")));
            let length: usize = length.map_or(0, |(_, length)| length.parse().expect("a number"));
            if buffer.len() >= end + 4 + length {
                let rest = buffer.split_off(end + 4 + length);
                let body = std::mem::replace(buffer, rest).split_off(end + 4);
                return Some(Got { head, body });
            }
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}
