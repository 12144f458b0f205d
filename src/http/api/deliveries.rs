//! `GET /deliveries/{id}` and `GET /deliveries` (contract §4). What is another account's does not exist.

use hyper::StatusCode;

use super::{Api, store_failed};
use crate::http::backend::Backend;
use crate::http::error::ApiError;
use crate::http::{Reply, query, wire};
use crate::records::deliveries::ListError;
use crate::send::Caller;

pub(super) async fn find<B: Backend>(api: &Api<B>, caller: Caller, id: &str) -> Result<Reply, ApiError> {
    let id = id.parse().map_err(|_| ApiError::NotFound)?;
    let found = api.backend.delivery(caller.account, id).await;
    let delivery = found.map_err(|error| store_failed(&error, "delivery"))?.ok_or(ApiError::NotFound)?;
    Ok(wire::json(StatusCode::OK, wire::delivery(&delivery)))
}

pub(super) async fn list<B: Backend>(api: &Api<B>, caller: Caller, query: &str) -> Result<Reply, ApiError> {
    let page = query::page(query)?;
    let listing = api.backend.deliveries(caller.account, &page).await.map_err(|error| match error {
        ListError::BadCursor => query::bad_cursor(),
        ListError::Store(error) => store_failed(&error, "deliveries"),
    })?;
    Ok(wire::json(StatusCode::OK, wire::listing(&listing)))
}
