//! Receipts on their way: what they tell of networks is noted once they are durable.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::{Fact, Learning, What, Whom};
use crate::carrier::upstream::{FailureClass, Naming, NotDurable, Receipt, ReceiptSink, ReceiptState, Subject};
use crate::domain::carrier::Carrier;
use crate::domain::numbering::Allotment;
use crate::domain::phone::Phone;

#[derive(Debug)]
pub(super) struct LearningSink {
    sink: Arc<dyn ReceiptSink>,
    learning: Learning,
}

/// What a receipt tells, and of whom.
#[derive(Debug)]
enum Told {
    OfPhone(Phone, What),
    Else(Fact),
}

impl LearningSink {
    pub(super) fn new(sink: Arc<dyn ReceiptSink>, learning: Learning) -> Self {
        Self { sink, learning }
    }

    fn told(&self, receipt: &Receipt) -> Option<Told> {
        let refused = receipt.state == ReceiptState::Failed(FailureClass::WrongNetwork);
        if receipt.network.is_none() && !refused {
            return None;
        }
        let what = match self.carrier(receipt, refused) {
            Some(carrier) => What::On(carrier),
            None if refused => What::NotOn(None),
            None => return None,
        };
        Some(match &receipt.subject {
            Subject::Attempt { delivery, .. } => Told::Else(Fact { whom: Whom::Delivery(*delivery), what }),
            Subject::Reference { phone: Some(phone), .. } => Told::OfPhone(*phone, what),
            Subject::Reference { references, phone: None } => {
                Told::Else(Fact { whom: Whom::Named(receipt.upstream.clone(), references.clone()), what })
            }
        })
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

impl Learning {
    fn heard(&self, told: Told) {
        match told {
            Told::OfPhone(phone, What::On(carrier)) => self.seen(phone, &carrier),
            Told::OfPhone(phone, What::NotOn(Some(carrier))) => self.refuted(phone, &carrier),
            Told::OfPhone(phone, What::NotOn(None)) => {
                // Whoever it was learned of: it is not true.
                let learned = self.routing.learned_of(self.routing.phone_key(phone));
                if let Some(carrier) = learned {
                    self.refuted(phone, &carrier);
                }
            }
            Told::Else(fact) => self.note(fact),
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
            learning.heard(told);
            Ok(())
        })
    }

    fn name(&self, naming: Naming) -> BoxFuture<'static, Result<(), NotDurable>> {
        self.sink.name(naming)
    }
}
