//! A small HTTP client for tests: one connection per request, and every call says which status it expects.
//!
//! Hand-written over a socket, so that it can also send what no HTTP library would.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// No answer takes longer, or the test has found a hang.
const PATIENCE: Duration = Duration::from_secs(30);

/// One answer, taken apart.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub text: String,
}

impl Answer {
    /// The JSON body.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }

    /// A field of the JSON body.
    pub fn field(&self, name: &str) -> Value {
        self.json().get(name).cloned().unwrap_or_else(|| panic!("no field `{name}` in {self:?}"))
    }

    /// A field that is a string.
    pub fn string(&self, name: &str) -> String {
        self.field(name).as_str().unwrap_or_else(|| panic!("`{name}` is not a string in {self:?}")).to_owned()
    }

    /// The error code of a refusal.
    pub fn error(&self) -> String {
        self.string("error")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Fails the test unless the status is `expected`.
    #[track_caller]
    pub fn expect(self, expected: u16) -> Self {
        assert_eq!(self.status, expected, "{self:?}");
        self
    }
}

/// One request; what is not set is left out.
#[derive(Clone, Debug)]
pub struct Request {
    method: &'static str,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
}

impl Request {
    pub fn new(method: &'static str, path: &str) -> Self {
        Self { method, path: path.into(), headers: vec![], body: None }
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    #[must_use]
    pub fn key(self, key: &str) -> Self {
        self.header("Authorization", &format!("Bearer {key}"))
    }

    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        let body = body.to_string();
        self.header("Content-Type", "application/json").body(&body)
    }

    #[must_use]
    pub fn body(mut self, body: &str) -> Self {
        self.body = Some(body.into());
        self
    }

    fn bytes(&self, host: SocketAddr, connection: &str) -> Vec<u8> {
        let mut text =
            format!("{} {} HTTP/1.1\r\nHost: {host}\r\nConnection: {connection}\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = &self.body {
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        text.push_str("\r\n");
        text.push_str(self.body.as_deref().unwrap_or_default());
        text.into_bytes()
    }

    /// Sends the request and waits for the whole answer.
    pub async fn send(&self, to: SocketAddr) -> anyhow::Result<Answer> {
        raw(to, &self.bytes(to, "close")).await
    }
}

/// A connection that is kept from one request to the next.
#[derive(Debug)]
pub struct Kept {
    stream: TcpStream,
    to: SocketAddr,
}

impl Kept {
    pub async fn connect(to: SocketAddr) -> anyhow::Result<Self> {
        Ok(Self { stream: TcpStream::connect(to).await?, to })
    }

    /// Sends the request and waits for the whole answer.
    pub async fn ask(&mut self, request: &Request) -> anyhow::Result<Answer> {
        let asked = exchange(&mut self.stream, &request.bytes(self.to, "keep-alive")).await?;
        ensure!(asked.header("connection") != Some("close"), "the connection is not kept: {asked:?}");
        Ok(asked)
    }
}

/// Sends bytes as they are and reads one answer.
pub async fn raw(to: SocketAddr, request: &[u8]) -> anyhow::Result<Answer> {
    let mut stream = TcpStream::connect(to).await.context("connect")?;
    exchange(&mut stream, request).await
}

async fn exchange(stream: &mut TcpStream, request: &[u8]) -> anyhow::Result<Answer> {
    let exchange = async {
        // A server may refuse before it has read everything: its answer counts, not the broken pipe.
        let written = stream.write_all(request).await;
        let mut bytes = Vec::new();
        while !complete(&bytes) {
            if stream.read_buf(&mut bytes).await.context("read")? == 0 {
                break;
            }
        }
        if bytes.is_empty() {
            written.context("write")?;
        }
        parse(&bytes)
    };
    tokio::time::timeout(PATIENCE, exchange).await.context("no answer")?
}

/// Whether `bytes` hold an answer up to its declared length.
fn complete(bytes: &[u8]) -> bool {
    let Ok(answer) = parse(bytes) else { return false };
    let declared = answer.header("content-length").and_then(|length| length.parse::<usize>().ok());
    declared.is_some_and(|length| answer.text.len() >= length)
}

fn parse(bytes: &[u8]) -> anyhow::Result<Answer> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n").with_context(|| format!("no whole head in {text:?}"))?;
    let mut lines = head.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    ensure!(status_line.starts_with("HTTP/1."), "not HTTP: {status_line:?}");
    let status = status_line.split(' ').nth(1).context("a status")?.parse()?;
    let header = |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    Ok(Answer { status, headers: lines.filter_map(header).collect(), text: body.to_owned() })
}
