//! What a transaction can fail with, in the facts that a caller branches on.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why the files of an embedded database cannot be made or written: the directory or file, and what the system says.
#[derive(Debug, Error)]
#[error("{}: {source}", path.display())]
pub struct FileRefused {
    pub path: PathBuf,
    pub source: io::Error,
}

/// Why a transaction did not happen. The text is for the log; it holds no values of rows.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StoreError {
    /// The database is out of reach, full, read-only or too slow: 503 material.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// Not a database to work on, until an operator changes it or its address: a pooler in between, a privilege that is
    /// missing, settings that lose commits. It ends a start with 64; for a request it is 503.
    #[error("the database is unfit: {0}")]
    Unfit(String),
    /// A deadlock or a serialization failure: run it again.
    #[error("the transaction lost to another: {0}")]
    Conflict(String),
    /// A lock was not granted in time: another session holds a row, and may hold it for long. What needs no such row need
    /// not wait for it.
    #[error("a row is held locked by another session: {0}")]
    Locked(String),
    /// A statement is wrong or a row is not what the schema promises: ours.
    #[error("internal storage error: {0}")]
    Internal(String),
}

/// Why a commit did not report success.
#[derive(Debug, Error)]
pub enum CommitError<T> {
    /// Nothing was written and nothing will be.
    #[error(transparent)]
    NotCommitted(StoreError),
    /// The connection was lost inside COMMIT. `outcome` is what the transaction computed, true if it did commit: ask
    /// `Store::resolve`.
    #[error("the commit's outcome is unknown")]
    Unknown { outcome: T },
}

impl<T> From<StoreError> for CommitError<T> {
    fn from(error: StoreError) -> Self {
        Self::NotCommitted(error)
    }
}
