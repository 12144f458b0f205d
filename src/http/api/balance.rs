//! `GET /balance`: the three buckets and their sum (contract §5).

use hyper::StatusCode;

use super::{Api, store_failed};
use crate::http::backend::Backend;
use crate::http::error::ApiError;
use crate::http::{Reply, wire};
use crate::send::Caller;

pub(super) async fn answer<B: Backend>(api: &Api<B>, caller: Caller) -> Result<Reply, ApiError> {
    let wallet = api.backend.wallet(caller.account).await.map_err(|error| store_failed(&error, "balance"))?;
    // A live key's account has a wallet: neither its absence nor a sum past 9 trillion dollars can be.
    let body = wallet.as_ref().and_then(wire::balance).ok_or_else(|| {
        tracing::error!(account = %caller.account, "a live key's account has no wallet");
        ApiError::Internal
    })?;
    Ok(wire::json(StatusCode::OK, body))
}
