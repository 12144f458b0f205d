//! Floor 1: settings. `config/default.toml` is the manual and, compiled in, the default; a file and then
//! `NEXO_SECTION__KEY` override it.
//!
//! One struct per concern; each module is handed only its own. Unknown fields and contradictions are refused at start,
//! with an error that names the field; secrets are never printed.

pub mod carriers;
pub mod postgres;
pub mod upstreams;

mod callbacks;
mod check;
mod edge;
mod entries;
mod error;
mod flow;
mod load;
mod process;
mod secret_file;
mod secret_text;
mod secrets;
mod storage;
mod trimmed;
mod upstream;
mod webhooks;

use std::time::Duration;

use serde::Deserialize;

pub use callbacks::CallbacksConfig;
pub use edge::{HttpConfig, OpsConfig};
pub use error::{ConfigError, Problem};
pub use flow::{AdmissionConfig, DispatchConfig, KeysConfig, SendConfig, SweeperConfig, TrackingConfig, WalletConfig};
pub use load::{DEFAULTS, Loaded, assemble, load};
pub use process::{LogConfig, LogFormat, StopConfig};
#[cfg(test)]
pub(crate) use secret_file::for_a_test as secret_file_for_a_test;
pub use secret_file::{SecretFileError, SecretFiles};
pub use secret_text::SecretText;
pub use secrets::{KEYS_VARIABLE, KeysError, SecretsConfig, create_key_file, keyring, parse_keys};
pub use storage::{Database, StoreConfig, StoreUrl};
pub use upstream::{AttemptTimes, CarriersConfig, SimulatorConfig};
pub use webhooks::WebhooksConfig;

/// Everything that the daemon can be told.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub http: HttpConfig,
    pub ops: OpsConfig,
    pub store: StoreConfig,
    pub secrets: SecretsConfig,
    pub admission: AdmissionConfig,
    pub send: SendConfig,
    pub wallet: WalletConfig,
    pub tracking: TrackingConfig,
    pub keys: KeysConfig,
    pub dispatch: DispatchConfig,
    pub sweeper: SweeperConfig,
    pub carriers: CarriersConfig,
    pub callbacks: CallbacksConfig,
    pub simulator: SimulatorConfig,
    pub webhooks: WebhooksConfig,
    pub log: LogConfig,
    pub stop: StopConfig,
}

/// Milliseconds of a setting as a duration.
#[must_use]
pub const fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
