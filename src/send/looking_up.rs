//! The network of a number that only its prefix names, asked of a provider before anything is reserved or charged.
//!
//! It fails open: without an answer in time the order goes by its prefix. An answer is remembered, so that the next order to
//! the phone does not ask.

use std::sync::Arc;

use super::answer::SendError;
use super::{SendRequest, Sender};
use crate::carrier::look_up::Found;
use crate::domain::carrier::CarrierSource;
use crate::domain::numbering::Allotment;

impl Sender {
    /// Puts the carrier that a look-up finds into `request`; the checks of its carrier and channel are made again.
    ///
    /// # Errors
    /// [`SendError::NotServed`] or [`SendError::NoChannel`], as if the prefix had named the carrier.
    pub(super) async fn look_up(&self, request: &mut SendRequest) -> Result<(), SendError> {
        let parts = &*self.parts;
        if request.source != CarrierSource::Prefix || !parts.look_up.is_on() {
            return Ok(());
        }
        let Some(found) = parts.look_up.ask(request.phone).await else { return Ok(()) };
        let plan = parts.routing.plan();
        let allotment = match &found {
            Found::Network(code) => plan.network(*code),
            Found::Carrier(carrier) => plan.named(carrier),
        };
        // A network that the table does not name is nobody's.
        let Some(allotment) = allotment else { return Ok(()) };
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
