//! What the simulated carriers saw, held against invariant 2.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nexo_route::carrier::simulator::{Sighting, Witness};
use nexo_route::records::acceptance::WINDOW;

/// Sightings of every node of a house, in the order in which they came.
#[derive(Clone, Debug, Default)]
pub struct Witnessed(Arc<Mutex<Vec<(usize, Sighting)>>>);

impl Witnessed {
    /// The witness of one node.
    pub fn of_node(&self, node: usize) -> Witness {
        let seen = Arc::clone(&self.0);
        Arc::new(move |sighting| seen.lock().unwrap_or_else(PoisonError::into_inner).push((node, sighting)))
    }

    /// Every sighting, with the node that dispatched.
    pub fn all(&self) -> Vec<(usize, Sighting)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Dispatches to `phone` (E.164) that the carrier did not refuse.
    pub fn taken(&self, phone: &str) -> usize {
        self.all().iter().filter(|(_, seen)| seen.taken && seen.phone.e164() == phone).count()
    }

    /// The channels over which a delivery was dispatched, in order.
    pub fn channels(&self, delivery: &str) -> Vec<&'static str> {
        let of =
            |(_, seen): &(usize, Sighting)| (seen.delivery.to_string() == delivery).then_some(seen.channel.as_str());
        self.all().iter().filter_map(of).collect()
    }

    /// Every way in which what left the house breaks invariant 2. `rows` are the deliveries that the database knows.
    pub fn breaches(&self, rows: &BTreeSet<[u8; 16]>, dispatch_within: Duration) -> Vec<String> {
        let mut breaches = Vec::new();
        let mut attempts = BTreeSet::new();
        let mut last: BTreeMap<u32, (usize, Sighting)> = BTreeMap::new();
        for (node, seen) in self.all() {
            if !rows.contains(seen.delivery.as_bytes()) {
                breaches.push(format!("{} was dispatched and has no row", seen.delivery));
            }
            if !attempts.insert((*seen.delivery.as_bytes(), seen.channel.as_str())) {
                breaches.push(format!("{} was dispatched twice by {:?}", seen.delivery, seen.channel));
            }
            if !seen.taken {
                continue;
            }
            let before = last.insert(seen.phone.national(), (node, seen));
            let Some((other, before)) = before.filter(|(_, before)| before.delivery != seen.delivery) else { continue };
            let least = if other == node { WINDOW } else { WINDOW.saturating_sub(dispatch_within) };
            let apart = seen.at.saturating_duration_since(before.at);
            if apart < least {
                breaches.push(format!("{} and {} left {apart:?} apart", before.delivery, seen.delivery));
            }
        }
        breaches
    }
}
