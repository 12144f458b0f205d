//! API keys: hashes, hints and allowlists, and the epoch that tells every node that the list has changed.
//!
//! The plaintext never comes here. Every change to who may call counts the list's version up in its own transaction: nodes
//! poll it. A change that takes a right away also makes it the epoch, which the accept transaction compares with the
//! version that admitted the caller, so that a revoked key cannot charge; a new key makes no order of others stale.

use crate::domain::allowlist::Allowlist;
use crate::domain::api_key::KeyHash;
use crate::domain::ids::{AccountId, KeyId};
use crate::domain::time::Timestamp;
use crate::records::accounts::{self, Standing};
use crate::records::audit::{self, Actor};
use crate::store::{Row, Scalar, Statement, StoreError, Tx, Type};

/// The most live keys of one account (seed: API reference §07).
pub const LIVE_MAX: i64 = 10;

/// What authenticates a caller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LiveKey {
    pub hash: KeyHash,
    pub key: KeyId,
    pub account: AccountId,
    pub allowlist: Allowlist,
}

/// A fresh key as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewKey {
    pub account: AccountId,
    pub hash: KeyHash,
    pub hint: String,
    pub allowlist: Allowlist,
}

/// One key as an operator sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedKey {
    pub id: KeyId,
    pub hint: String,
    pub allowlist: Allowlist,
    pub created_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
}

/// The version of the list, and its keys if another version was known.
pub type Changes = (i64, Option<Vec<LiveKey>>);

/// What became of making a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Created {
    Done(KeyId),
    NoAccount,
    AccountClosed,
    /// The account has [`LIVE_MAX`] live keys.
    TooMany,
}

/// What became of revoking a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Revoked {
    Done,
    Already,
    NoKey,
}

static COUNT: Statement = Statement::new(
    "api_keys.count",
    &[],
    &[Type::Id],
    "SELECT COUNT(*) FROM api_keys WHERE account = $1 AND revoked_us IS NULL",
);

static INSERT: Statement = Statement::new(
    "api_keys.insert",
    &[],
    &[Type::Id, Type::Id, Type::Bytes, Type::Text, Type::Text, Type::I64],
    "INSERT INTO api_keys (id, account, hash, hint, allowlist, created_us) VALUES ($1, $2, $3, $4, $5, $6)",
);

static LIST: Statement = Statement::new(
    "api_keys.list",
    &[],
    &[Type::Id],
    "SELECT id, hint, allowlist, created_us, revoked_us FROM api_keys WHERE account = $1 ORDER BY id",
);

static REVOKE: Statement = Statement::new(
    "api_keys.revoke",
    &[],
    &[Type::Id, Type::I64],
    "UPDATE api_keys SET revoked_us = $2 WHERE id = $1 AND revoked_us IS NULL RETURNING account",
);

static EXISTS: Statement =
    Statement::new("api_keys.exists", &[], &[Type::Id], "SELECT account FROM api_keys WHERE id = $1");

static REVOKE_ALL: Statement = Statement::new(
    "api_keys.revoke_all",
    &[],
    &[Type::Id, Type::I64],
    "UPDATE api_keys SET revoked_us = $2 WHERE account = $1 AND revoked_us IS NULL",
);

/// The version, and, as a row each, the live keys if it is not `$1`. Both engines look at the second half's last condition once,
/// before the first key.
static CHANGES: Statement = Statement::new(
    "api_keys.changes",
    &[],
    &[Type::I64],
    "SELECT NULL, NULL, NULL, NULL, version FROM auth_epoch WHERE one = 1 UNION ALL \
     SELECT k.hash, k.id, k.account, k.allowlist, NULL FROM api_keys k JOIN accounts a ON a.id = k.account \
     WHERE k.revoked_us IS NULL AND a.closed_us IS NULL AND (SELECT version FROM auth_epoch WHERE one = 1) <> $1",
);

static EXTEND: Statement =
    Statement::new("auth_epoch.extend", &[], &[], "UPDATE auth_epoch SET version = version + 1 WHERE one = 1");

static RESTRICT: Statement = Statement::new(
    "auth_epoch.restrict",
    &[],
    &[],
    "UPDATE auth_epoch SET version = version + 1, epoch = version + 1 WHERE one = 1",
);

/// Stores a fresh key, unless its account is closed or has too many.
///
/// # Errors
/// [`StoreError`].
pub async fn create(tx: &Tx, actor: &Actor, new: &NewKey) -> Result<Created, StoreError> {
    match accounts::lock(tx, new.account).await? {
        Standing::Open => {}
        Standing::Closed => return Ok(Created::AccountClosed),
        Standing::Unknown => return Ok(Created::NoAccount),
    }
    let account = Scalar::Id(*new.account.as_bytes());
    let live = tx.query(&COUNT, &[], &[account]).await?;
    if live.first().map(|row| row.i64(0)).transpose()?.is_none_or(|live| live >= LIVE_MAX) {
        return Ok(Created::TooMany);
    }
    let at = audit::now(tx).await?;
    let key = KeyId::new(at, rand::random());
    let allowlist = allowlist_text(&new.allowlist);
    let scalars = [
        Scalar::Id(*key.as_bytes()),
        account,
        Scalar::Bytes(new.hash.as_bytes()),
        Scalar::Text(&new.hint),
        Scalar::Text(&allowlist),
        Scalar::I64(at.micros()),
    ];
    tx.execute(&INSERT, &[], &scalars).await?;
    count_up(tx, &EXTEND).await?;
    let from = if allowlist.is_empty() { "any address" } else { &allowlist };
    let detail = format!("key {key} {}, for {from}", new.hint);
    audit::record(tx, actor, at, "key.create", &new.account.to_string(), &detail).await?;
    Ok(Created::Done(key))
}

/// Every key that an account has or had, oldest first.
///
/// # Errors
/// [`StoreError`].
pub async fn list(tx: &Tx, account: AccountId) -> Result<Vec<ListedKey>, StoreError> {
    let rows = tx.query(&LIST, &[], &[Scalar::Id(*account.as_bytes())]).await?;
    rows.iter()
        .map(|row| {
            Ok(ListedKey {
                id: KeyId::from_bytes(row.id(0)?),
                hint: row.text(1)?,
                allowlist: allowlist(&row.text(2)?)?,
                created_at: Timestamp::from_micros(row.i64(3)?),
                revoked_at: row.opt_i64(4)?.map(Timestamp::from_micros),
            })
        })
        .collect()
}

/// Revokes one key for good.
///
/// # Errors
/// [`StoreError`].
pub async fn revoke(tx: &Tx, actor: &Actor, key: KeyId) -> Result<Revoked, StoreError> {
    let at = audit::now(tx).await?;
    let id = Scalar::Id(*key.as_bytes());
    let rows = tx.query(&REVOKE, &[], &[id, Scalar::I64(at.micros())]).await?;
    let Some(row) = rows.first() else {
        let known = !tx.query(&EXISTS, &[], &[id]).await?.is_empty();
        return Ok(if known { Revoked::Already } else { Revoked::NoKey });
    };
    let account = AccountId::from_bytes(row.id(0)?);
    count_up(tx, &RESTRICT).await?;
    audit::record(tx, actor, at, "key.revoke", &account.to_string(), &format!("key {key}")).await?;
    Ok(Revoked::Done)
}

/// The version of the key list, which grows with every change to who may call, and, if it is not the `known` one, every key
/// that may call now. One statement: a poll is one round trip, and both are of one snapshot.
///
/// # Errors
/// [`StoreError`].
pub async fn changes(tx: &Tx, known: i64) -> Result<Changes, StoreError> {
    let rows = tx.query(&CHANGES, &[], &[Scalar::I64(known)]).await?;
    let mut version = None;
    let mut keys = Vec::with_capacity(rows.len());
    for row in &rows {
        match row.opt_i64(4)? {
            Some(current) => version = Some(current),
            None => keys.push(live_key(row)?),
        }
    }
    let version = version.ok_or_else(|| StoreError::Internal("the epoch has no row".into()))?;
    Ok((version, (version != known).then_some(keys)))
}

/// Revokes every live key of an account that closes; says how many.
pub(super) async fn revoke_all(tx: &Tx, account: AccountId, at: Timestamp) -> Result<u64, StoreError> {
    let revoked = tx.execute(&REVOKE_ALL, &[], &[Scalar::Id(*account.as_bytes()), Scalar::I64(at.micros())]).await?;
    count_up(tx, &RESTRICT).await?;
    Ok(revoked)
}

async fn count_up(tx: &Tx, change: &'static Statement) -> Result<(), StoreError> {
    let counted = tx.execute(change, &[], &[]).await?;
    assert_eq!(counted, 1, "the epoch is one row");
    Ok(())
}

fn live_key(row: &Row) -> Result<LiveKey, StoreError> {
    let hash = row.bytes(0)?.try_into().map_err(|_| StoreError::Internal("a key's hash is not 32 bytes".into()))?;
    Ok(LiveKey {
        hash: KeyHash::from_bytes(hash),
        key: KeyId::from_bytes(row.id(1)?),
        account: AccountId::from_bytes(row.id(2)?),
        allowlist: allowlist(&row.text(3)?)?,
    })
}

/// The column holds the entries, separated by commas; nothing for "any".
fn allowlist_text(allowlist: &Allowlist) -> String {
    allowlist.entries().collect::<Vec<_>>().join(",")
}

fn allowlist(text: &str) -> Result<Allowlist, StoreError> {
    Allowlist::parse(text.split(',').filter(|entry| !entry.is_empty()))
        .map_err(|_| StoreError::Internal("a stored allowlist does not parse".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowlist_reads_back_from_its_column() {
        for entries in [&[][..], &["203.0.113.7"], &["10.0.0.0/8", "2001:db8::/32", "::1"]] {
            let written = Allowlist::parse(entries.iter().copied()).expect("valid");
            assert_eq!(allowlist(&allowlist_text(&written)), Ok(written));
        }
        assert!(allowlist("nowhere").is_err());
    }
}
