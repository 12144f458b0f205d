//! What the answers were and how long they took: by class of answer, and second by second.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// One answer, as far as the tally and the connection need it.
pub struct Answer {
    /// The status and, if there is one, the error code: `202`, `429 no_route`.
    class: String,
    pub id: Option<String>,
    retry_after_s: Option<u64>,
    pub keeps_connection: bool,
}

impl Answer {
    /// The connection broke before the whole answer had come: whether the OTP was accepted is not known.
    pub fn broken() -> Self {
        Self { class: "broken".into(), id: None, retry_after_s: None, keeps_connection: false }
    }

    pub fn not_connected() -> Self {
        Self { class: "not connected".into(), id: None, retry_after_s: None, keeps_connection: false }
    }

    /// The answer in `bytes`, once all of it is there.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let header = |name: &str| {
            let named = |line: &&str| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
            head.split("\r\n").find(named).map(|line| line[name.len()..].trim())
        };
        let length: usize = header("content-length:").and_then(|length| length.parse().ok()).unwrap_or(0);
        if body.len() < length {
            return None;
        }
        let status = head.get(9..12).unwrap_or("???");
        let class = field(body, "error").map_or_else(|| status.to_owned(), |error| format!("{status} {error}"));
        Some(Self {
            class,
            id: if status == "202" { field(body, "id").map(str::to_owned) } else { None },
            retry_after_s: header("retry-after:").and_then(|seconds| seconds.parse().ok()),
            keeps_connection: !header("connection:").is_some_and(|value| value.eq_ignore_ascii_case("close")),
        })
    }
}

/// A string field of a flat JSON object, without parsing the rest.
fn field<'b>(body: &'b str, name: &str) -> Option<&'b str> {
    let (_, rest) = body.split_once(&format!("\"{name}\":\""))?;
    rest.split('"').next()
}

#[derive(Default)]
struct Second {
    offered: u64,
    accepted: Latencies,
}

/// Latencies in buckets that are 1.6 % wide, so that a long run takes no more memory than a short one.
#[derive(Default)]
struct Latencies {
    buckets: BTreeMap<u64, u64>,
    count: u64,
    most: Duration,
}

impl Latencies {
    fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(1);
        // Six bits after the leading one.
        let shift = micros.ilog2().saturating_sub(6);
        *self.buckets.entry((micros >> shift) << shift).or_default() += 1;
        self.count += 1;
        self.most = self.most.max(latency);
    }

    /// The latency in milliseconds below which a share of `per_mille` lies.
    fn quantile(&self, per_mille: u64) -> Value {
        let rank = (self.count * per_mille).div_ceil(1_000).max(1);
        let mut seen = 0;
        for (micros, count) in &self.buckets {
            seen += count;
            if seen >= rank {
                return json!(millis(Duration::from_micros(*micros)));
            }
        }
        Value::Null
    }

    fn report(&self) -> Value {
        json!({
            "count": self.count,
            "p50_ms": self.quantile(500),
            "p90_ms": self.quantile(900),
            "p99_ms": self.quantile(990),
            "p999_ms": self.quantile(999),
            "max_ms": millis(self.most),
        })
    }
}

fn millis(latency: Duration) -> f64 {
    (latency.as_secs_f64() * 1e6).round() / 1e3
}

#[derive(Default)]
pub struct Tally {
    start: Option<Instant>,
    offered: u64,
    answered: u64,
    unsent: u64,
    classes: BTreeMap<String, Latencies>,
    /// By the second in which the OTP was to be sent.
    seconds: BTreeMap<u64, Second>,
    retry_after: BTreeMap<String, BTreeMap<u64, u64>>,
}

impl Tally {
    pub fn start(&mut self, at: Instant) {
        self.start = Some(at);
    }

    pub fn offered(&mut self, at: Instant) {
        self.offered += 1;
        self.second(at).offered += 1;
    }

    /// No connection was free and no more may be opened: the generator is at its limit, and the run means little.
    pub fn unsent(&mut self) {
        self.unsent += 1;
    }

    pub fn answered(&mut self, answer: &Answer, intended: Instant, now: Instant) {
        self.answered += 1;
        let latency = now.saturating_duration_since(intended);
        self.classes.entry(answer.class.clone()).or_default().record(latency);
        if answer.class == "202" {
            self.second(intended).accepted.record(latency);
        }
        if let Some(seconds) = answer.retry_after_s {
            *self.retry_after.entry(answer.class.clone()).or_default().entry(seconds).or_default() += 1;
        }
    }

    pub fn outstanding(&self) -> u64 {
        self.offered - self.answered - self.unsent
    }

    fn second(&mut self, at: Instant) -> &mut Second {
        let since = self.start.map_or(0, |start| at.saturating_duration_since(start).as_secs());
        self.seconds.entry(since).or_default()
    }

    pub fn report(&self) -> Value {
        let seconds: Vec<Value> = self
            .seconds
            .iter()
            .map(|(second, tally)| {
                json!({
                    "second": second,
                    "offered": tally.offered,
                    "accepted": tally.accepted.count,
                    "p50_ms": tally.accepted.quantile(500),
                    "p99_ms": tally.accepted.quantile(990),
                })
            })
            .collect();
        json!({
            "offered": self.offered,
            "unsent": self.unsent,
            "unanswered": self.outstanding(),
            "answers": self.classes.iter().map(|(class, latencies)| (class.clone(), latencies.report())).collect::<serde_json::Map<_, _>>(),
            "retry_after_s": self.retry_after,
            "seconds": seconds,
        })
    }
}
