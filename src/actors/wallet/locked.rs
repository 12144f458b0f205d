//! Wallets that a foreign session holds: whose orders are refused at once, and when they are tried again.
//!
//! An order that waited for such a wallet would hold a commit permit that the other accounts need. So it is refused, but for
//! one batch from time to time, which takes the account's orders along without a wait for its wallet.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use crate::domain::ids::AccountId;
use crate::records::acceptance::{Order, Verdict};

const WAIT: Duration = Duration::from_millis(50);
const WAIT_MAX: Duration = Duration::from_millis(200);
/// An account without orders for so long is forgotten.
const FORGET: Duration = Duration::from_secs(60);

/// What is done with the orders of an account now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Turn {
    /// Its wallet is waited for like any other.
    Waits,
    /// Its wallet may be free again: without a wait for it.
    Tries,
    Refused,
}

/// The wallets that were locked when they were last tried.
#[derive(Debug, Default)]
pub(super) struct LockedWallets {
    by_account: HashMap<AccountId, Held>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    try_at: Instant,
    wait: Duration,
}

impl LockedWallets {
    pub(super) fn is_empty(&self) -> bool {
        self.by_account.is_empty()
    }

    pub(super) fn turn(&self, account: AccountId, now: Instant) -> Turn {
        match self.by_account.get(&account) {
            None => Turn::Waits,
            Some(held) if held.try_at <= now => Turn::Tries,
            Some(_) => Turn::Refused,
        }
    }

    /// Learns from a batch that did not wait for `unwaited`.
    pub(super) fn learn(
        &mut self,
        orders: &[Order],
        verdicts: &[Verdict],
        unwaited: &HashSet<AccountId>,
        now: Instant,
    ) {
        let told = orders.iter().zip(verdicts).filter(|(order, _)| unwaited.contains(&order.account));
        let mut locked = HashSet::new();
        let mut came_back = HashSet::new();
        for (order, verdict) in told {
            match verdict {
                Verdict::WalletLocked => locked.insert(order.account),
                Verdict::Charged { .. } | Verdict::Insufficient { .. } => came_back.insert(order.account),
                // Decided without a look at the wallet.
                _ => false,
            };
        }
        for account in came_back {
            self.by_account.remove(&account);
        }
        for account in locked {
            self.found_locked(account, now);
        }
    }

    fn found_locked(&mut self, account: AccountId, now: Instant) {
        let wait = match self.by_account.get(&account) {
            Some(held) => (held.wait * 2).min(WAIT_MAX),
            None => {
                warn!(%account, "a wallet is held locked by another session: its orders are refused until it is free");
                WAIT
            }
        };
        self.by_account.retain(|_, held| held.try_at + FORGET > now);
        self.by_account.insert(account, Held { try_at: now + wait, wait });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(number: u8) -> AccountId {
        AccountId::from_bytes([number; 16])
    }

    #[test]
    fn a_locked_wallet_is_tried_again_later_and_later() {
        let (mut locked, start) = (LockedWallets::default(), Instant::now());
        assert_eq!(locked.turn(account(1), start), Turn::Waits);
        let mut now = start;
        for wait_ms in [50, 100, 200, 200] {
            locked.found_locked(account(1), now);
            let due = now + Duration::from_millis(wait_ms);
            assert_eq!(locked.turn(account(1), due - Duration::from_millis(1)), Turn::Refused);
            assert_eq!(locked.turn(account(1), due), Turn::Tries);
            assert_eq!(locked.turn(account(2), now), Turn::Waits);
            now = due;
        }
    }

    #[test]
    fn what_has_no_orders_is_forgotten() {
        let (mut locked, start) = (LockedWallets::default(), Instant::now());
        locked.found_locked(account(1), start);
        locked.found_locked(account(2), start + FORGET / 2);
        assert_eq!(locked.by_account.len(), 2);
        locked.found_locked(account(3), start + FORGET + WAIT);
        assert_eq!(locked.by_account.len(), 2);
        assert_eq!(locked.turn(account(1), start), Turn::Waits);
    }
}
