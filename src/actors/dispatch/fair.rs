//! Fairness between accounts: one queue for each, served in turn while every job leaves in time all the same.
//!
//! Turns alone break promises. Places in a lane are given to whoever comes first, so queues of accounts grow apart, and the
//! tail of a long one would wait for many rounds of younger jobs: accepted, charged, late and refunded. When some job
//! cannot wait any longer ([`Promises`]), the oldest one is next, whoever's it is.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::promises::Promises;
use super::speed::Speed;
use crate::domain::ids::AccountId;

/// First in, first out within an account; round robin between accounts, the oldest first when time is short.
#[derive(Debug)]
pub(super) struct FairQueue<T> {
    /// One of them may be empty while its account still has a turn.
    by_account: HashMap<AccountId, VecDeque<Queued<T>>>,
    /// Every account with something queued, once; the first is next.
    turns: VecDeque<AccountId>,
    /// Every item in the order in which it came, and some that have gone.
    arrivals: VecDeque<(u64, AccountId)>,
    arrived: u64,
    promises: Promises,
    speed: Speed,
    len: usize,
    /// Emptied queues, kept for the next account: under low load every job would allocate one.
    spare: Vec<VecDeque<Queued<T>>>,
}

#[derive(Debug)]
struct Queued<T> {
    arrival: u64,
    leave_by: Instant,
    item: T,
}

const SPARE_MAX: usize = 64;

impl<T> FairQueue<T> {
    /// Of items that leave within `within` of their arrival, at `speed`.
    pub(super) fn new(within: Duration, speed: Speed) -> Self {
        Self {
            by_account: HashMap::new(),
            turns: VecDeque::new(),
            arrivals: VecDeque::new(),
            arrived: 0,
            promises: Promises::new(within),
            speed,
            len: 0,
            spare: Vec::new(),
        }
    }

    /// From now on items leave at `speed`.
    pub(super) fn leave_at(&mut self, speed: Speed) {
        self.speed = speed;
    }

    pub(super) fn push(&mut self, account: AccountId, leave_by: Instant, item: T) {
        let (turns, spare) = (&mut self.turns, &mut self.spare);
        let queue = self.by_account.entry(account).or_insert_with(|| {
            turns.push_back(account);
            spare.pop().unwrap_or_default()
        });
        self.arrived += 1;
        queue.push_back(Queued { arrival: self.arrived, leave_by, item });
        self.arrivals.push_back((self.arrived, account));
        self.promises.add(leave_by);
        self.len += 1;
    }

    /// What [`FairQueue::pop`] would take at the same instant.
    pub(super) fn peek(&mut self, now: Instant) -> Option<&T> {
        let account = self.next(now)?;
        self.by_account.get(&account)?.front().map(|queued| &queued.item)
    }

    pub(super) fn pop(&mut self, now: Instant) -> Option<T> {
        let account = self.next(now)?;
        let queue = self.by_account.get_mut(&account)?;
        let taken = queue.pop_front()?;
        // Whose turn it was not keeps its place in the row, and is passed over if nothing is left then.
        if self.turns.front() == Some(&account) {
            self.turns.pop_front();
            if queue.is_empty() {
                self.forget(account);
            } else {
                self.turns.push_back(account);
            }
        }
        self.promises.remove(taken.leave_by);
        self.len -= 1;
        Some(taken.item)
    }

    /// Whose oldest item is next.
    fn next(&mut self, now: Instant) -> Option<AccountId> {
        while let Some((arrival, account)) = self.arrivals.front() {
            let oldest = self.by_account.get(account).and_then(VecDeque::front);
            if oldest.is_some_and(|queued| queued.arrival == *arrival) {
                break;
            }
            self.arrivals.pop_front();
        }
        while let Some(account) = self.turns.front().copied() {
            if self.by_account.get(&account).is_some_and(|queue| !queue.is_empty()) {
                break;
            }
            self.turns.pop_front();
            self.forget(account);
        }
        self.promises.pass(now);
        // Of one account alone the oldest is next anyway.
        if self.turns.len() > 1 && self.promises.pressing(now, self.speed) {
            self.arrivals.front().map(|(_, account)| *account)
        } else {
            self.turns.front().copied()
        }
    }

    /// When the oldest item of every account must leave.
    pub(super) fn heads(&self) -> impl Iterator<Item = Instant> {
        self.by_account.values().filter_map(|queue| queue.front().map(|queued| queued.leave_by))
    }

    /// Takes every item out that is at the head of its account's queue and must have left by `now`.
    pub(super) fn take_late(&mut self, now: Instant) -> Vec<T> {
        let mut taken = Vec::new();
        for queue in self.by_account.values_mut() {
            while let Some(late) = queue.pop_front_if(|queued| queued.leave_by <= now) {
                taken.push(late);
            }
        }
        self.gone(taken)
    }

    /// Takes every item out that `is_wanted`, in the order in which they came.
    pub(super) fn take_if(&mut self, is_wanted: impl Fn(&T) -> bool) -> Vec<T> {
        let mut taken = Vec::new();
        for queue in self.by_account.values_mut() {
            let (wanted, left) = std::mem::take(queue).into_iter().partition(|queued| is_wanted(&queued.item));
            *queue = left;
            taken.append(&mut Vec::from(wanted));
        }
        taken.sort_unstable_by_key(|queued: &Queued<T>| queued.arrival);
        self.gone(taken)
    }

    /// What was `taken` out of the middle is nobody's turn any more.
    fn gone(&mut self, taken: Vec<Queued<T>>) -> Vec<T> {
        if !taken.is_empty() {
            self.len -= taken.len();
            taken.iter().for_each(|gone| self.promises.remove(gone.leave_by));
            let by_account = &mut self.by_account;
            self.turns.retain(|account| by_account.get(account).is_some_and(|queue| !queue.is_empty()));
            by_account.retain(|_, queue| !queue.is_empty());
        }
        taken.into_iter().map(|queued| queued.item).collect()
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

    const SECOND: Duration = Duration::from_secs(1);

    fn account(number: u8) -> AccountId {
        AccountId::from_bytes([number; 16])
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_one_account_delays_another_by_one_turn() {
        let (now, mut queue) = (Instant::now(), FairQueue::new(SECOND * 5, Speed::per_second(1_000)));
        for number in 0..1_000 {
            queue.push(account(1), now + SECOND * 5, number);
        }
        queue.push(account(2), now + SECOND * 5, 10_000);
        queue.push(account(2), now + SECOND * 5, 10_001);
        let first: Vec<i32> = std::iter::from_fn(|| queue.pop(now)).take(6).collect();
        assert_eq!(first, [0, 10_000, 1, 10_001, 2, 3]);
        assert_eq!(queue.len(), 996);
        assert_eq!(queue.peek(now), Some(&4));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_late_goes_and_the_turns_stay_whole() {
        let (now, mut queue) = (Instant::now(), FairQueue::new(SECOND * 5, Speed::per_second(1_000)));
        for (owner, number, secs) in [(1, 1, 1), (1, 2, 1), (1, 9, 9), (2, 3, 1), (3, 8, 9)] {
            queue.push(account(owner), now + SECOND * secs, number);
        }
        let mut late = queue.take_late(now + SECOND);
        late.sort_unstable();
        assert_eq!(late, [1, 2, 3]);
        assert_eq!(queue.heads().collect::<Vec<_>>(), [now + SECOND * 9; 2]);
        queue.push(account(2), now + SECOND * 9, 7);
        assert_eq!(std::iter::from_fn(|| queue.pop(now)).collect::<Vec<_>>(), [9, 8, 7]);
        assert!(queue.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_wanted_goes_in_the_order_of_its_arrival_and_the_rest_keeps_its_own() {
        let (now, mut queue) = (Instant::now(), FairQueue::new(SECOND * 5, Speed::per_second(1_000)));
        for (owner, number) in [(2, 1), (1, 2), (1, 3), (3, 5), (2, 4), (1, 6)] {
            queue.push(account(owner), now + SECOND * 5, number);
        }
        assert_eq!(queue.take_if(|number| number % 2 == 1), [1, 3, 5]);
        assert_eq!((queue.len(), queue.take_if(|number| *number > 6)), (3, Vec::new()));
        queue.push(account(3), now + SECOND * 5, 8);
        let mut left: Vec<_> = std::iter::from_fn(|| queue.pop(now)).collect();
        assert!(left.iter().position(|n| *n == 2) < left.iter().position(|n| *n == 6));
        left.sort_unstable();
        assert_eq!(left, [2, 4, 6, 8]);
        assert!(queue.is_empty() && queue.by_account.is_empty() && queue.turns.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_is_next_when_it_cannot_wait_and_turns_go_on_after_it() {
        let (now, mut queue) = (Instant::now(), FairQueue::new(SECOND * 5, Speed::per_second(10)));
        for number in 0..20 {
            queue.push(account(1), now + SECOND * 5, number);
        }
        for number in 100..104 {
            queue.push(account(2), now + SECOND * 6, number);
        }
        let mut take = |millis| queue.pop(now + Duration::from_millis(millis));
        assert_eq!([take(0), take(0), take(0)], [Some(0), Some(100), Some(1)]);
        // Eighteen are left that need 1.8 s, then seventeen; a step of 100 ms is kept in hand.
        assert_eq!([take(3_250), take(3_250)], [Some(2), Some(3)]);
        assert_eq!([take(3_000), take(3_000), take(3_000)], [Some(101), Some(4), Some(102)]);
        assert_eq!(std::iter::from_fn(|| queue.pop(now)).count(), 16);
        assert_eq!((queue.len(), queue.peek(now)), (0, None));
        assert!(queue.by_account.is_empty() && queue.turns.is_empty() && queue.arrivals.is_empty());
    }

    /// A lane of 1,000 places a second for five seconds, nine tenths of it promised and half of that to one account: the
    /// first account takes its half, and from then on fifteen others take every place that becomes free.
    #[tokio::test(start_paused = true)]
    async fn a_promise_is_kept_whoever_takes_the_free_places() {
        let (start, mut queue) = (Instant::now(), FairQueue::new(SECOND * 5, Speed::per_second(1_000)));
        for _ in 0..2_250 {
            queue.push(account(0), start + SECOND * 5, start + SECOND * 5);
        }
        let (mut others, mut left_of) = (0_u32, 0);
        for millis in 0..20_000 {
            let now = start + Duration::from_millis(millis);
            while queue.len() < 4_500 {
                // Unevenly: some come four times as often.
                let turn = if others % 2 == 0 { 1 + others / 2 % 3 } else { 4 + others / 2 % 12 };
                queue.push(account(u8::try_from(turn).expect("small")), now + SECOND * 5, now + SECOND * 5);
                others += 1;
            }
            let leave_by = queue.pop(now).expect("it is full");
            assert!(leave_by > now, "late after {millis} ms");
            left_of += u32::from(leave_by == start + SECOND * 5);
        }
        assert!(left_of >= 2_250);
    }
}
