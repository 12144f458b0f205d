//! What a session adds to the gauges of its link, and takes back when it ends, however it ends.

use metrics::Gauge;

use super::meter::Meter;
use crate::telemetry::count;

pub(super) struct Shown {
    bound: Gauge,
    window: Gauge,
    shown: f64,
}

impl Shown {
    pub(super) fn bound(meter: &Meter) -> Self {
        meter.bound.increment(1.0);
        Self { bound: meter.bound.clone(), window: meter.window.clone(), shown: 0.0 }
    }

    pub(super) fn window(&mut self, used: usize) {
        let used = count(used);
        self.window.increment(used - self.shown);
        self.shown = used;
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.window.decrement(self.shown);
        self.bound.decrement(1.0);
    }
}
