//! One line to one endpoint: carries a POST at a time, and keeps its connection for the next.
//!
//! A POST that an endpoint may have seen is never sent again: only a kept connection that turns out closed before a byte of
//! the request was written is replaced, once. A line that is dropped closes its connection.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::domain::endpoint_url::EndpointUrl;
use crate::domain::webhook::Fault;
use crate::webhook::courier::Courier;
use crate::webhook::dial::{Undone, Wire};
use crate::webhook::exchange::Progress;
pub use crate::webhook::exchange::{Exchange, exchange_text};
use crate::webhook::failure::Failure;
use crate::webhook::request::Post;

pub struct Line {
    courier: Courier,
    url: EndpointUrl,
    kept: Option<Kept>,
}

/// A connection goes on for so long at most: a busy one is never idle, and where its name leads is to be asked again.
const CONNECTION_LIFE_MAX: Duration = Duration::from_secs(60);

/// A connection between two POSTs.
struct Kept {
    wire: Wire,
    /// When it was connected.
    born: Instant,
    since: Instant,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the path: customers put secrets into it.
        write!(f, "Line({}, open: {})", self.url.host(), self.is_open())
    }
}

impl Line {
    pub(crate) const fn new(courier: Courier, url: EndpointUrl) -> Self {
        Self { courier, url, kept: None }
    }

    /// Sends `post`, which was signed for this line's URL. Ends by the configured deadline, which holds for everything:
    /// resolving, connecting, TLS, the request, and the answer to its last byte.
    pub async fn post(&mut self, post: &Post) -> Exchange {
        let mut progress = Progress::start();
        let deadline = progress.started() + self.courier.timeout();
        let ended = timeout_at(deadline, self.attempt(post, deadline, &mut progress)).await;
        let late = |_| Err(Failure::new(Fault::Timeout, "the deadline passed"));
        progress.finish(ended.unwrap_or_else(late))
    }

    /// Whether a connection is kept.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.kept.is_some()
    }

    /// Closes a kept connection that has been idle for too long, or that the other end has closed.
    pub fn close_if_idle(&mut self) {
        let _ = self.fresh();
    }

    async fn attempt(&mut self, post: &Post, deadline: Instant, progress: &mut Progress) -> Result<(), Failure> {
        // Whoever drops this future drops the wire with it: an exchange that was called off leaves no connection behind.
        if let Some(Kept { mut wire, born, .. }) = self.fresh().then(|| self.kept.take()).flatten() {
            match wire.exchange(post.request(), post.unix_seconds(), progress).await {
                Ok(reusable) => {
                    self.keep(wire, born, reusable);
                    return Ok(());
                }
                Err(Undone::Failed(failure)) => return Err(failure),
                Err(Undone::NotSent(_)) => {}
            }
        }
        let born = Instant::now();
        let mut wire = Wire::dial(&self.courier, &self.url, deadline, progress).await?;
        let reusable = wire.exchange(post.request(), post.unix_seconds(), progress).await?;
        self.keep(wire, born, reusable);
        Ok(())
    }

    fn keep(&mut self, mut wire: Wire, born: Instant, reusable: bool) {
        if reusable && !wire.has_ended() {
            self.kept = Some(Kept { wire, born, since: Instant::now() });
        }
    }

    /// Whether the kept connection, if there is one, can carry another POST; lets go of one that cannot.
    fn fresh(&mut self) -> bool {
        let keep_alive = self.courier.keep_alive();
        let fresh = self.kept.as_mut().is_some_and(|kept| {
            let young = kept.born.elapsed() < CONNECTION_LIFE_MAX && kept.since.elapsed() < keep_alive;
            young && !kept.wire.has_ended()
        });
        if !fresh {
            self.kept = None;
        }
        fresh
    }
}
