//! Routing: which carrier serves a phone, asked for every order and answered from memory.
//!
//! It owns the numbering plan that is in force, swapped whole by a reload, and what has been learned of single phones. The
//! operator's lists of ported numbers go first, then what was learned within thirty days, then the prefix. It never asks
//! anybody: what is learned is written down by `actors::learning`, and look-ups over the wire are the use case's.

mod learned;

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

pub use self::learned::{LEARNED_MAX, Learned, TTL};
use crate::clock::DatabaseClock;
use crate::domain::carrier::{Carrier, Unroutable};
use crate::domain::numbering::{NumberingPlan, Routed};
use crate::domain::phone::Phone;
use crate::domain::sealing::{Keyring, PhoneKey};

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
        plan.route_with(phone, |phone| self.learned_of(self.phone_key(phone)))
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
