//! The ways to carriers: for now a simulated one for each carrier of the table, which serves all its channels.

use std::fmt;
use std::sync::Arc;

use crate::actors::dispatch::{Fallback, LanePlan, Link};
use crate::actors::tracking::Tracking;
use crate::carrier::simulator::{Controls, Script, Simulator, Witness};
use crate::config::SimulatorConfig;
use crate::config::carriers::CarrierTable;

/// A witness, without a printing form.
#[derive(Clone)]
pub(super) struct OpaqueWitness(pub(super) Witness);

impl fmt::Debug for OpaqueWitness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Witness")
    }
}

/// Starts a simulated link for every carrier that is served.
pub(super) fn simulated(
    carriers: &CarrierTable,
    config: &SimulatorConfig,
    tracking: &Tracking<Fallback>,
    witness: Option<&OpaqueWitness>,
) -> (Vec<LanePlan>, Vec<(String, Controls)>) {
    let (mut plans, mut controls) = (Vec::new(), Vec::new());
    for route in &carriers.routes {
        let name = format!("sim_{}", route.carrier.as_str());
        let witness = witness.map(|witness| Arc::clone(&witness.0));
        let simulator = Simulator::start(
            &name,
            Script::from(&carriers.simulator(&route.carrier, config)),
            tracking.sink(),
            witness,
        );
        controls.push((route.carrier.as_str().to_owned(), simulator.controls()));
        let link = Link::new(Arc::new(simulator));
        plans.extend(route.channels.iter().map(|channel| LanePlan {
            carrier: route.carrier.clone(),
            channel,
            links: vec![(Arc::clone(&link), 1)],
        }));
    }
    (plans, controls)
}
