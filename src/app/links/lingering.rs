//! A link that, taken out of use by a reload, stays connected while receipts of what it sent may come.
//!
//! An SMSC tells receipts only to whoever is bound: a link that were closed with its last attempt would have the house refund
//! codes that arrived.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{self, BoxFuture};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::actors::supervise::Tasks;
use crate::carrier::upstream::{Attempt, Capabilities, Health, Outcome, Upstream};
use crate::domain::reference::UpstreamId;

/// An upstream that ends late, if it was told so. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub(super) struct Lingering {
    upstream: Arc<dyn Upstream>,
    within: Duration,
    lingers: Arc<AtomicBool>,
    /// The end of the house, or of its lingering.
    stop: CancellationToken,
    closed: Arc<AtomicBool>,
    tasks: Tasks,
}

impl Lingering {
    pub(super) fn new(upstream: Arc<dyn Upstream>, within: Duration, tasks: Tasks, stop: &CancellationToken) -> Self {
        Self { upstream, within, lingers: Arc::default(), stop: stop.child_token(), closed: Arc::default(), tasks }
    }

    /// The next shutdown closes it `within` later, or when the house ends.
    pub(super) fn linger(&self) {
        self.lingers.store(true, Ordering::Relaxed);
    }

    /// It lingers no longer: once it is shut down it closes.
    pub(super) fn leave(&self) {
        self.stop.cancel();
    }

    /// Whether it was closed.
    pub(super) fn is_over(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// It is in use after all.
    pub(super) fn stay(&self) {
        self.lingers.store(false, Ordering::Relaxed);
    }
}

impl Upstream for Lingering {
    fn id(&self) -> &UpstreamId {
        self.upstream.id()
    }

    fn capabilities(&self) -> &Capabilities {
        self.upstream.capabilities()
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.upstream.health()
    }

    fn dispatch(&self, attempt: Attempt) -> BoxFuture<'static, Outcome> {
        self.upstream.dispatch(attempt)
    }

    fn shutdown(&self, grace: Duration) -> BoxFuture<'static, ()> {
        if !self.lingers.load(Ordering::Relaxed) {
            return self.upstream.shutdown(grace);
        }
        let Self { within, stop, upstream, closed, .. } = self.clone();
        self.tasks.spawn(async move {
            let _over_or_leaving = tokio::time::timeout(within, stop.cancelled()).await;
            upstream.shutdown(grace).await;
            closed.store(true, Ordering::Relaxed);
        });
        Box::pin(future::ready(()))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::carrier::upstream::ReceiptTrust;

    /// An upstream that is as a test says.
    #[derive(Debug)]
    pub(in crate::app::links) struct Probe {
        id: UpstreamId,
        capabilities: Capabilities,
        health: watch::Sender<Health>,
    }

    impl Probe {
        pub(in crate::app::links) fn new(health: watch::Sender<Health>) -> Arc<Self> {
            let (receipts, per_phone_gap) = (ReceiptTrust::Handset, None);
            let capabilities = Capabilities { in_flight_max: 1, rate_per_second: None, per_phone_gap, receipts };
            Arc::new(Self { id: UpstreamId::new("probe").expect("sane"), capabilities, health })
        }
    }

    impl Upstream for Probe {
        fn id(&self) -> &UpstreamId {
            &self.id
        }

        fn capabilities(&self) -> &Capabilities {
            &self.capabilities
        }

        fn health(&self) -> watch::Receiver<Health> {
            self.health.subscribe()
        }

        fn dispatch(&self, _: Attempt) -> BoxFuture<'static, Outcome> {
            Box::pin(future::ready(Outcome::Accepted))
        }

        fn shutdown(&self, _: Duration) -> BoxFuture<'static, ()> {
            self.health.send_replace(Health::Down);
            Box::pin(future::ready(()))
        }
    }

    fn lingering(stop: &CancellationToken) -> Lingering {
        Lingering::new(Probe::new(watch::Sender::new(Health::Up)), Duration::from_secs(65), Tasks::new(), stop)
    }

    fn is_open(link: &Lingering) -> bool {
        *link.health().borrow() == Health::Up
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_reload_takes_away_is_closed_when_receipts_no_longer_matter() {
        let link = lingering(&CancellationToken::new());
        link.linger();
        link.shutdown(Duration::ZERO).await;
        tokio::time::sleep(Duration::from_secs(64)).await;
        assert!(is_open(&link));
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(!is_open(&link));
    }

    #[tokio::test(start_paused = true)]
    async fn one_whose_receipts_somebody_else_gets_is_closed_with_its_last_attempt() {
        let stop = CancellationToken::new();
        let (attempting, waiting, other) = (lingering(&stop), lingering(&stop), lingering(&stop));
        for link in [&attempting, &waiting, &other] {
            link.linger();
        }
        waiting.shutdown(Duration::ZERO).await;
        other.shutdown(Duration::ZERO).await;
        attempting.leave();
        waiting.leave();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(is_open(&attempting) && is_open(&other) && !is_open(&waiting));
        assert!(waiting.is_over() && !other.is_over());
        attempting.shutdown(Duration::ZERO).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!is_open(&attempting) && is_open(&other));
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_the_house_closes_it_at_once() {
        let stop = CancellationToken::new();
        let (used, left) = (lingering(&stop), lingering(&stop));
        used.shutdown(Duration::ZERO).await;
        assert!(!is_open(&used), "nobody told it to linger");
        left.linger();
        left.shutdown(Duration::ZERO).await;
        stop.cancel();
        assert!(left.tasks.idle(Duration::from_millis(1)).await && !is_open(&left));
    }
}
