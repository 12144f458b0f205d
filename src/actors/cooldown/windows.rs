//! What one shard remembers of phones, in sixteen bytes each.
//!
//! A million phones are alive on a busy node, so instants are milliseconds in 32 bits that wrap every 49 days; what is
//! over is swept long before that. There is no timer and no queue per phone: the sweep walks the table.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::delivery::{HOLD_MAX, WindowAfter};
use crate::domain::sealing::PhoneKey;
use crate::records::acceptance::WINDOW;

/// How long a window that somebody else holds is believed without asking again: its owner may release it.
const ELSEWHERE: Duration = Duration::from_secs(1);
/// Half of the wrapping clock: what is further ahead than this is past.
const HALF: u32 = 1 << 31;

/// Milliseconds since the shard began, wrapping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Tick(u32);

impl Tick {
    /// How long after `now` this is; `None` if it is not.
    fn ahead(self, now: Self) -> Option<Duration> {
        let millis = self.0.wrapping_sub(now.0);
        (millis != 0 && millis < HALF).then(|| Duration::from_millis(u64::from(millis)))
    }
}

#[derive(Clone, Copy, Debug)]
struct Window {
    until: Tick,
    /// When the phone may leave this node again.
    leave: Tick,
}

/// A phone key is a keyed hash already.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_i64(&mut self, number: i64) {
        self.0 = number.cast_unsigned();
    }
}

type ByPhone<V> = HashMap<PhoneKey, V, BuildHasherDefault<AsIs>>;

/// Somebody else's window: until when, and until when that is believed.
#[derive(Clone, Copy, Debug)]
struct Elsewhere {
    until: Instant,
    believed: Instant,
}

pub(super) struct Windows {
    began: Instant,
    own: ByPhone<Window>,
    elsewhere: ByPhone<Elsewhere>,
}

impl Windows {
    pub(super) fn new(began: Instant) -> Self {
        Self { began, own: HashMap::default(), elsewhere: HashMap::default() }
    }

    /// The window was given to an order of this node just now.
    pub(super) fn claimed(&mut self, phone: PhoneKey, now: Instant) {
        let until = self.tick(now + WINDOW);
        let past = self.tick(now);
        self.own.entry(phone).and_modify(|window| window.until = until).or_insert(Window { until, leave: past });
    }

    pub(super) fn elsewhere(&mut self, phone: PhoneKey, remaining: Duration, now: Instant) {
        self.elsewhere.insert(phone, Elsewhere { until: now + remaining.min(HOLD_MAX), believed: now + ELSEWHERE });
    }

    /// What is left of the phone's window, as far as this shard may say so.
    pub(super) fn remaining(&self, phone: PhoneKey, now: Instant) -> Option<Duration> {
        let own = self.own.get(&phone).and_then(|window| window.until.ahead(self.tick(now)));
        own.or_else(|| {
            let other = self.elsewhere.get(&phone).filter(|other| other.believed > now)?;
            Some(other.until.saturating_duration_since(now)).filter(|left| !left.is_zero())
        })
    }

    /// When the phone may leave again, if that is in the future.
    pub(super) fn not_before(&self, phone: PhoneKey, now: Instant) -> Option<Instant> {
        self.own.get(&phone)?.leave.ahead(self.tick(now)).map(|wait| now + wait)
    }

    pub(super) fn left(&mut self, phone: PhoneKey, at: Instant, now: Instant) {
        // One more millisecond: a tick is cut, and two dispatches must not come closer than the window.
        let leave = self.tick(at + WINDOW + Duration::from_millis(1));
        let past = self.tick(now);
        self.own.entry(phone).and_modify(|window| window.leave = leave).or_insert(Window { until: past, leave });
    }

    /// The attempt that left last did not reach the phone. What left before it is far enough back: an attempt never
    /// starts before [`Windows::not_before`].
    pub(super) fn refused(&mut self, phone: PhoneKey, now: Instant) {
        let past = self.tick(now);
        self.own.entry(phone).and_modify(|window| window.leave = past);
    }

    /// The delivery that owned the window has ended. When the phone may leave again is not its to change: that may be of
    /// the delivery before it.
    pub(super) fn ended(&mut self, phone: PhoneKey, after: WindowAfter, now: Instant) {
        let tick = self.tick(now);
        let hold = |remainder: Duration| self.tick(now + remainder.min(HOLD_MAX));
        let until = match after {
            WindowAfter::Keep => return,
            WindowAfter::Release => tick,
            WindowAfter::Hold(remainder) => hold(remainder),
            WindowAfter::Extend(remainder) => {
                let left = self.own.get(&phone).and_then(|window| window.until.ahead(tick)).unwrap_or_default();
                hold(remainder.max(left))
            }
        };
        self.own.entry(phone).and_modify(|window| window.until = until).or_insert(Window { until, leave: tick });
    }

    /// Forgets what is over and, after a rush, gives memory back.
    pub(super) fn sweep(&mut self, now: Instant) {
        let tick = self.tick(now);
        self.own.retain(|_, window| window.until.ahead(tick).is_some() || window.leave.ahead(tick).is_some());
        self.elsewhere.retain(|_, other| other.believed > now);
        if self.own.len() < self.own.capacity() / 4 {
            self.own.shrink_to(self.own.len() * 2);
        }
        if self.elsewhere.len() < self.elsewhere.capacity() / 4 {
            self.elsewhere.shrink_to(self.elsewhere.len() * 2);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.own.len()
    }

    fn tick(&self, at: Instant) -> Tick {
        let millis = at.saturating_duration_since(self.began).as_millis() % (1 << 32);
        Tick(u32::try_from(millis).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PHONE: PhoneKey = PhoneKey::from_number(7);

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn a_phone_costs_sixteen_bytes_and_its_place() {
        assert_eq!(size_of::<(PhoneKey, Window)>(), 16);
        let (now, mut windows) = (Instant::now(), Windows::new(Instant::now()));
        for number in 0..100_000_u64 {
            // A multiplicative hash: the keys are as good as random.
            let key = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).cast_signed();
            windows.claimed(PhoneKey::from_number(key), now);
        }
        // One byte of control per place.
        assert!(windows.own.capacity() * 8 / 7 * 17 <= 40 * windows.len());
        windows.sweep(now + secs(31));
        assert_eq!((windows.len(), windows.own.capacity()), (0, 0), "memory is given back");
    }

    #[test]
    fn a_window_runs_thirty_seconds_from_its_claim() {
        let now = Instant::now();
        let mut windows = Windows::new(now);
        windows.claimed(PHONE, now);
        assert_eq!(windows.remaining(PHONE, now), Some(secs(30)));
        assert_eq!(windows.remaining(PHONE, now + secs(29)), Some(secs(1)));
        assert_eq!(windows.remaining(PHONE, now + secs(30)), None);
    }

    #[test]
    fn an_order_that_waited_moves_the_next_one_back() {
        let now = Instant::now();
        let mut windows = Windows::new(now);
        windows.claimed(PHONE, now);
        windows.left(PHONE, now + secs(4), now + secs(4));
        let boundary = now + secs(30);
        assert_eq!(windows.remaining(PHONE, boundary), None, "the window is over");
        let again = windows.not_before(PHONE, boundary).expect("it may not leave yet");
        assert!(again >= now + secs(34) && again <= now + secs(34) + Duration::from_millis(2));
        windows.sweep(boundary);
        assert!(windows.not_before(PHONE, boundary).is_some(), "what is still needed is not swept");
        assert_eq!(windows.not_before(PHONE, now + secs(35)), None);
    }

    #[test]
    fn a_refusal_frees_the_phone_and_a_carriers_remainder_holds_it() {
        let now = Instant::now();
        let mut windows = Windows::new(now);
        windows.claimed(PHONE, now);
        windows.left(PHONE, now, now);
        windows.ended(PHONE, WindowAfter::Keep, now);
        assert!(windows.remaining(PHONE, now).is_some());
        windows.refused(PHONE, now);
        windows.ended(PHONE, WindowAfter::Release, now);
        assert_eq!((windows.remaining(PHONE, now), windows.not_before(PHONE, now)), (None, None));
        windows.ended(PHONE, WindowAfter::Hold(secs(90)), now);
        assert_eq!(windows.remaining(PHONE, now + secs(60)), Some(secs(30)));
    }

    #[test]
    fn an_order_that_did_not_leave_forgets_nothing_of_the_one_before() {
        let now = Instant::now();
        let mut windows = Windows::new(now);
        windows.claimed(PHONE, now);
        windows.left(PHONE, now + secs(4), now + secs(4));
        let boundary = now + secs(30);
        windows.claimed(PHONE, boundary);
        windows.ended(PHONE, WindowAfter::Release, boundary);
        assert_eq!(windows.remaining(PHONE, boundary), None);
        assert!(windows.not_before(PHONE, boundary).is_some_and(|leave| leave >= now + secs(34)));
    }

    #[test]
    fn a_window_that_stays_is_extended_and_never_cut() {
        let now = Instant::now();
        let mut windows = Windows::new(now);
        windows.claimed(PHONE, now);
        windows.left(PHONE, now, now);
        for (remainder, left) in [(secs(5), secs(30)), (secs(40), secs(40)), (Duration::MAX, HOLD_MAX)] {
            windows.ended(PHONE, WindowAfter::Extend(remainder), now);
            assert_eq!(windows.remaining(PHONE, now), Some(left));
            assert!(windows.not_before(PHONE, now).is_some(), "it was called");
        }
    }

    #[test]
    fn somebody_elses_window_is_believed_for_a_second_and_told_truly() {
        let now = Instant::now();
        let mut windows = Windows::new(now);
        windows.elsewhere(PHONE, secs(12), now);
        assert_eq!(windows.remaining(PHONE, now + Duration::from_millis(500)), Some(Duration::from_millis(11_500)));
        assert_eq!(windows.remaining(PHONE, now + secs(1)), None, "ask the database again");
        windows.elsewhere(PHONE, Duration::from_millis(10), now);
        assert_eq!(windows.remaining(PHONE, now + Duration::from_millis(10)), None);
    }

    proptest! {
        #[test]
        fn the_clock_may_wrap(days in 0..120_u64, millis in 0..86_400_000_u64, wait in 1..30_000_u64) {
            let began = Instant::now();
            let now = began + secs(days * 86_400) + Duration::from_millis(millis);
            let mut windows = Windows::new(began);
            windows.claimed(PHONE, now);
            let later = now + Duration::from_millis(wait);
            let left = windows.remaining(PHONE, later).unwrap_or_default();
            let exact = WINDOW - Duration::from_millis(wait);
            prop_assert!(left <= exact + Duration::from_millis(1) && left + Duration::from_millis(1) >= exact);
            windows.sweep(now + WINDOW + Duration::from_millis(1));
            prop_assert_eq!(windows.len(), 0);
        }
    }
}
