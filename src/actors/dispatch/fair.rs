//! Fairness between accounts: one queue for each, served in turn.

use std::collections::{HashMap, VecDeque};

use crate::domain::ids::AccountId;

/// First in, first out within an account; round robin between accounts.
#[derive(Debug)]
pub(super) struct FairQueue<T> {
    by_account: HashMap<AccountId, VecDeque<T>>,
    /// Every account with something queued, once; the first is next.
    turns: VecDeque<AccountId>,
    len: usize,
    /// Emptied queues, kept for the next account: under low load every job would allocate one.
    spare: Vec<VecDeque<T>>,
}

const SPARE_MAX: usize = 64;

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self { by_account: HashMap::new(), turns: VecDeque::new(), len: 0, spare: Vec::new() }
    }
}

impl<T> FairQueue<T> {
    pub(super) fn push(&mut self, account: AccountId, item: T) {
        let (turns, spare) = (&mut self.turns, &mut self.spare);
        let queue = self.by_account.entry(account).or_insert_with(|| {
            turns.push_back(account);
            spare.pop().unwrap_or_default()
        });
        queue.push_back(item);
        self.len += 1;
    }

    /// What [`FairQueue::pop`] would take.
    pub(super) fn peek(&self) -> Option<&T> {
        self.by_account.get(self.turns.front()?)?.front()
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let account = self.turns.pop_front()?;
        let queue = self.by_account.get_mut(&account)?;
        let item = queue.pop_front();
        if queue.is_empty() {
            self.forget(account);
        } else {
            self.turns.push_back(account);
        }
        self.len -= 1;
        item
    }

    /// The oldest item of every account.
    pub(super) fn heads(&self) -> impl Iterator<Item = &T> {
        self.by_account.values().filter_map(VecDeque::front)
    }

    /// Takes every item out that is at the head of its account's queue and `over`.
    pub(super) fn take_heads(&mut self, over: impl Fn(&T) -> bool) -> Vec<T> {
        let mut taken = Vec::new();
        for queue in self.by_account.values_mut() {
            while let Some(item) = queue.pop_front_if(|item| over(item)) {
                taken.push(item);
            }
        }
        if !taken.is_empty() {
            self.len -= taken.len();
            let by_account = &mut self.by_account;
            self.turns.retain(|account| by_account.get(account).is_some_and(|queue| !queue.is_empty()));
            by_account.retain(|_, queue| !queue.is_empty());
        }
        taken
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn forget(&mut self, account: AccountId) {
        if let Some(emptied) = self.by_account.remove(&account)
            && self.spare.len() < SPARE_MAX
        {
            self.spare.push(emptied);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(number: u8) -> AccountId {
        AccountId::from_bytes([number; 16])
    }

    #[test]
    fn a_flood_of_one_account_delays_another_by_one_turn() {
        let mut queue = FairQueue::default();
        for number in 0..1_000 {
            queue.push(account(1), number);
        }
        queue.push(account(2), 10_000);
        queue.push(account(2), 10_001);
        let first: Vec<i32> = std::iter::from_fn(|| queue.pop()).take(6).collect();
        assert_eq!(first, [0, 10_000, 1, 10_001, 2, 3]);
        assert_eq!(queue.len(), 996);
        assert_eq!(queue.peek(), Some(&4));
    }

    #[test]
    fn what_is_over_goes_and_the_turns_stay_whole() {
        let mut queue = FairQueue::default();
        for (owner, number) in [(1, 1), (1, 2), (1, 9), (2, 3), (3, 8)] {
            queue.push(account(owner), number);
        }
        let mut over = queue.take_heads(|number| *number < 5);
        over.sort_unstable();
        assert_eq!(over, [1, 2, 3]);
        assert_eq!(queue.heads().count(), 2);
        queue.push(account(2), 7);
        assert_eq!(std::iter::from_fn(|| queue.pop()).collect::<Vec<_>>(), [9, 8, 7]);
        assert!(queue.is_empty());
    }
}
