//! Routing: which carrier serves a phone, asked for every order and answered from memory.
//!
//! It owns the numbering plan that is in force, swapped whole by a reload, and what has been learned of single phones. The
//! operator's lists of ported numbers go first, then what was learned within thirty days (a day, where nobody is sent), then the
//! prefix. It never asks
//! anybody: what is learned is written down by `actors::learning`, and look-ups over the wire are the use case's.

mod learned;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

pub use self::learned::{LEARNED_MAX, Learned, TTL};
use crate::clock::DatabaseClock;
use crate::domain::carrier::{Carrier, Unroutable};
use crate::domain::numbering::{Allotment, NumberingPlan, Routed};
use crate::domain::phone::Phone;
use crate::domain::sealing::{Keyring, PhoneKey};

/// How long a phone is believed to be on a network that is not served.
const NOT_SERVED_TTL: Duration = Duration::from_secs(24 * 3_600);

/// The handle. Cheap to clone; all clones see the same plan.
#[derive(Clone)]
pub struct Routing(Arc<Inner>);

struct Inner {
    plan: ArcSwap<NumberingPlan>,
    learned: Learned,
    keyring: Arc<Keyring>,
    clock: DatabaseClock,
}

impl fmt::Debug for Routing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Routing({:?})", self.0.learned)
    }
}

impl Routing {
    #[must_use]
    pub fn new(plan: NumberingPlan, keyring: Arc<Keyring>, clock: DatabaseClock) -> Self {
        let plan = ArcSwap::from_pointee(plan);
        Self(Arc::new(Inner { plan, learned: Learned::new(LEARNED_MAX), keyring, clock }))
    }

    /// The plan that is in force now.
    #[must_use]
    pub fn plan(&self) -> Arc<NumberingPlan> {
        self.0.plan.load_full()
    }

    /// Puts another plan in force, for every order that comes after.
    pub fn swap(&self, plan: NumberingPlan) {
        self.0.plan.store(Arc::new(plan));
    }

    /// The carrier of a phone.
    ///
    /// # Errors
    /// [`Unroutable`] if the phone's carrier is not configured here, or its prefix has none.
    pub fn route(&self, phone: Phone) -> Result<Routed, Unroutable> {
        let Inner { plan, learned, .. } = &*self.0;
        let plan = plan.load();
        if learned.is_empty() {
            // A keyed name of the phone costs more than the rest of the answer.
            return plan.route(phone);
        }
        plan.route_with(phone, |phone| self.believed(&plan, self.phone_key(phone)))
    }

    /// What was learned, unless nobody is sent there and it is old: nothing that is sent could ever say otherwise.
    fn believed(&self, plan: &NumberingPlan, phone: PhoneKey) -> Option<Carrier> {
        let (carrier, age) = self.0.learned.get_with_age(phone, self.0.clock.now())?;
        let is_served = matches!(plan.named(&carrier), Some(Allotment::Served(_)));
        (is_served || age <= NOT_SERVED_TTL).then_some(carrier)
    }

    /// The carrier that was learned of a phone, if it still holds.
    #[must_use]
    pub fn learned_of(&self, phone: PhoneKey) -> Option<Carrier> {
        self.0.learned.get(phone, self.0.clock.now())
    }

    /// Remembers that a phone is on a carrier's network. Says whether that is worth writing down: it is not if the same was
    /// written less than a day ago.
    pub fn learn(&self, phone: PhoneKey, carrier: &Carrier) -> bool {
        self.0.learned.put(phone, carrier, self.0.clock.now())
    }

    /// Forgets that a phone is on a carrier's network. Says whether that had been learned.
    pub fn forget(&self, phone: PhoneKey, carrier: &Carrier) -> bool {
        self.0.learned.forget(phone, carrier)
    }

    /// What has been learned, to be filled at the start.
    #[must_use]
    pub fn learned(&self) -> &Learned {
        &self.0.learned
    }

    /// The name under which a phone is remembered.
    #[must_use]
    pub fn phone_key(&self, phone: Phone) -> PhoneKey {
        self.0.keyring.phone_key(phone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::carriers::CarrierTable;
    use crate::domain::sealing::SecretKey;
    use crate::domain::time::Timestamp;

    #[test]
    fn a_network_that_is_not_served_is_believed_for_a_day() {
        let text = "price_usd = \"0.022\"\n[carrier.viettel]\nchannels = [\"sms\"]\nprefixes = [\"98\"]\n\
                    [carrier.mobifone]\nchannels = [\"sms\"]\nprefixes = [\"90\"]\n[not_served.gmobile]\nprefixes = [\"99\"]\n";
        let plan = CarrierTable::parse(text).expect("holds").plan;
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        let clock = DatabaseClock::new(now);
        let keyring = Keyring::new(1, vec![(1, SecretKey::new([1; 32]))], SecretKey::new([9; 32]));
        let routing = Routing::new(plan, Arc::new(keyring.expect("a ring")), clock);
        let phone = Phone::parse("+84981234567").expect("a phone");
        let key = routing.phone_key(phone);
        let carrier = |name: &str| Carrier::new(name).expect("sane");
        let days_ago =
            |days: u64| Timestamp::from_micros(now.micros() - i64::try_from(days).expect("few") * 86_400_000_000);
        let learned = |name: &str, at: Timestamp| {
            routing.learned().forget(key, &carrier("gmobile"));
            routing.learned().forget(key, &carrier("mobifone"));
            routing.learned().put(key, &carrier(name), at);
            routing.route(phone).map(|routed| routed.route.carrier.as_str().to_owned())
        };
        assert_eq!(learned("gmobile", days_ago(0)), Err(Unroutable::NotServed(carrier("gmobile"))));
        assert_eq!(learned("gmobile", days_ago(2)), Ok("viettel".to_owned()));
        assert_eq!(learned("mobifone", days_ago(2)), Ok("mobifone".to_owned()));
    }
}
