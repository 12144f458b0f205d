//! The wallets of a batch under lock, and what their statement reads along.

use std::collections::{HashMap, HashSet};

use futures_util::future::join;

use super::{Order, buckets};
use crate::domain::ids::AccountId;
use crate::domain::money::Buckets;
use crate::domain::time::Timestamp;
use crate::store::{Column, Statement, StoreError, Tx, Type};

static LOCK_WALLETS: Statement = Statement::new(
    "wallets.lock_for_charge",
    &[Type::Id],
    &[],
    "WITH r(account) AS ({rows}) SELECT w.account, w.free_credit, w.bonus_credit, w.balance, \
     (SELECT epoch FROM auth_epoch WHERE one = 1), {now_us} \
     FROM r JOIN wallets w ON w.account = r.account ORDER BY w.account {for_update:w}",
);

/// The same for accounts that are not waited for: a wallet that another session holds does not come back. It waits for no
/// lock, so it needs no place in the order of the locks.
static LOCK_FREE_WALLETS: Statement = Statement::new(
    "wallets.lock_free_for_charge",
    &[Type::Id],
    &[],
    "WITH r(account) AS ({rows}) SELECT w.account, w.free_credit, w.bonus_credit, w.balance, \
     (SELECT epoch FROM auth_epoch WHERE one = 1), {now_us} \
     FROM r JOIN wallets w ON w.account = r.account ORDER BY w.account {for_update:w} {skip_locked}",
);

static CLOCK: Statement = Statement::new("clock", &[], &[], "SELECT {now_us}");

/// A wallet under lock, and what else the same statement read.
pub(super) struct Wallets {
    pub(super) by_account: HashMap<AccountId, Buckets>,
    pub(super) epoch: i64,
    pub(super) now: Timestamp,
}

/// Locks the wallets in the order of their accounts, those of `unwaited` if they are free; `None` if there are no orders or no
/// wallet.
pub(super) async fn lock_wallets(
    tx: &Tx,
    orders: &[&Order],
    unwaited: &HashSet<AccountId>,
) -> Result<Option<Wallets>, StoreError> {
    let mut accounts: Vec<AccountId> = orders.iter().map(|order| order.account).collect();
    accounts.sort_unstable();
    accounts.dedup();
    let rows = if unwaited.is_empty() {
        tx.query(&LOCK_WALLETS, &[ids(&accounts)], &[]).await?
    } else {
        let (unwaited, waited): (Vec<AccountId>, Vec<AccountId>) =
            accounts.into_iter().partition(|account| unwaited.contains(account));
        let (waited, unwaited) = ([ids(&waited)], [ids(&unwaited)]);
        let both = join(tx.query(&LOCK_WALLETS, &waited, &[]), tx.query(&LOCK_FREE_WALLETS, &unwaited, &[]));
        let (waited, unwaited) = both.await;
        let mut rows = waited?;
        rows.extend(unwaited?);
        rows
    };
    let mut wallets: Option<Wallets> = None;
    for row in &rows {
        let (epoch, now) = (row.i64(4)?, Timestamp::from_micros(row.i64(5)?));
        let wallets =
            wallets.get_or_insert_with(|| Wallets { by_account: HashMap::with_capacity(rows.len()), epoch, now });
        wallets.by_account.insert(AccountId::from_bytes(row.id(0)?), buckets(row, 1)?);
        wallets.epoch = wallets.epoch.max(epoch);
        wallets.now = wallets.now.max(now);
    }
    Ok(wallets)
}

fn ids(accounts: &[AccountId]) -> Column<'_> {
    Column::ids(accounts.iter().map(AccountId::as_bytes))
}

/// The database's clock, where no wallet's row brings it along.
pub(super) async fn clock(tx: &Tx) -> Result<Timestamp, StoreError> {
    let rows = tx.query(&CLOCK, &[], &[]).await?;
    let row = rows.first().ok_or_else(|| StoreError::Internal("the clock gave no row".into()))?;
    row.i64(0).map(Timestamp::from_micros)
}
