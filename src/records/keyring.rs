//! The fingerprints of the keys that a database was written with.
//!
//! A daemon that came up with another look-up key would find no window and call phones twice; one with another sealing
//! key could open nothing. So the first start writes the fingerprints, and every later one must match them.

use crate::domain::sealing::Keyring;
use crate::store::{Scalar, Statement, StoreError, Tx, Type};

/// A key of the ring is not the one that the database was written with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mismatch {
    /// `sealing` or `lookup`.
    pub purpose: &'static str,
    pub key_id: u8,
}

static ENROL: Statement = Statement::new(
    "keyring.enrol",
    &[],
    &[Type::Text, Type::I64, Type::Bytes],
    "INSERT INTO keyring (purpose, key_id, fingerprint) SELECT $1, $2, $3 WHERE true \
     ON CONFLICT (purpose, key_id) DO NOTHING",
);

static FIND: Statement = Statement::new(
    "keyring.find",
    &[],
    &[Type::Text, Type::I64],
    "SELECT fingerprint FROM keyring WHERE purpose = $1 AND key_id = $2",
);

/// Writes the fingerprints that are new and compares those that are known.
///
/// # Errors
/// [`StoreError`] if the database is out of reach.
pub async fn enrol(tx: &Tx, keyring: &Keyring) -> Result<Option<Mismatch>, StoreError> {
    let (sealing, lookup) = keyring.fingerprints();
    let keys = sealing.into_iter().map(|(id, print)| ("sealing", id, print)).chain([("lookup", 0, lookup)]);
    for (purpose, key_id, fingerprint) in keys {
        let name = [Scalar::Text(purpose), Scalar::I64(i64::from(key_id))];
        tx.execute(&ENROL, &[], &[name[0], name[1], Scalar::Bytes(&fingerprint)]).await?;
        let rows = tx.query(&FIND, &[], &name).await?;
        let known = rows.first().map(|row| row.bytes(0)).transpose()?;
        if known.as_deref() != Some(&fingerprint[..]) {
            return Ok(Some(Mismatch { purpose, key_id }));
        }
    }
    Ok(None)
}
