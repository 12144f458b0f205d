//! The places of look-ups under way: so many in all, and of these no account more than its share.
//!
//! Look-ups are paid for before anybody is charged: whoever walks through numbers takes neither all places nor, by that, the
//! networks of other accounts' phones. A place gives itself back when it is dropped.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::ids::AccountId;

/// One account has at most this part of all places.
const SHARE: usize = 4;

#[derive(Debug)]
pub(super) struct Places {
    max: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    total: usize,
    by_account: HashMap<AccountId, usize>,
}

/// One look-up under way.
#[derive(Debug)]
pub(super) struct Place<'a> {
    places: &'a Places,
    account: AccountId,
}

impl Places {
    pub(super) fn new(max: usize) -> Self {
        Self { max, held: Mutex::default() }
    }

    /// A place for `account`, at once or not at all.
    pub(super) fn take(&self, account: AccountId) -> Option<Place<'_>> {
        let mut held = self.held();
        let of_account = held.by_account.get(&account).copied().unwrap_or(0);
        if held.total >= self.max || of_account >= self.max.div_ceil(SHARE) {
            return None;
        }
        held.total += 1;
        held.by_account.insert(account, of_account + 1);
        Some(Place { places: self, account })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut held = self.places.held();
        held.total -= 1;
        if let Some(of_account) = held.by_account.get_mut(&self.account) {
            *of_account -= 1;
            if *of_account == 0 {
                held.by_account.remove(&self.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn account(number: u8) -> AccountId {
        AccountId::from_bytes([number; 16])
    }

    #[test]
    fn no_account_takes_more_than_its_share_and_all_together_no_more_than_there_are() {
        let places = Places::new(8);
        let wanted = (0..5).flat_map(|number| [account(number); 3]);
        let held: Vec<Place<'_>> = wanted.filter_map(|account| places.take(account)).collect();
        assert_eq!(held.len(), 8, "two each of the first four");
        assert!(places.take(account(9)).is_none());
        drop(held);
        assert!(places.take(account(9)).is_some());
        assert!(places.held().by_account.is_empty());
        assert!(Places::new(1).take(account(1)).is_some(), "one place is somebody's");
    }
}
