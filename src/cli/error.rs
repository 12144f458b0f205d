//! Why a command did not do what it was told, in the facts that its exit code tells apart.

use crate::app::StartError;
use crate::config::carriers::CarrierTableError;
use crate::config::{ConfigError, KeysError};
use crate::store::StoreError;

/// Why a command ends with another code than 0.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// 64: wrong usage or configuration.
    #[error("{0}")]
    Usage(String),
    /// 1: understood, and refused.
    #[error("{0}")]
    Refused(String),
    /// 75: the database is out of reach.
    #[error("{0}")]
    Unavailable(String),
    /// 70: ours.
    #[error("{0}")]
    Internal(String),
}

impl CliError {
    pub(super) const fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(_) => 1,
            Self::Usage(_) => 64,
            Self::Internal(_) => 70,
            Self::Unavailable(_) => 75,
        }
    }

    /// The word for scripts.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Usage(_) => "usage",
            Self::Internal(_) => "internal",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<KeysError> for CliError {
    fn from(error: KeysError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<CarrierTableError> for CliError {
    fn from(error: CarrierTableError) -> Self {
        Self::Usage(format!("carriers.file: {error}"))
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) | StoreError::Conflict(_) | StoreError::Locked(_) => {
                Self::Unavailable(error.to_string())
            }
            StoreError::Internal(_) => Self::Internal(error.to_string()),
        }
    }
}

impl From<StartError> for CliError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Config(why) => Self::Usage(why),
            StartError::Unavailable(_) => Self::Unavailable(error.to_string()),
            StartError::Port(why) => Self::Refused(why),
            StartError::Internal(why) => Self::Internal(why),
        }
    }
}
