//! Accounts and their wallets, as operators change and see them.
//!
//! An account is never deleted: a closed one keeps its rows and can neither send nor be credited. What moves money is in
//! `ledger`, `acceptance` and `settlement`; here a wallet is only made, empty, and read.

use crate::domain::ids::AccountId;
use crate::domain::money::{Bucket, Buckets, MicroUsd};
use crate::domain::time::Timestamp;
use crate::records::acceptance::buckets;
use crate::records::audit::{self, Actor};
use crate::records::{keys, ledger};
use crate::store::{Row, Scalar, Statement, StoreError, Tx, Type};

/// Five free test codes at $0.022: what a sign-up is given (seed: pricing).
pub const WELCOME_CREDIT: MicroUsd = MicroUsd::from_micros(110_000);

/// The longest name of an account in characters.
const NAME_MAX: usize = 100;

/// The name of an account: 1–100 characters, none of them a control character.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccountName(String);

impl AccountName {
    /// Trims `text`; `None` if nothing is left, or too much.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let fits = !text.is_empty() && text.chars().count() <= NAME_MAX && !text.chars().any(char::is_control);
        fits.then(|| Self(text.to_owned()))
    }
}

/// One account as an operator sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    pub id: AccountId,
    pub name: String,
    pub created_at: Timestamp,
    pub closed_at: Option<Timestamp>,
    pub wallet: Buckets,
    pub live_keys: i64,
}

/// What became of closing an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Closed {
    Done { keys_revoked: u64 },
    Already,
    NoAccount,
}

/// Whether an account, locked for this transaction, can be changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    Open,
    Closed,
    Unknown,
}

static INSERT: Statement = Statement::new(
    "accounts.insert",
    &[],
    &[Type::Id, Type::Text, Type::I64],
    "INSERT INTO accounts (id, name, created_us) VALUES ($1, $2, $3)",
);

static INSERT_WALLET: Statement = Statement::new(
    "wallets.insert",
    &[],
    &[Type::Id],
    "INSERT INTO wallets (account, free_credit, bonus_credit, balance) VALUES ($1, 0, 0, 0)",
);

static LOCK: Statement =
    Statement::new("accounts.lock", &[], &[Type::Id], "SELECT closed_us FROM accounts WHERE id = $1 {for_update}");

static CLOSE: Statement =
    Statement::new("accounts.close", &[], &[Type::Id, Type::I64], "UPDATE accounts SET closed_us = $2 WHERE id = $1");

static LIST: Statement = Statement::new(
    "accounts.list",
    &[],
    &[Type::Id, Type::I64],
    "SELECT a.id, a.name, a.created_us, a.closed_us, w.free_credit, w.bonus_credit, w.balance, \
     (SELECT COUNT(*) FROM api_keys k WHERE k.account = a.id AND k.revoked_us IS NULL) \
     FROM accounts a JOIN wallets w ON w.account = a.id WHERE a.id > $1 ORDER BY a.id LIMIT $2",
);

static SHOW: Statement = Statement::new(
    "accounts.show",
    &[],
    &[Type::Id],
    "SELECT a.id, a.name, a.created_us, a.closed_us, w.free_credit, w.bonus_credit, w.balance, \
     (SELECT COUNT(*) FROM api_keys k WHERE k.account = a.id AND k.revoked_us IS NULL) \
     FROM accounts a JOIN wallets w ON w.account = a.id WHERE a.id = $1",
);

static WALLET: Statement = Statement::new(
    "wallets.read",
    &[],
    &[Type::Id],
    "SELECT free_credit, bonus_credit, balance FROM wallets WHERE account = $1",
);

/// Makes an account with its wallet, and credits it with `welcome` free credit if that is above zero.
///
/// # Errors
/// [`StoreError`].
pub async fn create(tx: &Tx, actor: &Actor, name: &AccountName, welcome: MicroUsd) -> Result<AccountId, StoreError> {
    let at = audit::now(tx).await?;
    let account = AccountId::new(at, rand::random());
    let id = Scalar::Id(*account.as_bytes());
    tx.execute(&INSERT, &[], &[id, Scalar::Text(&name.0), Scalar::I64(at.micros())]).await?;
    tx.execute(&INSERT_WALLET, &[], &[id]).await?;
    audit::record(tx, actor, at, "account.create", &account.to_string(), &name.0).await?;
    if welcome > MicroUsd::ZERO {
        ledger::post_welcome(tx, actor, at, account, Buckets::only(Bucket::Free, welcome)).await?;
    }
    Ok(account)
}

/// At most `limit` accounts after `after`, oldest first.
///
/// # Errors
/// [`StoreError`].
pub async fn list(tx: &Tx, after: Option<AccountId>, limit: i64) -> Result<Vec<Account>, StoreError> {
    let after = after.map_or([0; 16], |account| *account.as_bytes());
    let rows = tx.query(&LIST, &[], &[Scalar::Id(after), Scalar::I64(limit)]).await?;
    rows.iter().map(account).collect()
}

/// One account; `None` if there is no such.
///
/// # Errors
/// [`StoreError`].
pub async fn show(tx: &Tx, id: AccountId) -> Result<Option<Account>, StoreError> {
    let rows = tx.query(&SHOW, &[], &[Scalar::Id(*id.as_bytes())]).await?;
    rows.first().map(account).transpose()
}

/// Closes an account and revokes its keys: from the next epoch on every node refuses them.
///
/// # Errors
/// [`StoreError`].
pub async fn close(tx: &Tx, actor: &Actor, id: AccountId) -> Result<Closed, StoreError> {
    match lock(tx, id).await? {
        Standing::Open => {}
        Standing::Closed => return Ok(Closed::Already),
        Standing::Unknown => return Ok(Closed::NoAccount),
    }
    let at = audit::now(tx).await?;
    tx.execute(&CLOSE, &[], &[Scalar::Id(*id.as_bytes()), Scalar::I64(at.micros())]).await?;
    let keys_revoked = keys::revoke_all(tx, id, at).await?;
    let detail = format!("{keys_revoked} keys revoked");
    audit::record(tx, actor, at, "account.close", &id.to_string(), &detail).await?;
    Ok(Closed::Done { keys_revoked })
}

/// What an account can spend, by bucket; `None` if there is no such account.
///
/// # Errors
/// [`StoreError`].
pub async fn wallet(tx: &Tx, account: AccountId) -> Result<Option<Buckets>, StoreError> {
    let rows = tx.query(&WALLET, &[], &[Scalar::Id(*account.as_bytes())]).await?;
    rows.first().map(|row| buckets(row, 0)).transpose()
}

/// Locks an account, so that two changes to its keys or its ledger come one after the other.
pub(super) async fn lock(tx: &Tx, id: AccountId) -> Result<Standing, StoreError> {
    let rows = tx.query(&LOCK, &[], &[Scalar::Id(*id.as_bytes())]).await?;
    Ok(match rows.first().map(|row| row.opt_i64(0)).transpose()? {
        None => Standing::Unknown,
        Some(None) => Standing::Open,
        Some(Some(_)) => Standing::Closed,
    })
}

fn account(row: &Row) -> Result<Account, StoreError> {
    Ok(Account {
        id: AccountId::from_bytes(row.id(0)?),
        name: row.text(1)?,
        created_at: Timestamp::from_micros(row.i64(2)?),
        closed_at: row.opt_i64(3)?.map(Timestamp::from_micros),
        wallet: buckets(row, 4)?,
        live_keys: row.i64(7)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_visible() {
        assert_eq!(AccountName::new("  Quán Phở  "), Some(AccountName("Quán Phở".into())));
        for bad in ["", "  ", "a\nb", &"é".repeat(101)] {
            assert_eq!(AccountName::new(bad), None, "{bad:?}");
        }
        assert!(AccountName::new(&"é".repeat(100)).is_some());
    }
}
