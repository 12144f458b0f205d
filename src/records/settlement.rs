//! *Settle*: the one transaction that ends deliveries, refunds the failed ones and frees their windows.

use crate::domain::delivery::{End, WindowAfter};
use crate::domain::ids::DeliveryId;

/// How one delivery is to end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settlement {
    pub delivery: DeliveryId,
    pub end: End,
    pub window: WindowAfter,
}

/// What the transaction did with one settlement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settled {
    /// This transaction ended the delivery.
    Ended,
    /// The delivery had ended before, or is not known: nothing changed.
    Unchanged,
}
