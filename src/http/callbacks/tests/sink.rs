//! A sink of receipts that does as it is told.

use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::carrier::upstream::{Naming, NotDurable, Receipt, ReceiptSink};

#[derive(Debug, Default)]
pub(super) struct Sink {
    pub(super) is_away: Mutex<bool>,
    /// What has this word is not durable.
    pub(super) refuses: Mutex<Option<&'static str>>,
    pub(super) receipts: Mutex<Vec<Receipt>>,
}

impl ReceiptSink for Sink {
    fn put(&self, receipt: Receipt) -> BoxFuture<'static, Result<(), NotDurable>> {
        let refused = *self.refuses.lock().unwrap_or_else(PoisonError::into_inner);
        let is_away = *self.is_away.lock().unwrap_or_else(PoisonError::into_inner);
        let is_away = is_away || refused.is_some_and(|word| receipt.status.as_str() == word);
        if !is_away {
            self.receipts.lock().unwrap_or_else(PoisonError::into_inner).push(receipt);
        }
        std::future::ready(if is_away { Err(NotDurable) } else { Ok(()) }).boxed()
    }

    fn name(&self, _: Naming) -> BoxFuture<'static, Result<(), NotDurable>> {
        std::future::ready(Ok(())).boxed()
    }
}
