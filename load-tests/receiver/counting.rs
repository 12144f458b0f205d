//! The good receiver: it counts every POST by path and delivery before it answers.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::fmt::Write;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// What has come; clones are the same.
#[derive(Clone, Default)]
pub struct Ledger(Rc<RefCell<Counts>>);

#[derive(Default)]
struct Counts {
    /// Delivery ids as numbers, by path.
    paths: BTreeMap<String, HashMap<u128, u32>>,
    events: BTreeMap<String, u64>,
    /// POSTs that are no notice: no id of a delivery, or a body that was cut off.
    strange: u64,
    first: Option<Instant>,
    last: Option<Instant>,
}

impl Ledger {
    fn count(&self, path: &str, delivery: Option<u128>, event: &str) {
        let counts = &mut *self.0.borrow_mut();
        let Some(delivery) = delivery else {
            counts.strange += 1;
            return;
        };
        let now = Instant::now();
        counts.first.get_or_insert(now);
        counts.last = Some(now);
        if !counts.paths.contains_key(path) {
            counts.paths.insert(path.to_owned(), HashMap::new());
        }
        if let Some(seen) = counts.paths.get_mut(path) {
            *seen.entry(delivery).or_default() += 1;
        }
        *counts.events.entry(event.to_owned()).or_default() += 1;
    }

    /// Posts, distinct pairs of path and delivery, and how many came more than once.
    pub fn totals(&self) -> Value {
        let counts = self.0.borrow();
        let all = || counts.paths.values().flat_map(HashMap::values);
        let seconds = counts.first.zip(counts.last).map_or(0.0, |(first, last)| (last - first).as_secs_f64());
        json!({
            "posts": all().map(|times| u64::from(*times)).sum::<u64>(),
            "distinct": all().count(),
            "repeated": all().filter(|times| **times > 1).count(),
            "strange": counts.strange,
            "seconds": seconds,
            "events": counts.events,
            "paths": counts.paths.iter().map(|(path, seen)| (path.clone(), seen.len())).collect::<BTreeMap<_, _>>(),
        })
    }

    fn log(&self) -> String {
        let mut text = String::new();
        for (path, seen) in &self.0.borrow().paths {
            for (delivery, times) in seen {
                let _ = writeln!(text, "{path} {delivery:032x} {times}");
            }
        }
        text
    }
}

/// Serves until it is dropped.
pub async fn serve(listener: TcpListener, ledger: Ledger, answer_after: Duration) -> anyhow::Result<()> {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let ledger = ledger.clone();
        let answer = service_fn(move |request| answer(request, ledger.clone(), answer_after));
        connections.spawn_local(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(
    request: Request<Incoming>,
    ledger: Ledger,
    answer_after: Duration,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let said = match (&head.method, head.uri.path()) {
        (&Method::GET, "/stats") => ledger.totals().to_string(),
        (&Method::GET, "/log") => ledger.log(),
        (&Method::POST, path) => {
            let whole = body.collect().await.is_ok();
            let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let delivery = u128::from_str_radix(&text("x-nexo-delivery-id").replace('-', ""), 16).ok();
            ledger.count(path, delivery.filter(|_| whole), text("x-nexo-event-type"));
            if !answer_after.is_zero() {
                tokio::time::sleep(answer_after).await;
            }
            String::new()
        }
        _ => {
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::NOT_FOUND;
            return Ok(response);
        }
    };
    Ok(Response::new(Full::new(said.into())))
}
