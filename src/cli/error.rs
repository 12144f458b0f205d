//! Why a command did not do what it was told, in the facts that its exit code tells apart.

use std::fmt::Display;
use std::io;
use std::path::Path;

use crate::app::StartError;
use crate::config::carriers::CarrierTableError;
use crate::config::{ConfigError, KeysError};
use crate::store::{FileRefused, StoreError};

/// The exit code for what is ours.
pub(super) const INTERNAL: u8 = 70;
/// The exit code of a command whose answer could not be written.
pub(super) const UNWRITTEN: u8 = 74;

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
    /// 74: its answer would not be seen, so nothing was done.
    #[error("{0}")]
    Unseen(String),
    /// 77: the system does not permit it, and will not by itself.
    #[error("{0}")]
    NotPermitted(String),
    /// 130: a signal came before it was done.
    #[error("ended by {0}")]
    Interrupted(&'static str),
}

impl CliError {
    pub(super) const fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(_) => 1,
            Self::Usage(_) => 64,
            Self::Internal(_) => INTERNAL,
            Self::Unseen(_) => UNWRITTEN,
            Self::Unavailable(_) => 75,
            Self::NotPermitted(_) => 77,
            Self::Interrupted(_) => 130,
        }
    }

    /// The word for scripts.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Usage(_) => "usage",
            Self::Internal(_) => "internal",
            Self::Unseen(_) => "unseen",
            Self::Unavailable(_) => "unavailable",
            Self::NotPermitted(_) => "not_permitted",
            Self::Interrupted(_) => "interrupted",
        }
    }

    /// Why there are no keys: those that exist are configuration, those that could not be made are a file.
    pub(super) fn of_key_file(error: KeysError) -> Self {
        match error {
            KeysError::NotMade { path, source } => match Self::of_file(&path, &source) {
                Self::NotPermitted(why) => Self::NotPermitted(format!("secrets.key_file: {why}")),
                _ => Self::Usage(KeysError::NotMade { path, source }.to_string()),
            },
            error => Self::Usage(error.to_string()),
        }
    }

    /// Why nothing can be written at `path`: a right that is missing stays missing, anything else is refused for now.
    pub(super) fn of_file(path: &Path, error: &io::Error) -> Self {
        let what = path.display();
        match error.kind() {
            io::ErrorKind::PermissionDenied => {
                Self::NotPermitted(format!("{what} may not be written by this user: {error}"))
            }
            io::ErrorKind::ReadOnlyFilesystem => Self::NotPermitted(format!("{what} is on a read-only file system")),
            _ => Self::Refused(format!("{what}: {error}")),
        }
    }

    /// Why nothing can listen on `address`, which `what` names.
    pub(super) fn of_port(what: &str, address: impl Display, error: &io::Error) -> Self {
        let no_family = error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error());
        match error.kind() {
            io::ErrorKind::AddrInUse => {
                Self::Refused(format!("{what}: {address} is taken: another process listens there"))
            }
            io::ErrorKind::PermissionDenied => Self::NotPermitted(format!(
                "{what}: {address} may not be bound by this user: a port below 1024 needs CAP_NET_BIND_SERVICE"
            )),
            io::ErrorKind::AddrNotAvailable => {
                Self::Usage(format!("{what}: {address} is not an address of this machine"))
            }
            _ if no_family => Self::Usage(format!("{what}: this machine has no addresses of the family of {address}")),
            _ => Self::Refused(format!("{what}: cannot listen on {address}: {error}")),
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
        Self::of_key_file(error)
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
            StoreError::Unfit(why) => Self::Usage(format!("store.url: {why}")),
            StoreError::Internal(_) => Self::Internal(error.to_string()),
        }
    }
}

impl From<FileRefused> for CliError {
    fn from(refused: FileRefused) -> Self {
        let FileRefused { path, source } = refused;
        let said = Self::of_file(&path, &source);
        match said {
            Self::NotPermitted(why) => Self::NotPermitted(format!("store.url: {why}")),
            said => Self::Unavailable(format!("store.url: {said}")),
        }
    }
}

impl From<StartError> for CliError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Config(why) => Self::Usage(why),
            StartError::Unavailable(_) => Self::Unavailable(error.to_string()),
            StartError::Files(refused) => refused.into(),
            StartError::Port { setting, address, source } => Self::of_port(setting, address, &source),
            StartError::Internal(why) => Self::Internal(why),
        }
    }
}
