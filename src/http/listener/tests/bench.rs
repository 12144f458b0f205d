//! A listener with a tiny handler.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::http::Reply;
use crate::http::error::ApiError;
use crate::http::listener::{Call, Handler, Limits, Listener};
use crate::http::tests::client::{Client, patiently};

pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const SHORT: Duration = Duration::from_millis(40);

/// What the handler shows to a test.
#[derive(Debug)]
pub(super) struct Seen {
    calls: AtomicUsize,
    /// One permit per `/hold` that began, to be taken by the test.
    began: Semaphore,
    /// What `/hold` waits for.
    gate: Semaphore,
    /// One permit per `/hold` or `/big` that came to its end.
    finished: Semaphore,
}

struct Tiny(Arc<Seen>);

impl Handler for Tiny {
    const ROUTES: &'static [&'static str] = &["tiny"];

    async fn handle(&self, call: &mut Call) -> Result<Reply, ApiError> {
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        call.body.check_declared()?;
        let text = match call.head.uri.path() {
            "/" => "hello".to_owned(),
            "/read" => format!("{} bytes", call.body.read().await?.len()),
            "/hold" => {
                self.0.began.add_permits(1);
                self.0.gate.acquire().await.expect("never closed").forget();
                self.0.finished.add_permits(1);
                "held".to_owned()
            }
            "/big" => {
                self.0.finished.add_permits(1);
                "x".repeat(32 << 20)
            }
            "/panic" => panic!("as asked"),
            _ => return Err(ApiError::NotFound),
        };
        Ok(Reply::new(Full::new(Bytes::from(text))))
    }
}

pub(super) struct Bench {
    pub(super) address: SocketAddr,
    pub(super) seen: Arc<Seen>,
    pub(super) stopping: CancellationToken,
    served: JoinSet<()>,
}

impl Bench {
    pub(super) fn start(limits: Limits) -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = Listener::bind("test", any, limits).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let [began, gate, finished] = std::array::from_fn(|_| Semaphore::new(0));
        let seen = Arc::new(Seen { calls: AtomicUsize::new(0), began, gate, finished });
        let stopping = CancellationToken::new();
        let mut served = JoinSet::new();
        served.spawn(listener.serve(Tiny(Arc::clone(&seen)), stopping.clone()));
        Self { address, seen, stopping, served }
    }

    pub(super) async fn connect(&self) -> Client {
        Client::connect(self.address).await
    }

    pub(super) fn calls(&self) -> usize {
        self.seen.calls.load(Ordering::SeqCst)
    }

    pub(super) async fn began(&self) {
        patiently(self.seen.began.acquire()).await.expect("never closed").forget();
    }

    pub(super) fn open_gate(&self) {
        self.seen.gate.add_permits(1);
    }

    pub(super) async fn finished(&self) {
        patiently(self.seen.finished.acquire()).await.expect("never closed").forget();
    }

    /// Stops and waits until the last connection is gone.
    pub(super) async fn stop(mut self) {
        self.stopping.cancel();
        patiently(self.served.join_next()).await.expect("a listener").expect("no panic");
    }
}
