//! The network of a number that only its prefix names, asked of a provider before anything is reserved or charged.
//!
//! It fails open: without an answer in time the order goes by its prefix. An answer is remembered, so that the next order to
//! the phone does not ask. Look-ups cost money before anybody is charged: nobody is asked for an account that could not pay a
//! moment ago.

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use tokio::time::Instant;

use super::answer::SendError;
use super::{SendRequest, Sender};
use crate::carrier::look_up::Found;
use crate::domain::carrier::CarrierSource;
use crate::domain::ids::AccountId;
use crate::domain::numbering::Allotment;

/// How long an account that could not pay is not asked for.
const PENNILESS_FOR: Duration = Duration::from_secs(60);
/// So many accounts are remembered; of more nothing is known.
const ACCOUNTS_MAX: usize = 8_192;

/// The accounts whose last order could not be paid, on this node. A hint: whoever has paid since is asked for again.
#[derive(Debug, Default)]
pub(super) struct Penniless(DashMap<AccountId, Instant>);

impl Penniless {
    /// The account could not pay.
    pub(super) fn refused(&self, account: AccountId) {
        if self.0.len() >= ACCOUNTS_MAX {
            self.0.retain(|_, since| since.elapsed() < PENNILESS_FOR);
        }
        if self.0.len() < ACCOUNTS_MAX {
            self.0.insert(account, Instant::now());
        }
    }

    /// The account could pay.
    pub(super) fn charged(&self, account: AccountId) {
        if !self.0.is_empty() {
            self.0.remove(&account);
        }
    }

    fn holds(&self, account: AccountId) -> bool {
        self.0.get(&account).is_some_and(|since| since.elapsed() < PENNILESS_FOR)
    }
}

impl Sender {
    /// Puts the carrier that a look-up finds into `request`; the checks of its carrier and channel are made again.
    ///
    /// # Errors
    /// [`SendError::NotServed`] or [`SendError::NoChannel`], as if the prefix had named the carrier.
    pub(super) async fn look_up(&self, account: AccountId, request: &mut SendRequest) -> Result<(), SendError> {
        let parts = &*self.parts;
        if request.source != CarrierSource::Prefix || !parts.look_up.is_on() || self.penniless.holds(account) {
            return Ok(());
        }
        let Some(found) = parts.look_up.ask(account, request.phone).await else { return Ok(()) };
        let plan = parts.routing.plan();
        let allotment = match &found {
            Found::Network(code) => plan.network(*code),
            Found::Carrier(carrier) => plan.named(carrier),
        };
        // A network that the table does not name is nobody's.
        let Some(allotment) = allotment else {
            parts.look_up.leads_nowhere(request.phone);
            return Ok(());
        };
        parts.learning.looked_up(request.phone, allotment.carrier());
        let Allotment::Served(route) = allotment else {
            return Err(SendError::NotServed { carrier: allotment.carrier().clone() });
        };
        let channels = route.channels.choose(request.choice);
        request.channels = channels.ok_or_else(|| SendError::NoChannel { carrier: route.carrier.clone() })?;
        request.route = Arc::clone(route);
        request.source = CarrierSource::LookUp;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_could_not_pay_is_not_asked_for_until_it_pays_or_a_minute_has_passed() {
        let (penniless, account) = (Penniless::default(), AccountId::from_bytes([1; 16]));
        assert!(!penniless.holds(account));
        penniless.refused(account);
        assert!(penniless.holds(account) && !penniless.holds(AccountId::from_bytes([2; 16])));
        penniless.charged(account);
        assert!(!penniless.holds(account));
        penniless.refused(account);
        tokio::time::advance(PENNILESS_FOR).await;
        assert!(!penniless.holds(account));
        for number in 0..ACCOUNTS_MAX + 10 {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&u64::try_from(number).expect("small").to_be_bytes());
            penniless.refused(AccountId::from_bytes(bytes));
        }
        assert_eq!(penniless.0.len(), ACCOUNTS_MAX);
    }
}
