//! `GET /webhooks/attempts`: what was sent to the account's endpoints and what became of it (contract §10). What is
//! another account's does not exist: a filter that names it finds nothing, as for an id that nobody has.

use hyper::StatusCode;

use super::{Api, store_failed};
use crate::http::backend::Backend;
use crate::http::error::ApiError;
use crate::http::{Reply, query, wire};
use crate::records::attempts::ListError;
use crate::send::Caller;

pub(super) async fn list<B: Backend>(api: &Api<B>, caller: Caller, query: &str) -> Result<Reply, ApiError> {
    let page = query::attempts(query)?;
    let listing = api.backend.attempts(caller.account, &page).await.map_err(|error| match error {
        ListError::BadCursor => query::bad_attempt_cursor(),
        ListError::Store(error) => store_failed(&error, "attempts"),
    })?;
    Ok(wire::json(StatusCode::OK, wire::attempts(&listing)))
}
