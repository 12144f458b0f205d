//! A link as it is, but for one thing: a refusal because of the wrong network is told, and a plain one, which is all that many
//! carriers say of a number that is another's: what had been learned is asked anew then.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::Learning;
use crate::carrier::upstream::{Attempt, Capabilities, FailureClass, Health, Outcome, Upstream};
use crate::domain::reference::UpstreamId;

#[derive(Debug)]
pub(super) struct LearningLink {
    upstream: Arc<dyn Upstream>,
    learning: Learning,
}

impl LearningLink {
    pub(super) fn new(upstream: Arc<dyn Upstream>, learning: Learning) -> Self {
        Self { upstream, learning }
    }
}

impl Upstream for LearningLink {
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
        let (phone, carrier) = (attempt.phone, attempt.carrier.clone());
        let (outcome, learning) = (self.upstream.dispatch(attempt), self.learning.clone());
        Box::pin(async move {
            let outcome = outcome.await;
            if matches!(outcome, Outcome::Refused { class: FailureClass::WrongNetwork | FailureClass::Rejected, .. }) {
                learning.refuted(phone, &carrier);
            }
            outcome
        })
    }

    fn shutdown(&self, grace: Duration) -> BoxFuture<'static, ()> {
        self.upstream.shutdown(grace)
    }
}
