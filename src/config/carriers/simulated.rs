//! What the table says of one carrier's simulated link; everything else is `[simulator]`.

use serde::Deserialize;

use crate::config::SimulatorConfig;

/// Settings of `[simulator]` that one carrier has otherwise.
#[derive(Clone, Copy, PartialEq, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Simulated {
    ack_ms: Option<u64>,
    ack_jitter_ms: Option<u64>,
    receipt_ms: Option<u64>,
    receipt_jitter_ms: Option<u64>,
    refuse_rate: Option<f64>,
    fail_rate: Option<f64>,
    lose_receipt_rate: Option<f64>,
    duplicate_receipt_rate: Option<f64>,
    late_receipt_rate: Option<f64>,
    rate_per_second: Option<u32>,
    in_flight_max: Option<usize>,
    link_down: Option<bool>,
    hang: Option<bool>,
}

impl Simulated {
    /// The first share that is none.
    pub(in crate::config) fn not_a_share(&self) -> Option<&'static str> {
        let shares = [
            ("refuse_rate", self.refuse_rate),
            ("fail_rate", self.fail_rate),
            ("lose_receipt_rate", self.lose_receipt_rate),
            ("duplicate_receipt_rate", self.duplicate_receipt_rate),
            ("late_receipt_rate", self.late_receipt_rate),
        ];
        let wrong = |share: Option<f64>| share.is_some_and(|share| !(0.0..=1.0).contains(&share));
        shares.into_iter().find(|(_, share)| wrong(*share)).map(|(name, _)| name)
    }

    /// `settings`, but for what is said here.
    #[must_use]
    pub fn over(self, settings: &SimulatorConfig) -> SimulatorConfig {
        SimulatorConfig {
            seed: settings.seed,
            ack_ms: self.ack_ms.unwrap_or(settings.ack_ms),
            ack_jitter_ms: self.ack_jitter_ms.unwrap_or(settings.ack_jitter_ms),
            receipt_ms: self.receipt_ms.unwrap_or(settings.receipt_ms),
            receipt_jitter_ms: self.receipt_jitter_ms.unwrap_or(settings.receipt_jitter_ms),
            refuse_rate: self.refuse_rate.unwrap_or(settings.refuse_rate),
            fail_rate: self.fail_rate.unwrap_or(settings.fail_rate),
            lose_receipt_rate: self.lose_receipt_rate.unwrap_or(settings.lose_receipt_rate),
            duplicate_receipt_rate: self.duplicate_receipt_rate.unwrap_or(settings.duplicate_receipt_rate),
            late_receipt_rate: self.late_receipt_rate.unwrap_or(settings.late_receipt_rate),
            rate_per_second: self.rate_per_second.unwrap_or(settings.rate_per_second),
            in_flight_max: self.in_flight_max.unwrap_or(settings.in_flight_max),
            link_down: self.link_down.unwrap_or(settings.link_down),
            hang: self.hang.unwrap_or(settings.hang),
        }
    }
}
