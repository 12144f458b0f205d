//! Endpoints as a claim finds them: who can be told, who no longer is, and whose row or keys this node cannot read.
//!
//! One that cannot be read (a rule that became stricter, a sealing key that is missing) is its own trouble only: it is told
//! apart here, so that it fails no claim of others.

use std::collections::HashMap;

use super::{Endpoint, READ, endpoint};
use crate::domain::ids::EndpointId;
use crate::domain::sealing::Keyring;
use crate::domain::signature::SigningKey;
use crate::store::{Column, Row, StoreError, Tx};

/// An active endpoint with its keys opened.
#[derive(Clone, Debug)]
pub struct Recipient {
    pub endpoint: Endpoint,
    pub key: SigningKey,
    /// The key before, while a rotation's overlap lasts.
    pub old_key: Option<SigningKey>,
}

/// Whether an endpoint can be told anything.
#[derive(Clone, Debug)]
pub enum Reach {
    Active(Box<Recipient>),
    /// Disabled or deleted.
    Inactive,
    /// Active, but nothing can be sent to it from here: why.
    Unreadable(String),
}

/// Whether the endpoints of these ids can be told anything; those that are not there are left out.
pub(in crate::records) async fn reach(
    tx: &Tx,
    keyring: &Keyring,
    ids: &[EndpointId],
) -> Result<HashMap<EndpointId, Reach>, StoreError> {
    let rows = tx.query(&READ, &[Column::ids(ids.iter().map(EndpointId::as_bytes))], &[]).await?;
    let one = |row: &Row| Ok((EndpointId::from_bytes(row.id(0)?), of_row(row, keyring)?));
    rows.iter().map(one).collect()
}

fn of_row(row: &Row, keyring: &Keyring) -> Result<Reach, StoreError> {
    if row.opt_i64(10)?.is_none() {
        return Ok(Reach::Inactive);
    }
    let endpoint = match endpoint(row) {
        Ok(endpoint) => endpoint,
        Err(StoreError::Internal(why)) => return Ok(Reach::Unreadable(why)),
        Err(error) => return Err(error),
    };
    let open = |sealed: &[u8]| keyring.open_signing_key(endpoint.id, sealed);
    let old_key = endpoint.old_key.as_ref().and_then(|(sealed, _)| open(sealed));
    Ok(match open(&endpoint.key_sealed) {
        Some(key) => Reach::Active(Box::new(Recipient { endpoint, key, old_key })),
        None => Reach::Unreadable(format!("the signing key of endpoint {} cannot be opened", endpoint.id)),
    })
}
