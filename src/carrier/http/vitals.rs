//! Whether a provider can take work: told from what becomes of requests, and from probes while there are none.
//!
//! Down after some connections in a row that could not be made; a probe connects until one can, ever less often. Misconfigured
//! after some answers in a row that refuse us as we are: then it is left alone for a while before one more try, lest it lock the
//! account.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::line::Lines;
use crate::carrier::upstream::Health;
use crate::domain::reference::UpstreamId;

/// So many in a row, and it is not chance.
const IN_A_ROW: u32 = 3;
const PROBE_AFTER: Duration = Duration::from_millis(500);
const PROBE_AFTER_MAX: Duration = Duration::from_secs(8);
const REST: Duration = Duration::from_secs(30);
const REST_MAX: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub(super) struct Vitals {
    id: UpstreamId,
    health: watch::Sender<Health>,
    unreachable: AtomicU32,
    refused_us: AtomicU32,
    rests: AtomicU32,
    closed: AtomicBool,
}

impl Vitals {
    pub(super) fn new(id: UpstreamId) -> Self {
        Self {
            id,
            health: watch::Sender::new(Health::Up),
            unreachable: AtomicU32::new(0),
            refused_us: AtomicU32::new(0),
            rests: AtomicU32::new(0),
            closed: AtomicBool::new(false),
        }
    }

    pub(super) fn watch(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// A connection could not be made.
    pub(super) fn unreachable(&self, why: &str) {
        if self.unreachable.fetch_add(1, Ordering::Relaxed).saturating_add(1) >= IN_A_ROW {
            self.turn(Health::Down, why);
        }
    }

    /// There is a connection.
    pub(super) fn reached(&self) {
        self.unreachable.store(0, Ordering::Relaxed);
        if *self.health.borrow() == Health::Down {
            self.turn(Health::Up, "reached");
        }
    }

    /// It answered us, as one who may ask.
    pub(super) fn admitted(&self) {
        self.refused_us.store(0, Ordering::Relaxed);
        self.rests.store(0, Ordering::Relaxed);
    }

    /// It refuses us as we are configured.
    pub(super) fn refused_us(&self, why: &str) {
        if self.refused_us.fetch_add(1, Ordering::Relaxed).saturating_add(1) >= IN_A_ROW {
            self.turn(Health::Misconfigured, why);
        }
    }

    /// Takes no work any more.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.health.send_replace(Health::Down);
    }

    fn turn(&self, health: Health, why: &str) {
        let changed = self.health.send_if_modified(|known| {
            let changed = *known != health && !self.closed.load(Ordering::Relaxed);
            if changed {
                *known = health;
            }
            changed
        });
        if changed {
            tracing::warn!(link = self.id.as_str(), ?health, why, "the link's health has changed");
        }
    }

    /// Brings the link back: runs as long as the link does.
    pub(super) async fn nurse(&self, lines: &Lines) {
        let mut health = self.watch();
        loop {
            let sick = health.wait_for(|health| *health != Health::Up).await.map(|health| *health);
            match sick {
                Ok(Health::Down) => self.probe(lines).await,
                Ok(_) => self.rest().await,
                Err(_) => return,
            }
        }
    }

    async fn probe(&self, lines: &Lines) {
        let mut wait = PROBE_AFTER;
        while *self.health.borrow() == Health::Down {
            let jitter = 0.75 + 0.5 * rand::random::<f64>();
            sleep(wait.mul_f64(jitter)).await;
            wait = (wait * 2).min(PROBE_AFTER_MAX);
            if lines.probe().await.is_ok() {
                self.reached();
            }
        }
    }

    async fn rest(&self) {
        let rests = self.rests.fetch_add(1, Ordering::Relaxed).min(8);
        sleep(REST.saturating_mul(1 << rests).min(REST_MAX)).await;
        // One more that is refused, and it rests again.
        self.refused_us.store(IN_A_ROW - 1, Ordering::Relaxed);
        if *self.health.borrow() == Health::Misconfigured {
            self.turn(Health::Up, "one more try");
        }
    }
}
