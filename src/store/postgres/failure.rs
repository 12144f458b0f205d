//! What an error of the server or the driver means to a caller.

use std::error::Error as _;

use deadpool_postgres::{HookError, PoolError};
use tokio_postgres::error::SqlState;

use super::session::{SILENT, refused_settings};
use crate::store::error::StoreError;

/// Why there is no connection, down to the cause: an operator must tell a wrong password from a closed port.
pub(super) fn no_connection(error: &PoolError) -> StoreError {
    let error = match error {
        PoolError::PostCreateHook(HookError::Message(why)) if why == SILENT => {
            return StoreError::Unavailable(why.to_string());
        }
        PoolError::PostCreateHook(HookError::Message(why)) => return StoreError::Unfit(why.to_string()),
        PoolError::PostCreateHook(HookError::Backend(error)) | PoolError::Backend(error) => error,
        error => return StoreError::Unavailable(error.to_string()),
    };
    StoreError::Unavailable(match (error.as_db_error(), error.source()) {
        (Some(db), _) => match refused_settings(db.message()) {
            Some(why) => return StoreError::Unfit(why),
            None => format!("{} ({})", db.message(), db.code().code()),
        },
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    })
}

pub(super) fn slow() -> StoreError {
    StoreError::Unavailable("the database did not answer in time".into())
}

/// Whether the server answered COMMIT with a plain error: the transaction is then rolled back. A FATAL answer (the
/// server goes down) may have crossed a commit that was already made.
pub(super) fn refused(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|db| db.severity() == "ERROR")
}

/// Errors by what a caller does about them. A server's message names tables and constraints; its DETAIL, which holds
/// values of rows, is left out.
pub(super) fn translate(error: &tokio_postgres::Error) -> StoreError {
    let Some(db) = error.as_db_error() else {
        return StoreError::Unavailable(error.to_string());
    };
    let text = format!("{} ({})", db.message(), db.code().code());
    let class = &db.code().code()[..2];
    match *db.code() {
        SqlState::T_R_SERIALIZATION_FAILURE | SqlState::T_R_DEADLOCK_DETECTED => StoreError::Conflict(text),
        SqlState::LOCK_NOT_AVAILABLE => StoreError::Locked(text),
        // 3F000: a schema that the role may not use is none to it.
        SqlState::INSUFFICIENT_PRIVILEGE | SqlState::INVALID_SCHEMA_NAME => StoreError::Unfit(text),
        _ if matches!(class, "08" | "25" | "53" | "57" | "58") => StoreError::Unavailable(text),
        _ => StoreError::Internal(text),
    }
}
