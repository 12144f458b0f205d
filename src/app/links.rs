//! The ways to carriers: for now a simulated one for each carrier of the table, which serves all its channels.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::actors::dispatch::{Fallback, LanePlan, Link};
use crate::actors::tracking::Tracking;
use crate::carrier::simulator::{Controls, Delay, Script, Simulator, Witness};
use crate::config::carriers::CarrierTable;
use crate::config::{SimulatorConfig, millis};

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
        let simulator =
            Simulator::start(&name, script(&carriers.simulator(&route.carrier, config)), tracking.sink(), witness);
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

fn script(config: &SimulatorConfig) -> Script {
    let delay = |base_ms, jitter_ms| Delay { base: millis(base_ms), jitter: millis(jitter_ms) };
    Script {
        seed: config.seed,
        ack: delay(config.ack_ms, config.ack_jitter_ms),
        receipt: delay(config.receipt_ms, config.receipt_jitter_ms),
        refuse_rate: config.refuse_rate,
        fail_rate: config.fail_rate,
        lose_receipt_rate: config.lose_receipt_rate,
        duplicate_receipt_rate: config.duplicate_receipt_rate,
        late_receipt_rate: config.late_receipt_rate,
        rate_per_second: NonZeroU32::new(config.rate_per_second),
        in_flight_max: config.in_flight_max,
        link_down: config.link_down,
        hang: config.hang,
    }
}
