//! What is beyond the house: the carrier table and the simulator's script.
//!
//! Only the shape; the values and the manual are `config/default.toml`, the rules between fields are in `check`.

use std::path::PathBuf;

use serde::Deserialize;

use super::SecretFiles;

/// The carrier table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CarriersConfig {
    /// Empty: the table that is compiled in (`config/carriers.toml`).
    pub file: PathBuf,
    /// Ported numbers by the million, `phone,carrier` a line; empty: none beside those that the table lists.
    pub ported_file: PathBuf,
    /// What an upstream's answer must fit into: taken from `[dispatch]` when the settings are read.
    #[serde(skip)]
    pub attempt: Option<AttemptTimes>,
    /// Who may read the secrets that it names: taken from `[secrets]` when the settings are read.
    #[serde(skip)]
    pub secret_files: SecretFiles,
}

/// What one attempt has time for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AttemptTimes {
    /// `dispatch.dispatch_within_ms`: it may wait so long before it leaves, also inside its link.
    pub within_ms: u64,
    /// `dispatch.attempt_timeout_ms`: nobody listens any more after this.
    pub timeout_ms: u64,
}

/// The simulator's script; each rate is a share of 0–1.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimulatorConfig {
    pub seed: u64,
    pub ack_ms: u64,
    pub ack_jitter_ms: u64,
    pub receipt_ms: u64,
    pub receipt_jitter_ms: u64,
    pub refuse_rate: f64,
    pub fail_rate: f64,
    pub lose_receipt_rate: f64,
    pub duplicate_receipt_rate: f64,
    pub late_receipt_rate: f64,
    /// 0: no limit.
    pub rate_per_second: u32,
    pub in_flight_max: usize,
    pub link_down: bool,
    pub hang: bool,
}
