//! Credits: money that comes in, one movement each, once per reference.
//!
//! Charges are delivery rows (`acceptance`), refunds are movements of `settlement`. A credit is idempotent by its account
//! and reference: said twice it happens once, and the same reference for another amount is refused.

use std::time::Duration;

use crate::domain::ids::{AccountId, MovementId};
use crate::domain::money::{Bucket, Buckets, MicroUsd};
use crate::domain::time::Timestamp;
use crate::records::acceptance::buckets;
use crate::records::accounts::{self, Standing};
use crate::records::audit::{self, Actor};
use crate::store::{Scalar, Statement, StoreError, Tx, Type};

/// References that the house itself uses.
const WELCOME: &str = "welcome";
const RESERVED: [&str; 2] = [WELCOME, "carried_forward"];
const REFERENCE_MAX: usize = 100;

/// What an operator names a credit by: 1–100 visible ASCII characters, unique in its account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reference(String);

impl Reference {
    /// `None` if `text` is empty, too long, not visible ASCII, or one that the house itself uses.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let visible = (1..=REFERENCE_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        (visible && !RESERVED.contains(&text)).then(|| Self(text.to_owned()))
    }
}

/// One credit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Credit {
    pub account: AccountId,
    pub bucket: Bucket,
    /// Above zero.
    pub amount: MicroUsd,
    pub reference: Reference,
}

/// What became of a credit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Credited {
    Done {
        wallet: Buckets,
    },
    /// The same credit was made before; nothing changed.
    Already {
        wallet: Buckets,
    },
    /// The reference was used for another amount or bucket; nothing changed.
    ReferenceUsed {
        before: Buckets,
    },
    NoAccount,
    AccountClosed,
    /// Not above zero.
    NotPositive,
    /// The wallet cannot hold that much.
    TooLarge,
}

static FIND: Statement = Statement::new(
    "movements.by_reference",
    &[],
    &[Type::Id, Type::Text],
    "SELECT free_credit, bonus_credit, balance FROM movements WHERE account = $1 AND reference = $2",
);

static LOCK_WALLET: Statement = Statement::new(
    "wallets.lock_for_credit",
    &[],
    &[Type::Id],
    "SELECT free_credit, bonus_credit, balance FROM wallets WHERE account = $1 {for_update}",
);

static WRITE_WALLET: Statement = Statement::new(
    "wallets.credit",
    &[],
    &[Type::Id, Type::I64, Type::I64, Type::I64],
    "UPDATE wallets SET free_credit = $2, bonus_credit = $3, balance = $4 WHERE account = $1",
);

static INSERT: Statement = Statement::new(
    "movements.credit",
    &[],
    &[Type::Id, Type::Id, Type::Text, Type::I64, Type::I64, Type::I64, Type::I64],
    "INSERT INTO movements (id, account, kind, reference, free_credit, bonus_credit, balance, at_us) \
     VALUES ($1, $2, 'credit', $3, $4, $5, $6, $7)",
);

/// Credits an account once per reference.
///
/// # Errors
/// [`StoreError`].
pub async fn credit(tx: &Tx, actor: &Actor, credit: &Credit) -> Result<Credited, StoreError> {
    if credit.amount <= MicroUsd::ZERO {
        return Ok(Credited::NotPositive);
    }
    // The account's lock puts two credits with one reference after each other.
    let standing = accounts::lock(tx, credit.account).await?;
    if standing == Standing::Unknown {
        return Ok(Credited::NoAccount);
    }
    let amounts = Buckets::only(credit.bucket, credit.amount);
    let name = [Scalar::Id(*credit.account.as_bytes()), Scalar::Text(&credit.reference.0)];
    if let Some(row) = tx.query(&FIND, &[], &name).await?.first() {
        let before = buckets(row, 0)?;
        return Ok(if before == amounts {
            Credited::Already { wallet: accounts::wallet(tx, credit.account).await?.unwrap_or_default() }
        } else {
            Credited::ReferenceUsed { before }
        });
    }
    if standing == Standing::Closed {
        return Ok(Credited::AccountClosed);
    }
    let at = audit::now(tx).await?;
    let Some(wallet) = post(tx, at, credit.account, &credit.reference.0, amounts).await? else {
        return Ok(Credited::TooLarge);
    };
    let detail = format!("{} {} USD, reference {}", credit.bucket.as_str(), credit.amount, credit.reference.0);
    audit::record(tx, actor, at, "account.credit", &credit.account.to_string(), &detail).await?;
    Ok(Credited::Done { wallet })
}

/// The credit that a new account is given.
pub(super) async fn post_welcome(
    tx: &Tx,
    actor: &Actor,
    at: Timestamp,
    account: AccountId,
    amounts: Buckets,
) -> Result<(), StoreError> {
    let posted = post(tx, at, account, WELCOME, amounts).await?;
    posted.ok_or_else(|| StoreError::Internal("a new wallet cannot hold its welcome credit".into()))?;
    let detail = format!("{} {} USD, reference {WELCOME}", Bucket::Free.as_str(), amounts.free);
    // Listed after the making of the account, which is of the same instant.
    let listed_at = at.plus(Duration::from_micros(1));
    audit::record(tx, actor, listed_at, "account.credit", &account.to_string(), &detail).await
}

/// Wallet and movement in one step; `None`, and nothing written, if the wallet cannot hold the sum.
async fn post(
    tx: &Tx,
    at: Timestamp,
    account: AccountId,
    reference: &str,
    amounts: Buckets,
) -> Result<Option<Buckets>, StoreError> {
    let id = Scalar::Id(*account.as_bytes());
    let rows = tx.query(&LOCK_WALLET, &[], &[id]).await?;
    let row = rows.first().ok_or_else(|| StoreError::Internal("an account has no wallet".into()))?;
    let sum = buckets(row, 0)?.checked_add(amounts).filter(|sum| sum.total().is_some());
    let Some(wallet) = sum else { return Ok(None) };
    let money = |b: &Buckets| [b.free, b.bonus, b.cash].map(|part| Scalar::I64(part.micros()));
    let [free, bonus, cash] = money(&wallet);
    tx.execute(&WRITE_WALLET, &[], &[id, free, bonus, cash]).await?;
    let movement = MovementId::new(at, rand::random());
    let [free, bonus, cash] = money(&amounts);
    let scalars =
        [Scalar::Id(*movement.as_bytes()), id, Scalar::Text(reference), free, bonus, cash, Scalar::I64(at.micros())];
    tx.execute(&INSERT, &[], &scalars).await?;
    Ok(Some(wallet))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_visible_and_not_one_of_ours() {
        assert!(Reference::new("invoice-2026/07#1").is_some());
        for bad in ["", "two words", "é", "welcome", "carried_forward", &"x".repeat(101)] {
            assert_eq!(Reference::new(bad), None, "{bad}");
        }
    }
}
