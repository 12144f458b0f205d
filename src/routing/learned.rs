//! What has been learned of single phones, in memory: bounded, and forgotten after thirty days.
//!
//! A phone's place is told by its keyed name, which is as good as random: a bucket of eight places, of which the oldest
//! gives way. So the memory never grows, and what is lost of it is only learned again.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::domain::carrier::Carrier;
use crate::domain::sealing::PhoneKey;
use crate::domain::time::Timestamp;

/// How long a number is believed to stay where it was seen.
pub const TTL: Duration = Duration::from_secs(30 * 24 * 3_600);
/// The most phones that are remembered; sixteen bytes each.
pub const LEARNED_MAX: usize = 1 << 20;

/// What is known already is written again after this long, so that it does not end while it is confirmed.
const REWRITE_AFTER: Duration = Duration::from_secs(24 * 3_600);
const BUCKET: usize = 8;
const LOCKS: usize = 64;

/// One phone; `carrier` 0: nobody.
#[derive(Clone, Copy, Default)]
struct Entry {
    phone: i64,
    at_seconds: u32,
    carrier: u16,
}

/// Phone → carrier.
pub struct Learned {
    /// Each guards as many buckets as every other one.
    shards: Box<[RwLock<Box<[Entry]>>]>,
    /// The carriers that entries name, by their place plus one. Grows with the carrier tables of this process only.
    carriers: ArcSwap<Vec<Carrier>>,
    count: AtomicUsize,
}

/// How many; never which.
impl fmt::Debug for Learned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Learned({})", self.len())
    }
}

impl Learned {
    /// A memory of about `max` phones.
    #[must_use]
    pub fn new(max: usize) -> Self {
        let places = (max / LOCKS).next_multiple_of(BUCKET).max(BUCKET);
        let shard = || RwLock::new(vec![Entry::default(); places].into_boxed_slice());
        Self {
            shards: (0..LOCKS).map(|_| shard()).collect(),
            carriers: ArcSwap::from_pointee(Vec::new()),
            count: AtomicUsize::new(0),
        }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the phone was seen within [`TTL`] before `now`.
    #[must_use]
    pub fn get(&self, phone: PhoneKey, now: Timestamp) -> Option<Carrier> {
        self.get_with_age(phone, now).map(|(carrier, _age)| carrier)
    }

    /// The same, and how long ago that was.
    #[must_use]
    pub fn get_with_age(&self, phone: PhoneKey, now: Timestamp) -> Option<(Carrier, Duration)> {
        let (shard, bucket) = self.place(phone);
        let entries = read(shard);
        let entry = entries[bucket..bucket + BUCKET].iter().find(|entry| entry.is_of(phone))?;
        let age = age(*entry, now);
        if age > TTL {
            return None;
        }
        let carrier = self.carriers.load().get(usize::from(entry.carrier).checked_sub(1)?).cloned()?;
        Some((carrier, age))
    }

    /// Remembers where the phone was seen at `at`; says whether that is news, or was written down long ago.
    pub fn put(&self, phone: PhoneKey, carrier: &Carrier, at: Timestamp) -> bool {
        let Some(carrier) = self.number(carrier) else { return false };
        let fresh = Entry { phone: phone.number(), at_seconds: seconds(at), carrier };
        let (shard, bucket) = self.place(phone);
        let mut entries = write(shard);
        let bucket = &mut entries[bucket..bucket + BUCKET];
        if let Some(known) = bucket.iter_mut().find(|entry| entry.is_of(phone)) {
            let news = known.carrier != carrier || age(*known, at) > REWRITE_AFTER;
            if news {
                *known = fresh;
            }
            return news;
        }
        if let Some(oldest) = bucket.iter_mut().min_by_key(|entry| (entry.carrier != 0, entry.at_seconds)) {
            if oldest.carrier == 0 {
                self.count.fetch_add(1, Ordering::Relaxed);
            }
            *oldest = fresh;
        }
        true
    }

    /// Forgets that the phone was seen on `carrier`'s network; says whether it was.
    pub fn forget(&self, phone: PhoneKey, carrier: &Carrier) -> bool {
        let Some(carrier) = self.number(carrier) else { return false };
        let (shard, bucket) = self.place(phone);
        let mut entries = write(shard);
        let known = entries[bucket..bucket + BUCKET].iter_mut().find(|entry| entry.is_of(phone));
        let Some(known) = known.filter(|entry| entry.carrier == carrier) else { return false };
        *known = Entry::default();
        self.count.fetch_sub(1, Ordering::Relaxed);
        true
    }

    fn place(&self, phone: PhoneKey) -> (&RwLock<Box<[Entry]>>, usize) {
        let number = phone.number().unsigned_abs();
        let shard = &self.shards[usize::try_from(number % LOCKS as u64).unwrap_or(0)];
        let buckets = (read(shard).len() / BUCKET) as u64;
        let bucket = usize::try_from(number / LOCKS as u64 % buckets).unwrap_or(0);
        (shard, bucket * BUCKET)
    }

    /// The place of a carrier plus one; `None` if there were ever more than fit.
    fn number(&self, carrier: &Carrier) -> Option<u16> {
        let place = |known: &Vec<Carrier>| known.iter().position(|name| name == carrier);
        let at = place(&self.carriers.load()).or_else(|| {
            self.carriers.rcu(|known| {
                let mut more = Vec::clone(known);
                if place(&more).is_none() {
                    more.push(carrier.clone());
                }
                more
            });
            place(&self.carriers.load())
        })?;
        u16::try_from(at + 1).ok()
    }
}

impl Entry {
    fn is_of(&self, phone: PhoneKey) -> bool {
        self.carrier != 0 && self.phone == phone.number()
    }
}

fn age(entry: Entry, now: Timestamp) -> Duration {
    Duration::from_secs(u64::from(seconds(now).saturating_sub(entry.at_seconds)))
}

/// Whole seconds, which last until the year 2106.
fn seconds(at: Timestamp) -> u32 {
    u32::try_from(at.millis() / 1_000).unwrap_or(0)
}

fn read(shard: &RwLock<Box<[Entry]>>) -> RwLockReadGuard<'_, Box<[Entry]>> {
    shard.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(shard: &RwLock<Box<[Entry]>>) -> RwLockWriteGuard<'_, Box<[Entry]>> {
    shard.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
    const DAY: Duration = Duration::from_secs(24 * 3_600);

    fn carrier(name: &str) -> Carrier {
        Carrier::new(name).expect("sane")
    }

    const fn phone(number: i64) -> PhoneKey {
        PhoneKey::from_number(number)
    }

    #[test]
    fn what_is_learned_holds_for_thirty_days_or_until_it_is_refuted() {
        let (learned, a, b) = (Learned::new(1_000), carrier("a"), carrier("b"));
        for key in [0, 1, -1, i64::MIN, i64::MAX] {
            assert_eq!(learned.get(phone(key), NOW), None);
            assert!(learned.put(phone(key), &a, NOW), "{key}");
            assert_eq!(learned.get(phone(key), NOW), Some(a.clone()), "{key}");
        }
        assert_eq!(learned.len(), 5);
        assert_eq!(learned.get(phone(1), NOW.plus(TTL)), Some(a.clone()));
        assert_eq!(learned.get(phone(1), NOW.plus(TTL + DAY)), None);
        assert!(!learned.forget(phone(1), &b), "another carrier's refusal says nothing of this one");
        assert!(learned.forget(phone(1), &a) && !learned.forget(phone(1), &a));
        assert_eq!((learned.get(phone(1), NOW), learned.len()), (None, 4));
    }

    #[test]
    fn only_news_is_worth_writing() {
        let (learned, a, b) = (Learned::new(1_000), carrier("a"), carrier("b"));
        assert!(learned.put(phone(1), &a, NOW));
        assert!(!learned.put(phone(1), &a, NOW.plus(DAY)));
        assert!(learned.put(phone(1), &b, NOW.plus(DAY)), "it has moved");
        assert!(!learned.put(phone(1), &b, NOW.plus(DAY * 2)));
        assert!(learned.put(phone(1), &b, NOW.plus(DAY * 3)), "still there: its thirty days begin anew");
        assert_eq!(learned.get(phone(1), NOW.plus(DAY * 32)), Some(b));
        assert_eq!(learned.len(), 1);
    }

    #[test]
    fn a_full_memory_lets_the_oldest_go() {
        let (learned, a) = (Learned::new(0), carrier("a"));
        // One bucket for each lock: these all meet in one.
        let same = |n: i64| phone(n * 64);
        for n in 0..20 {
            learned.put(same(n), &a, NOW.plus(Duration::from_secs(u64::try_from(n).expect("small"))));
        }
        let kept = (0..20).filter(|n| learned.get(same(*n), NOW).is_some());
        assert_eq!(kept.collect::<Vec<_>>(), (12..20).collect::<Vec<_>>());
        assert_eq!(learned.len(), BUCKET);
    }
}
