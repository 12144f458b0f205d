//! A part of a batch: orders that go into one transaction, with who waits for them.

use std::collections::HashSet;
use std::sync::Arc;

use super::handover::Waiter;
use super::resolver::Decided;
use super::teller::Charging;
use crate::domain::ids::AccountId;
use crate::records::acceptance::{Order, Verdict};

/// How often a part is tried after a lock was not granted, for the wallets that are still locked: another daemon's
/// transaction holds a busy wallet for milliseconds, and no order is to be refused for that.
const CAREFUL_TRIES: u8 = 3;

/// One transaction's worth.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) orders: Arc<Vec<Order>>,
    /// The accounts whose wallets are not waited for.
    pub(super) unwaited: Arc<HashSet<AccountId>>,
}

pub(super) struct Part {
    pub(super) draft: Draft,
    pub(super) waiters: Vec<Waiter>,
    /// How often it may be tried again without a wait for any wallet; `None` before a lock was not granted.
    tries_left: Option<u8>,
}

/// Halves of a part, or the one order that it holds.
pub(super) enum Halves {
    Two([Part; 2]),
    One(Option<Waiter>),
}

impl Part {
    /// Leaves out whose caller has gone already: nothing of theirs is charged.
    pub(super) fn new(items: Vec<Charging>, unwaited: HashSet<AccountId>) -> Self {
        let mut orders = Vec::with_capacity(items.len());
        let mut waiters = Vec::with_capacity(items.len());
        for Charging { order, reply } in items {
            if !reply.is_closed() {
                waiters.push(Waiter { delivery: order.delivery, reply });
                orders.push(order);
            }
        }
        let draft = Draft { orders: Arc::new(orders), unwaited: Arc::new(unwaited) };
        Self { draft, waiters, tries_left: None }
    }

    pub(super) fn halve(mut self) -> Halves {
        if self.waiters.len() < 2 {
            return Halves::One(self.waiters.pop());
        }
        let mut orders = Arc::unwrap_or_clone(self.draft.orders);
        let middle = orders.len() / 2;
        let half = |orders, waiters| Self {
            draft: Draft { orders: Arc::new(orders), unwaited: Arc::clone(&self.draft.unwaited) },
            waiters,
            tries_left: self.tries_left,
        };
        let second = half(orders.split_off(middle), self.waiters.split_off(middle));
        Halves::Two([second, half(orders, self.waiters)])
    }

    /// Whether it waits for no wallet, since a lock was not granted.
    pub(super) const fn is_careful(&self) -> bool {
        self.tries_left.is_some()
    }

    /// After a lock that was not granted: the same part without a wait for any wallet. The waiters if that has been tried:
    /// then it is another row that is held.
    pub(super) fn careful(self) -> Result<Self, Vec<Waiter>> {
        if self.tries_left.is_some() {
            return Err(self.waiters);
        }
        let unwaited = Arc::new(self.draft.orders.iter().map(|order| order.account).collect());
        let draft = Draft { unwaited, ..self.draft };
        Ok(Self { draft, waiters: self.waiters, tries_left: Some(CAREFUL_TRIES - 1) })
    }

    /// Takes the orders whose wallets were locked out of what was decided, to try them once more.
    pub(super) fn locked(&mut self, decided: &mut Decided) -> Option<Self> {
        let tries_left = self.tries_left.filter(|left| *left > 0)?;
        let verdicts = std::mem::take(&mut decided.accepted.verdicts);
        let (mut orders, mut waiters) = (Vec::new(), Vec::new());
        for ((verdict, waiter), order) in
            verdicts.into_iter().zip(std::mem::take(&mut self.waiters)).zip(self.draft.orders.iter())
        {
            if verdict == Verdict::WalletLocked {
                waiters.push(waiter);
                orders.push(order.clone());
            } else {
                self.waiters.push(waiter);
                decided.accepted.verdicts.push(verdict);
            }
        }
        if orders.is_empty() {
            return None;
        }
        let draft = Draft { orders: Arc::new(orders), unwaited: Arc::clone(&self.draft.unwaited) };
        Some(Self { draft, waiters, tries_left: Some(tries_left - 1) })
    }
}
