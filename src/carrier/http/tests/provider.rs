//! A provider on a raw socket: it keeps what it got and does what its script says, one line for each request.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// What becomes of one request.
#[derive(Clone, Debug)]
pub(in crate::carrier::http) enum Does {
    /// The status line's end, more headers, and the body.
    Answers(&'static str, &'static str, String),
    /// The same, later.
    AnswersAfter(Duration, String),
    Hangs,
    /// Reads the request and closes.
    Closes,
    /// Whatever the bytes are.
    Writes(String),
}

impl Does {
    pub(in crate::carrier::http) fn json(status: &'static str, body: &str) -> Self {
        Self::Answers(status, "Content-Type: application/json\r\n", body.to_owned())
    }
}

/// One request, as it came.
#[derive(Clone, Debug)]
pub(in crate::carrier::http) struct Got {
    pub(in crate::carrier::http) head: String,
    pub(in crate::carrier::http) body: String,
    pub(in crate::carrier::http) connection: usize,
}

impl Got {
    pub(in crate::carrier::http) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

#[derive(Debug)]
struct State {
    script: VecDeque<Does>,
    last: Does,
    got: Vec<Got>,
}

/// Listens until it is dropped.
#[derive(Debug)]
pub(in crate::carrier::http) struct Provider {
    pub(in crate::carrier::http) address: SocketAddr,
    state: Arc<Mutex<State>>,
    news: Arc<Notify>,
    _serving: JoinSet<()>,
}

impl Provider {
    /// Does `script` line after line, and its last line for whatever comes then.
    pub(in crate::carrier::http) async fn start(script: impl IntoIterator<Item = Does>) -> Self {
        Self::start_at(TcpListener::bind("127.0.0.1:0").await.expect("binds"), script)
    }

    pub(in crate::carrier::http) fn start_at(listener: TcpListener, script: impl IntoIterator<Item = Does>) -> Self {
        let script: VecDeque<Does> = script.into_iter().collect();
        let last = script.back().cloned().expect("a script has a line");
        let address = listener.local_addr().expect("bound");
        let state = Arc::new(Mutex::new(State { script, last, got: Vec::new() }));
        let news = Arc::new(Notify::new());
        let mut serving = JoinSet::new();
        let (shared, told) = (Arc::clone(&state), Arc::clone(&news));
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            for number in 0_usize.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                connections.spawn(serve(stream, number, Arc::clone(&shared), Arc::clone(&told)));
            }
        });
        Self { address, state, news, _serving: serving }
    }

    pub(in crate::carrier::http) fn got(&self) -> Vec<Got> {
        lock(&self.state).got.clone()
    }

    /// Everything that came, once it is at least `count`.
    pub(in crate::carrier::http) async fn received(&self, count: usize) -> Vec<Got> {
        let waiting = async {
            while self.got().len() < count {
                self.news.notified().await;
            }
        };
        tokio::time::timeout(super::PATIENCE, waiting).await.expect("the requests come");
        self.got()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(mut stream: TcpStream, connection: usize, state: Arc<Mutex<State>>, news: Arc<Notify>) {
    let mut buffer = Vec::new();
    while let Some((head, body)) = request(&mut stream, &mut buffer).await {
        let does = {
            let mut state = lock(&state);
            state.got.push(Got { head, body, connection });
            state.script.pop_front().unwrap_or_else(|| state.last.clone())
        };
        news.notify_one();
        let answer = match does {
            Does::Answers(status, headers, body) => whole(status, headers, &body),
            Does::AnswersAfter(wait, body) => {
                sleep(wait).await;
                whole("200 OK", "", &body)
            }
            Does::Hangs => std::future::pending().await,
            Does::Closes => return,
            Does::Writes(bytes) => bytes,
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn whole(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

async fn request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<(String, String)> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(buffer[..end].to_vec()).expect("text");
            let declared = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            let len: usize = declared.map_or(0, |len| len.parse().expect("a number"));
            if buffer.len() >= end + 4 + len {
                let rest = buffer.split_off(end + 4 + len);
                let body = std::mem::replace(buffer, rest).split_off(end + 4);
                return Some((head, String::from_utf8(body).expect("text")));
            }
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}
