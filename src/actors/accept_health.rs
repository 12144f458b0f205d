//! Whether this node accepts orders: what became of the last ones, and a probe of its own while that is in doubt.
//!
//! A database may answer every read and refuse every order: a table's grant revoked, a disk that is full. The wallet's
//! tellers report orders that were refused for reasons of ours, and one that was charged ends the doubt. While there is a
//! doubt Accept's own statements are tried each second in a transaction that is taken back. What failed at the settling or
//! the outbox is no reason to send orders elsewhere: it is counted where it happens.

mod judgement;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::{counter, gauge};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::time::Instant;
use tracing::{error, info, warn};

use self::judgement::Judgement;
use crate::actors::supervise::{Child, Slot};
use crate::records::acceptance::{Order, Rehearsal, Verdict};
use crate::store::{Store, StoreError};
use crate::telemetry::names;

/// Between two looks whether there is something to probe, and between two probes.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The handle. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AcceptHealth(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    suspicious: AtomicBool,
    accepting: AtomicBool,
    judgement: Mutex<Judgement>,
}

impl Default for AcceptHealth {
    fn default() -> Self {
        let judgement = Mutex::new(Judgement::new());
        let health =
            Self(Arc::new(Shared { suspicious: AtomicBool::new(false), accepting: AtomicBool::new(true), judgement }));
        health.show(&health.judgement());
        health
    }
}

impl AcceptHealth {
    #[must_use]
    pub fn is_accepting(&self) -> bool {
        self.0.accepting.load(Ordering::Relaxed)
    }

    /// These orders were not charged, and that is no fault of their accounts.
    pub(super) fn refused(&self, orders: &[Order]) {
        self.judge(|judgement, now| orders.iter().for_each(|order| judgement.refused(order.account, now)));
    }

    /// A batch was decided. One load while all is well.
    pub(super) fn decided(&self, verdicts: &[Verdict]) {
        if self.is_suspicious() && verdicts.iter().any(|verdict| matches!(verdict, Verdict::Charged { .. })) {
            self.judge(|judgement, _| judgement.charged());
        }
    }

    pub(super) fn is_suspicious(&self) -> bool {
        self.0.suspicious.load(Ordering::Relaxed)
    }

    fn judgement(&self) -> MutexGuard<'_, Judgement> {
        self.0.judgement.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn judge(&self, learn: impl FnOnce(&mut Judgement, Instant)) {
        let mut judgement = self.judgement();
        let before = judgement.is_accepting();
        learn(&mut judgement, Instant::now());
        self.show(&judgement);
        match (before, judgement.is_accepting()) {
            (true, false) => error!("orders cannot be accepted: this node is not ready"),
            (false, true) => info!("orders can be accepted again"),
            _ => {}
        }
    }

    fn show(&self, judgement: &Judgement) {
        let figure = |is_so| if is_so { 1.0 } else { 0.0 };
        self.0.suspicious.store(judgement.is_suspicious(), Ordering::Relaxed);
        self.0.accepting.store(judgement.is_accepting(), Ordering::Relaxed);
        gauge!(names::ACCEPTING).set(figure(judgement.is_accepting()));
        gauge!(names::ACCEPT_SUSPICIOUS).set(figure(judgement.is_suspicious()));
    }
}

/// Makes the place in the tree of the actor that probes. A probe that takes longer than `within` has failed.
#[must_use]
pub fn prober(health: &AcceptHealth, store: &Store, within: Duration) -> Child {
    let (health, store) = (health.clone(), store.clone());
    Child::actor("prober", &Slot::vacant(), move || {
        (Prober { health: health.clone(), store: store.clone(), within }, ())
    })
}

struct Prober {
    health: AcceptHealth,
    store: Store,
    within: Duration,
}

impl Prober {
    async fn probe(&self) {
        let rehearsal = Rehearsal::new(self.store.clock().now());
        let rehearsed = tokio::time::timeout(self.within, rehearsal.run(&self.store));
        let outcome =
            rehearsed.await.unwrap_or_else(|_| Err(StoreError::Unavailable("the probe took too long".into())));
        let label = if outcome.is_ok() { "good" } else { "failed" };
        counter!(names::ACCEPT_PROBES, "result" => label).increment(1);
        if let Err(why) = &outcome {
            warn!(%why, "an order could not be accepted");
        }
        self.health.judge(|judgement, now| judgement.probed(outcome.is_ok(), now));
    }
}

struct Look;

impl Actor for Prober {
    type Msg = Look;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, prober: ActorRef<Look>, (): ()) -> Result<(), ActorProcessingErr> {
        prober.send_after(LOOK_EVERY, || Look);
        Ok(())
    }

    async fn handle(&self, prober: ActorRef<Look>, _: Look, (): &mut ()) -> Result<(), ActorProcessingErr> {
        if self.health.is_suspicious() {
            self.probe().await;
        }
        prober.send_after(LOOK_EVERY, || Look);
        Ok(())
    }
}
