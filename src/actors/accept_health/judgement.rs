//! The rule by which a node stops calling itself ready because its orders fail; pure, with the time passed in.

use std::time::Duration;

use tokio::time::Instant;

use crate::domain::ids::AccountId;

/// So many orders in a row must have been refused …
const REFUSALS_MIN: u32 = 3;
/// … over so long: a connection that is cut once refuses as many in an instant.
const OVER: Duration = Duration::from_secs(5);
/// Good probes in a row after which orders are accepted again.
const GOOD_MIN: u32 = 2;
/// Where refusals come back after good probes, the probe does not see what is wrong: twice as many are wanted each time, up to
/// this, or the node would come and go every few seconds.
const GOOD_MAX: u32 = 64;
/// A refusal that is this old, with probes that are good, is of the past.
const QUIET: Duration = Duration::from_secs(30);

/// Refusals of ours with no success in between.
#[derive(Clone, Copy, Debug)]
struct Refusals {
    count: u32,
    first: Instant,
    last: Instant,
    /// Whose the first was; one account may send what cannot be written.
    account: AccountId,
    of_others: bool,
}

impl Refusals {
    const fn new(account: AccountId, now: Instant) -> Self {
        Self { count: 0, first: now, last: now, account, of_others: false }
    }

    fn add(&mut self, account: AccountId, now: Instant) {
        self.count = self.count.saturating_add(1);
        self.last = now;
        self.of_others |= account != self.account;
    }

    fn are_the_nodes(&self) -> bool {
        self.count >= REFUSALS_MIN && self.of_others && self.last.duration_since(self.first) >= OVER
    }
}

/// Whether orders are accepted, as far as is known.
#[derive(Debug)]
pub(super) struct Judgement {
    refusals: Option<Refusals>,
    /// Good probes in a row, while orders are not accepted.
    red: Option<u32>,
    /// How many of them are wanted now, and how many the next time that refusals alone say so.
    wanted: u32,
    wanted_next: u32,
}

impl Judgement {
    pub(super) const fn new() -> Self {
        Self { refusals: None, red: None, wanted: GOOD_MIN, wanted_next: GOOD_MIN }
    }

    pub(super) const fn is_accepting(&self) -> bool {
        self.red.is_none()
    }

    /// There is a reason to probe.
    pub(super) const fn is_suspicious(&self) -> bool {
        self.refusals.is_some() || self.red.is_some()
    }

    /// An order was refused for a reason of ours. Once that has been believed it tells nothing more: one account that repeats a
    /// bad order must not hold the node.
    pub(super) fn refused(&mut self, account: AccountId, now: Instant) {
        if self.red.is_some() {
            return;
        }
        let refusals = self.refusals.get_or_insert_with(|| Refusals::new(account, now));
        refusals.add(account, now);
        if refusals.are_the_nodes() {
            self.red = Some(0);
            self.wanted = self.wanted_next;
            self.wanted_next = (self.wanted_next * 2).min(GOOD_MAX);
        }
    }

    /// An order was charged. Out of a red only probes lead: the last orders of a failing node may go either way.
    pub(super) const fn charged(&mut self) {
        self.refusals = None;
        self.wanted_next = GOOD_MIN;
    }

    /// A probe has ended; it tells nothing once the doubt has ended.
    pub(super) fn probed(&mut self, is_good: bool, now: Instant) {
        match (&mut self.red, is_good) {
            (Some(good), true) => {
                *good += 1;
                if *good >= self.wanted {
                    (self.red, self.refusals) = (None, None);
                }
            }
            (Some(good), false) => *good = 0,
            (None, true) => self.refusals = self.refusals.filter(|refusals| now.duration_since(refusals.last) < QUIET),
            (None, false) if self.refusals.is_some() => (self.red, self.wanted) = (Some(0), GOOD_MIN),
            (None, false) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(number: u8) -> AccountId {
        AccountId::from_bytes([number; 16])
    }

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Two accounts, refused at once and again after `OVER`.
    fn refuse(judgement: &mut Judgement, from: Instant) {
        for (number, at) in [(1, from), (2, from), (1, from + OVER)] {
            judgement.refused(account(number), at);
        }
    }

    #[test]
    fn the_first_refusal_is_a_reason_to_probe_and_a_success_ends_it() {
        let (mut judgement, now) = (Judgement::new(), Instant::now());
        assert!(judgement.is_accepting() && !judgement.is_suspicious());
        judgement.refused(account(1), now);
        assert!(judgement.is_accepting() && judgement.is_suspicious());
        judgement.charged();
        assert!(judgement.is_accepting() && !judgement.is_suspicious());
        judgement.probed(false, now);
        assert!(judgement.is_accepting(), "of a probe that began before");
    }

    #[test]
    fn refusals_turn_it_red_only_if_there_are_enough_over_long_enough_of_two_accounts() {
        let now = Instant::now();
        let after = |refusals: &[(u8, u64)]| {
            let mut judgement = Judgement::new();
            for &(number, at) in refusals {
                judgement.refused(account(number), now + seconds(at));
            }
            judgement.is_accepting()
        };
        assert!(!after(&[(1, 0), (2, 1), (1, 5)]));
        assert!(!after(&[(1, 0), (1, 5), (2, 6)]));
        assert!(after(&[(1, 0), (2, 5)]), "too few");
        assert!(after(&[(1, 0), (2, 1), (1, 2), (2, 4)]), "too short");
        assert!(after(&[(1, 0), (1, 3), (1, 6), (1, 600)]), "one account");
    }

    #[test]
    fn one_bad_order_repeated_leaves_it_green_as_long_as_probes_are_good() {
        let (mut judgement, now) = (Judgement::new(), Instant::now());
        for at in 0..100 {
            judgement.refused(account(1), now + seconds(at));
            judgement.probed(true, now + seconds(at));
            assert!(judgement.is_accepting() && judgement.is_suspicious());
        }
        judgement.probed(false, now + seconds(100));
        assert!(!judgement.is_accepting(), "a probe that fails is no customer's doing");
    }

    #[test]
    fn a_success_in_between_clears_the_refusals() {
        let (mut judgement, now) = (Judgement::new(), Instant::now());
        judgement.refused(account(1), now);
        judgement.refused(account(2), now);
        judgement.charged();
        judgement.refused(account(1), now + OVER);
        judgement.refused(account(2), now + OVER);
        judgement.refused(account(2), now + OVER);
        assert!(judgement.is_accepting());
    }

    #[test]
    fn two_good_probes_in_a_row_turn_it_green_and_clear_the_refusals() {
        let (mut judgement, now) = (Judgement::new(), Instant::now());
        judgement.refused(account(1), now);
        for (is_good, green) in [(false, false), (true, false), (false, false), (true, false), (true, true)] {
            judgement.probed(is_good, now);
            assert_eq!(judgement.is_accepting(), green);
        }
        assert!(!judgement.is_suspicious());
    }

    #[test]
    fn a_charge_or_a_refusal_while_it_is_red_changes_no_colour() {
        let (mut judgement, now) = (Judgement::new(), Instant::now());
        refuse(&mut judgement, now);
        judgement.charged();
        assert!(!judgement.is_accepting());
        judgement.probed(true, now);
        judgement.refused(account(3), now);
        judgement.probed(true, now);
        assert!(judgement.is_accepting() && !judgement.is_suspicious());
    }

    #[test]
    fn what_probes_do_not_see_makes_it_red_for_longer_each_time_until_an_order_is_charged() {
        let (mut judgement, mut now) = (Judgement::new(), Instant::now());
        let mut round = |judgement: &mut Judgement| {
            refuse(judgement, now);
            now += OVER;
            let probes = (1..).find(|_| {
                judgement.probed(true, now);
                judgement.is_accepting()
            });
            probes.expect("it ends")
        };
        let rounds: Vec<u32> = (0..7).map(|_| round(&mut judgement)).collect();
        assert_eq!(rounds, [2, 4, 8, 16, 32, 64, 64]);
        judgement.charged();
        assert_eq!(round(&mut judgement), 2);
    }

    #[test]
    fn refusals_that_are_old_are_forgotten_if_probes_are_good() {
        let (mut judgement, now) = (Judgement::new(), Instant::now());
        judgement.refused(account(1), now);
        judgement.probed(true, now + QUIET - seconds(1));
        assert!(judgement.is_suspicious());
        judgement.probed(true, now + QUIET);
        assert!(!judgement.is_suspicious());
    }
}
