//! Receipts on their way: what they tell of networks is noted once they are durable.
//!
//! A provider's word is believed of phones that it was sent to, and of no other: of those whose attempt bears the name that it
//! gave it. One that was rejected was perhaps sent to the wrong network; what had been learned of its phone is asked anew.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::{Fact, Learning, What, Whom};
use crate::carrier::upstream::{
    FailureClass, Naming, NotDurable, Polling, Receipt, ReceiptSink, ReceiptState, Subject, TakenOver,
};
use crate::domain::carrier::Carrier;
use crate::domain::numbering::Allotment;

#[derive(Debug)]
pub(super) struct LearningSink {
    sink: Arc<dyn ReceiptSink>,
    learning: Learning,
}

impl LearningSink {
    pub(super) fn new(sink: Arc<dyn ReceiptSink>, learning: Learning) -> Self {
        Self { sink, learning }
    }

    /// What a receipt tells, and of whom: of an attempt of ours, never of a phone that only the receipt names.
    fn told(&self, receipt: &Receipt) -> Option<Fact> {
        let refused = receipt.state == ReceiptState::Failed(FailureClass::WrongNetwork);
        let rejected = receipt.state == ReceiptState::Failed(FailureClass::Rejected);
        let what = match self.carrier(receipt, refused) {
            Some(carrier) => What::On(carrier),
            None if refused || rejected => What::NotOn(None),
            None => return None,
        };
        let whom = match &receipt.subject {
            Subject::Attempt { delivery, .. } => Whom::Delivery(*delivery),
            Subject::Reference { references, phone } => Whom::Named {
                upstream: receipt.upstream.clone(),
                references: references.clone(),
                phone: phone.map(|phone| self.learning.routing.phone_key(phone)),
            },
        };
        Some(Fact { whom, what })
    }

    /// The carrier whose network the receipt names. One that is not served is learned only from a failure: what was
    /// delivered there by another carrier can be delivered there again.
    fn carrier(&self, receipt: &Receipt, refused: bool) -> Option<Carrier> {
        let plan = self.learning.routing.plan();
        match plan.network(receipt.network?)? {
            Allotment::Served(route) => Some(route.carrier.clone()),
            Allotment::NotServed(carrier) => refused.then(|| carrier.clone()),
        }
    }
}

impl ReceiptSink for LearningSink {
    fn put(&self, receipt: Receipt) -> BoxFuture<'static, Result<(), NotDurable>> {
        let told = self.told(&receipt);
        let put = self.sink.put(receipt);
        let Some(told) = told else { return put };
        let learning = self.learning.clone();
        Box::pin(async move {
            put.await?;
            learning.note(told);
            Ok(())
        })
    }

    fn name(&self, naming: Naming) -> BoxFuture<'static, Result<(), NotDurable>> {
        self.sink.name(naming)
    }

    fn poll(&self, polling: Polling) -> BoxFuture<'static, Result<TakenOver, NotDurable>> {
        self.sink.poll(polling)
    }
}
