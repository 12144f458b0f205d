//! An upstream that sends no receipts, where the operator has decided that what it accepted counts as delivered.
//!
//! [`ReceiptTrust::Charged`](super::upstream::ReceiptTrust) is the operator's choice, so that no link need know of it: the
//! wrapped upstream's ack becomes the receipt that it never sends. It says so in the carrier status. A crash between the ack
//! and the receipt's commit is a lost receipt: the delivery fails by its settle time and is refunded.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::upstream::{
    Attempt, Capabilities, Health, Outcome, Receipt, ReceiptSink, ReceiptState, ReceiptTrust, Subject, Upstream,
};
use crate::domain::delivery::CarrierStatus;
use crate::domain::reference::UpstreamId;

/// What a delivery's `carrier_status` says then.
pub const STATUS: &str = "accepted without receipt";

/// Settles what the upstream inside accepts as delivered, at once.
#[derive(Debug)]
pub struct Unreceipted {
    inner: Arc<dyn Upstream>,
    sink: Arc<dyn ReceiptSink>,
}

impl Unreceipted {
    /// `upstream` as it is, or wrapped if its accepted attempts count as delivered.
    #[must_use]
    pub fn wrap(upstream: Arc<dyn Upstream>, sink: &Arc<dyn ReceiptSink>) -> Arc<dyn Upstream> {
        match upstream.capabilities().receipts {
            ReceiptTrust::Charged => Arc::new(Self { inner: upstream, sink: Arc::clone(sink) }),
            ReceiptTrust::Handset | ReceiptTrust::Network | ReceiptTrust::Refunded => upstream,
        }
    }
}

impl Upstream for Unreceipted {
    fn id(&self) -> &UpstreamId {
        self.inner.id()
    }

    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.inner.health()
    }

    fn dispatch(&self, attempt: Attempt) -> BoxFuture<'static, Outcome> {
        let receipt = Receipt {
            upstream: self.inner.id().clone(),
            subject: Subject::Attempt { delivery: attempt.delivery, channel: attempt.channel },
            state: ReceiptState::Delivered,
            status: CarrierStatus::clean(STATUS),
            network: None,
        };
        let (outcome, sink) = (self.inner.dispatch(attempt), Arc::clone(&self.sink));
        Box::pin(async move {
            let outcome = outcome.await;
            if outcome == Outcome::Accepted {
                // Not durable within the sink's patience: whoever took it goes on trying, and the ack is an ack all the same.
                let _kept = sink.put(receipt).await;
            }
            outcome
        })
    }

    fn shutdown(&self, grace: Duration) -> BoxFuture<'static, ()> {
        self.inner.shutdown(grace)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures_util::FutureExt as _;
    use tokio::time::Instant;

    use super::*;
    use crate::carrier::upstream::{Naming, NotDurable};
    use crate::domain::carrier::{Carrier, Channel};
    use crate::domain::code::OtpCode;
    use crate::domain::ids::DeliveryId;
    use crate::domain::phone::Phone;

    /// Answers everything with one outcome.
    #[derive(Debug)]
    struct Scripted(UpstreamId, Capabilities, Outcome);

    impl Upstream for Scripted {
        fn id(&self) -> &UpstreamId {
            &self.0
        }

        fn capabilities(&self) -> &Capabilities {
            &self.1
        }

        fn health(&self) -> watch::Receiver<Health> {
            watch::Sender::new(Health::Up).subscribe()
        }

        fn dispatch(&self, _attempt: Attempt) -> BoxFuture<'static, Outcome> {
            std::future::ready(self.2.clone()).boxed()
        }

        fn shutdown(&self, _grace: Duration) -> BoxFuture<'static, ()> {
            std::future::ready(()).boxed()
        }
    }

    #[derive(Debug, Default)]
    struct Sink(Mutex<Vec<Receipt>>);

    impl ReceiptSink for Sink {
        fn put(&self, receipt: Receipt) -> BoxFuture<'static, Result<(), NotDurable>> {
            self.0.lock().expect("whole").push(receipt);
            std::future::ready(Err(NotDurable)).boxed()
        }

        fn name(&self, _naming: Naming) -> BoxFuture<'static, Result<(), NotDurable>> {
            std::future::ready(Ok(())).boxed()
        }
    }

    async fn receipts_of(receipts: ReceiptTrust, outcome: Outcome) -> Vec<Receipt> {
        let capabilities = Capabilities { in_flight_max: 1, rate_per_second: None, per_phone_gap: None, receipts };
        let upstream = Arc::new(Scripted(UpstreamId("probe".into()), capabilities, outcome.clone()));
        let sink = Arc::new(Sink::default());
        let attempt = Attempt {
            delivery: DeliveryId::from_bytes([1; 16]),
            phone: Phone::parse("+84981234567").expect("a mobile"),
            carrier: Carrier::new("viettel").expect("sane"),
            channel: Channel::Sms,
            code: OtpCode::parse("1234").expect("digits"),
            leave_by: Instant::now(),
            settle_by: Instant::now(),
        };
        let seam: Arc<dyn ReceiptSink> = Arc::clone(&sink) as Arc<dyn ReceiptSink>;
        assert_eq!(Unreceipted::wrap(upstream, &seam).dispatch(attempt).await, outcome, "the outcome is the link's");
        std::mem::take(&mut *sink.0.lock().expect("whole"))
    }

    #[tokio::test]
    async fn an_ack_counts_as_delivered_only_where_the_operator_says_so() {
        for trust in [ReceiptTrust::Handset, ReceiptTrust::Network, ReceiptTrust::Refunded] {
            assert_eq!(receipts_of(trust, Outcome::Accepted).await, []);
        }
        let receipts = receipts_of(ReceiptTrust::Charged, Outcome::Accepted).await;
        let [Receipt { subject, state: ReceiptState::Delivered, status, .. }] = &receipts[..] else {
            panic!("{receipts:?}")
        };
        assert_eq!(*subject, Subject::Attempt { delivery: DeliveryId::from_bytes([1; 16]), channel: Channel::Sms });
        assert_eq!(status.as_str(), STATUS);
        let status = CarrierStatus::clean("time-out");
        for outcome in [
            Outcome::NotSent { status: status.clone() },
            Outcome::Ambiguous { status },
            Outcome::PerPhone { retry_after: Duration::from_secs(1) },
        ] {
            assert_eq!(receipts_of(ReceiptTrust::Charged, outcome).await, [], "it may not have been taken");
        }
    }
}
