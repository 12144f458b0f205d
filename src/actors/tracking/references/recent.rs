//! The names that this node wrote last: most receipts come within seconds, and then need no read.
//!
//! A bounded number of forms; the oldest goes first. What is forgotten is in the database.

use std::collections::{HashMap, VecDeque};

use crate::domain::reference::{Reference, UpstreamId};
use crate::domain::sealing::PhoneKey;
use crate::records::carrier_attempts::{CarrierAttempt, Named, Sought};

type Form = (UpstreamId, Reference);

#[derive(Debug)]
struct Known {
    attempt: CarrierAttempt,
    phone_key: PhoneKey,
    /// Which of the entries in the order is this one's: a name that was given again has an older one too.
    number: u64,
}

#[derive(Debug)]
pub(super) struct Recent {
    by_form: HashMap<Form, Known>,
    order: VecDeque<(Form, u64)>,
    forms_max: usize,
    given: u64,
}

impl Recent {
    pub(super) fn new(forms_max: usize) -> Self {
        Self { by_form: HashMap::new(), order: VecDeque::new(), forms_max, given: 0 }
    }

    /// Remembers every form of a name; of two attempts with one name the younger.
    pub(super) fn remember(&mut self, named: &Named) {
        for reference in &named.references {
            self.given += 1;
            let form = (named.upstream.clone(), reference.clone());
            let known = Known { attempt: named.attempt, phone_key: named.phone_key, number: self.given };
            self.by_form.insert(form.clone(), known);
            self.order.push_back((form, self.given));
        }
        while self.order.len() > self.forms_max {
            let Some((form, number)) = self.order.pop_front() else { break };
            if self.by_form.get(&form).is_some_and(|known| known.number == number) {
                self.by_form.remove(&form);
            }
        }
    }

    pub(super) fn find(&self, sought: &Sought) -> Option<CarrierAttempt> {
        // Without a phone, a guess may be another attempt's: whoever asks the database knows of this one's own name first.
        let is_sure = |reference: &&Reference| sought.phone_key.is_some() || !reference.is_guess();
        sought.references.iter().filter(is_sure).find_map(|reference| {
            let known = self.by_form.get(&(sought.upstream.clone(), reference.clone()))?;
            let of_the_phone = sought.phone_key.is_none_or(|phone_key| phone_key == known.phone_key);
            of_the_phone.then_some(known.attempt)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::carrier::Channel;
    use crate::domain::ids::DeliveryId;

    fn named(number: u8, references: &[&str]) -> Named {
        Named {
            upstream: UpstreamId("probe".into()),
            references: references.iter().map(|text| Reference::new(text).expect("sane")).collect(),
            attempt: CarrierAttempt { delivery: DeliveryId::from_bytes([number; 16]), channel: Channel::Sms },
            phone_key: PhoneKey::from_number(i64::from(number)),
            poller: None,
        }
    }

    fn sought(reference: &str, phone: Option<i64>) -> Sought {
        Sought {
            upstream: UpstreamId("probe".into()),
            references: vec![Reference::new(reference).expect("sane")],
            phone_key: phone.map(PhoneKey::from_number),
        }
    }

    #[test]
    fn the_oldest_forms_go_first_and_a_name_given_again_stays() {
        let mut recent = Recent::new(3);
        recent.remember(&named(1, &["ff", "255"]));
        recent.remember(&named(2, &["10"]));
        assert_eq!(recent.find(&sought("255", None)), Some(named(1, &[]).attempt));
        recent.remember(&named(3, &["ff"]));
        assert_eq!(recent.find(&sought("ff", None)), Some(named(3, &[]).attempt), "the younger is meant");
        recent.remember(&named(4, &["11", "12"]));
        assert_eq!(recent.find(&sought("255", None)), None, "forgotten");
        assert_eq!(recent.find(&sought("10", None)), None, "forgotten");
        assert_eq!(recent.find(&sought("ff", None)), Some(named(3, &[]).attempt));
        assert_eq!((recent.by_form.len(), recent.order.len()), (3, 3));
    }

    #[test]
    fn a_guess_counts_only_with_its_phone() {
        let mut recent = Recent::new(8);
        recent.remember(&named(1, &["256", "dec:256"]));
        assert_eq!(recent.find(&sought("dec:256", Some(1))), Some(named(1, &[]).attempt));
        assert_eq!(recent.find(&sought("dec:256", None)), None);
    }

    #[test]
    fn a_phone_must_be_the_attempts_own_and_an_upstream_too() {
        let mut recent = Recent::new(8);
        recent.remember(&named(1, &["ff"]));
        assert_eq!(recent.find(&sought("ff", Some(1))), Some(named(1, &[]).attempt));
        assert_eq!(recent.find(&sought("ff", Some(2))), None);
        assert_eq!(recent.find(&Sought { upstream: UpstreamId("other".into()), ..sought("ff", None) }), None);
    }
}
