//! What is to be written: facts whose phones are found first, and what an unreachable database has not taken yet.

use std::collections::{BTreeMap, HashMap};

use tracing::warn;

use super::{FACTS_MAX, Fact, Learning, What, Whom};
use crate::domain::carrier::Carrier;
use crate::domain::ids::DeliveryId;
use crate::domain::reference::{Reference, UpstreamId};
use crate::domain::sealing::PhoneKey;
use crate::records::learned_carriers::{self, Addressee};
use crate::store::{Store, StoreError};

/// Of each phone the last word.
#[derive(Debug, Default)]
pub(super) struct Notebook {
    owed: BTreeMap<PhoneKey, (bool, Carrier)>,
    failing: bool,
}

/// The phones that facts are of, as the rows say.
#[derive(Debug, Default)]
struct Addressees {
    by_delivery: HashMap<DeliveryId, Addressee>,
    by_name: HashMap<(UpstreamId, Reference), Addressee>,
}

impl Notebook {
    /// Writes what came since the last time, and what could not be written then.
    pub(super) async fn write(&mut self, store: &Store, learning: &Learning) {
        let facts = learning.take();
        if facts.is_empty() && self.owed.is_empty() {
            return;
        }
        match self.try_write(store, learning, facts).await {
            Ok(()) => self.failing = false,
            Err(why) => {
                if !std::mem::replace(&mut self.failing, true) {
                    warn!(%why, phones = self.owed.len(), "what was learned of phones cannot be written");
                }
            }
        }
    }

    async fn try_write(&mut self, store: &Store, learning: &Learning, facts: Vec<Fact>) -> Result<(), StoreError> {
        // Those whose phone cannot be looked up now are learned again from the next receipt.
        let addressees = addressees(store, &facts).await;
        let found = addressees.as_ref().ok();
        for fact in facts {
            self.note(learning, fact, found);
        }
        addressees?;
        let rows = |on: bool| self.owed.iter().filter(move |(_, (is, _))| *is == on);
        let rows = |on: bool| rows(on).map(|(phone, (_, carrier))| (*phone, carrier.clone())).collect::<Vec<_>>();
        let (seen, refuted) = (rows(true), rows(false));
        store
            .write(move |tx| {
                let (seen, refuted) = (seen.clone(), refuted.clone());
                Box::pin(async move {
                    learned_carriers::learn(tx, &seen).await?;
                    learned_carriers::forget(tx, &refuted).await
                })
            })
            .await?;
        self.owed.clear();
        Ok(())
    }

    fn note(&mut self, learning: &Learning, fact: Fact, found: Option<&Addressees>) {
        let Fact { whom, what } = fact;
        let owes = match (&whom, what) {
            // Memory has it already.
            (Whom::Phone(phone), What::On(carrier)) => Some((*phone, true, carrier)),
            (Whom::Phone(phone), What::NotOn(Some(carrier))) => Some((*phone, false, carrier)),
            (Whom::Phone(_), What::NotOn(None)) => None,
            (_, what) => found.and_then(|found| found.of(&whom)).and_then(|to| learn(learning, to, what)),
        };
        if let Some((phone, on, carrier)) = owes
            && (self.owed.len() < FACTS_MAX || self.owed.contains_key(&phone))
        {
            self.owed.insert(phone, (on, carrier));
        }
    }
}

/// Changes memory for a phone that was found; `Some` is to be written.
fn learn(learning: &Learning, to: &Addressee, what: What) -> Option<(PhoneKey, bool, Carrier)> {
    let routing = &learning.routing;
    match what {
        // It went where it was sent: news only if memory says so or otherwise.
        What::On(carrier) if carrier == to.carrier && routing.learned_of(to.phone).is_none() => None,
        What::On(carrier) => routing.learn(to.phone, &carrier).then_some((to.phone, true, carrier)),
        What::NotOn(carrier) => {
            let carrier = carrier.unwrap_or_else(|| to.carrier.clone());
            routing.forget(to.phone, &carrier).then_some((to.phone, false, carrier))
        }
    }
}

async fn addressees(store: &Store, facts: &[Fact]) -> Result<Addressees, StoreError> {
    let (mut deliveries, mut named) = (Vec::new(), Vec::new());
    for fact in facts {
        match &fact.whom {
            Whom::Phone(_) => {}
            Whom::Delivery(delivery) => deliveries.push(*delivery),
            Whom::Named { upstream, references, .. } => {
                named.extend(references.iter().map(|name| (upstream.clone(), name.clone())));
            }
        }
    }
    if deliveries.is_empty() && named.is_empty() {
        return Ok(Addressees::default());
    }
    let found = store.read(move |tx| {
        Box::pin(async move {
            let by_delivery = learned_carriers::of_deliveries(tx, &deliveries).await?;
            Ok((by_delivery, learned_carriers::of_references(tx, &named).await?))
        })
    });
    let (by_delivery, by_name) = found.await?;
    Ok(Addressees { by_delivery: by_delivery.into_iter().collect(), by_name: by_name.into_iter().collect() })
}

impl Addressees {
    fn of(&self, whom: &Whom) -> Option<&Addressee> {
        match whom {
            Whom::Phone(_) => None,
            Whom::Delivery(delivery) => self.by_delivery.get(delivery),
            Whom::Named { upstream, references, phone } => {
                let found = references.iter().find_map(|name| self.by_name.get(&(upstream.clone(), name.clone())));
                found.filter(|addressee| phone.is_none_or(|phone| phone == addressee.phone))
            }
        }
    }
}
