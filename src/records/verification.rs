//! *Verify*: what the rows show of the invariants of `ARCHITECTURE.md`.
//!
//! Reads only, in one snapshot, so that it may run beside daemons under load. Sums are made by the database; what leaves
//! it are figures and a few examples. It says which invariants rows cannot show.

mod claims;
mod notices;
mod settling;

use std::time::Duration;

pub use self::settling::Overdue;
use crate::domain::ids::AccountId;
use crate::domain::time::Timestamp;
use crate::store::{Row, Scalar, Statement, StoreError, Tx, Type};

/// Before every id, and after every id.
const FIRST: [u8; 16] = [0; 16];
const LAST: [u8; 16] = [0xff; 16];
/// What rows cannot show, by the invariant's number.
pub const UNSEEN: &[(u8, &str)] = &[
    (
        2,
        "that every dispatch had its charge, and was one per delivery and channel: a carrier sees dispatches, rows do not",
    ),
    (
        3,
        "that each receipt found its own delivery: what carriers call attempts is their word, and rows hold it two days",
    ),
    (4, "that every 202 has its row and no other answer moved money: rows do not hold answers"),
    (5, "that a claimed event was sent at most once: its receiver sees that, by `webhook-id`"),
    (6, "that no code was written anywhere: search logs, metrics and the database's files for one that you sent"),
    (7, "that an account never sees an id of another: that is the API's doing"),
    (8, "what a kill -9 leaves: run this after one"),
];

/// One invariant, or a part of one, held against the rows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// The invariant's number.
    pub invariant: u8,
    pub name: &'static str,
    /// What was looked at, and how many.
    pub looked_at: i64,
    pub breaches: i64,
    /// A few of the breaches.
    pub examples: Vec<String>,
}

/// Every check of one snapshot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// The database's clock.
    pub at: Timestamp,
    pub checks: Vec<Check>,
    pub figures: Vec<(&'static str, i64)>,
    /// Some of the deliveries that the sweeper should have ended and has not passed yet, the longest overdue first.
    pub overdue: Vec<Overdue>,
}

impl Report {
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.checks.iter().all(|check| check.breaches == 0)
    }
}

static FIGURES: Statement = Statement::new(
    "verify.figures",
    &[],
    &[],
    "SELECT {now_us}, (SELECT COUNT(*) FROM wallets), (SELECT COUNT(*) FROM movements), COUNT(*), \
     CAST(COALESCE(SUM(CASE WHEN status = 0 THEN 1 ELSE 0 END), 0) AS BIGINT), \
     CAST(COALESCE(SUM(CASE WHEN status = 1 THEN 1 ELSE 0 END), 0) AS BIGINT), \
     CAST(COALESCE(SUM(CASE WHEN status = 2 THEN 1 ELSE 0 END), 0) AS BIGINT), \
     CAST(COALESCE(SUM(CASE WHEN status = 0 AND settle_us < {now_us} THEN 1 ELSE 0 END), 0) AS BIGINT) \
     FROM deliveries",
);

// Each table is summed by itself, along its index by account; only the sums are put together.
static WALLETS: Statement = Statement::new(
    "verify.wallets",
    &[],
    &[Type::Id, Type::Id],
    "SELECT account, CAST(SUM(free_credit) AS BIGINT), CAST(SUM(bonus_credit) AS BIGINT), \
     CAST(SUM(balance) AS BIGINT), COUNT(*) OVER () FROM ( \
     SELECT account, SUM(free_credit) AS free_credit, SUM(bonus_credit) AS bonus_credit, SUM(balance) AS balance \
     FROM movements WHERE account > $1 AND account <= $2 GROUP BY account \
     UNION ALL SELECT account, -SUM(from_free), -SUM(from_bonus), -SUM(from_balance) \
     FROM deliveries WHERE account > $1 AND account <= $2 GROUP BY account \
     UNION ALL SELECT account, -free_credit, -bonus_credit, -balance \
     FROM wallets WHERE account > $1 AND account <= $2 \
     ) sums GROUP BY account HAVING SUM(free_credit) <> 0 OR SUM(bonus_credit) <> 0 OR SUM(balance) <> 0 \
     ORDER BY account LIMIT 5",
);

static NEXT_WALLETS: Statement = Statement::new(
    "verify.next_wallets",
    &[],
    &[Type::Id, Type::I64],
    "SELECT account FROM wallets WHERE account > $1 ORDER BY account LIMIT $2",
);

static BELOW_ZERO: Statement = Statement::new(
    "verify.below_zero",
    &[],
    &[],
    "SELECT account, COUNT(*) OVER () FROM wallets WHERE free_credit < 0 OR bonus_credit < 0 OR balance < 0 \
     ORDER BY account LIMIT 5",
);

static OWNERS: Statement = Statement::new(
    "verify.owners",
    &[],
    &[],
    "SELECT COALESCE(a.id, w.account), COUNT(*) OVER () FROM accounts a FULL JOIN wallets w ON w.account = a.id \
     WHERE a.id IS NULL OR w.account IS NULL LIMIT 5",
);

static REFUNDS_OF_FAILED: Statement = Statement::new(
    "verify.refunds_of_failed",
    &[],
    &[],
    "SELECT d.id, COUNT(*) OVER () FROM deliveries d \
     LEFT JOIN movements m ON m.delivery = d.id AND m.kind = 'refund' \
     WHERE d.status = 2 AND (m.id IS NULL OR m.account <> d.account OR m.free_credit <> d.from_free \
     OR m.bonus_credit <> d.from_bonus OR m.balance <> d.from_balance) ORDER BY d.id LIMIT 5",
);

static REFUNDS_OF_OTHERS: Statement = Statement::new(
    "verify.refunds_of_others",
    &[],
    &[],
    "SELECT m.id, COUNT(*) OVER () FROM movements m LEFT JOIN deliveries d ON d.id = m.delivery \
     WHERE m.kind = 'refund' AND (d.id IS NULL OR d.status <> 2) ORDER BY m.id LIMIT 5",
);

static ENDS: Statement = Statement::new(
    "verify.ends",
    &[],
    &[],
    "SELECT id, COUNT(*) OVER () FROM deliveries WHERE NOT (\
     (status = 0 AND completed_us IS NULL AND error_code IS NULL) \
     OR (status = 1 AND completed_us IS NOT NULL AND error_code IS NULL) \
     OR (status = 2 AND completed_us IS NOT NULL AND error_code IS NOT NULL)) ORDER BY id LIMIT 5",
);

/// Holds the rows of one snapshot against the invariants. Notice attempts are kept for `keep_attempts`.
///
/// # Errors
/// [`StoreError`].
pub async fn verify(tx: &Tx, keep_attempts: Duration) -> Result<Report, StoreError> {
    let rows = tx.query(&FIGURES, &[], &[]).await?;
    let row = rows.first().ok_or_else(|| StoreError::Internal("a count gave no row".into()))?;
    let figure = |at: usize| row.i64(at);
    let (wallets, movements, deliveries, failed) = (figure(1)?, figure(2)?, figure(3)?, figure(6)?);
    let mut figures = vec![
        ("wallets", wallets),
        ("movements", movements),
        ("deliveries", deliveries),
        ("deliveries sent", figure(4)?),
        ("deliveries delivered", figure(5)?),
        ("deliveries failed", failed),
        ("deliveries past their settle time", figure(7)?),
    ];
    let simple = |invariant, name, looked_at| Look { invariant, name, looked_at };
    let mut checks = vec![
        wallets_add_up(tx, FIRST, LAST, wallets).await?,
        simple(1, "no bucket is below zero", wallets).at(tx, &BELOW_ZERO).await?,
        simple(1, "every account has its wallet", wallets).at(tx, &OWNERS).await?,
        claims::are_apart(tx, deliveries).await?,
        simple(3, "every failed delivery has one refund that equals its charge", failed)
            .at(tx, &REFUNDS_OF_FAILED)
            .await?,
        settling::nothing_is_left(tx, figure(4)?).await?,
        simple(3, "nothing else was refunded", movements).at(tx, &REFUNDS_OF_OTHERS).await?,
        simple(3, "every delivery is in one state, ended or not", deliveries).at(tx, &ENDS).await?,
    ];
    let (of_notices, on_notices) = notices::look(tx, keep_attempts, figure(5)? + failed).await?;
    figures.extend(of_notices);
    checks.extend(on_notices);
    let overdue = settling::overdue(tx).await?;
    Ok(Report { at: Timestamp::from_micros(figure(0)?), checks, figures, overdue })
}

/// At most `limit` accounts after `after`, in the order of their ids: a piece for [`check_wallets`].
///
/// # Errors
/// [`StoreError`].
pub async fn next_wallets(tx: &Tx, after: Option<AccountId>, limit: i64) -> Result<Vec<AccountId>, StoreError> {
    let after = after.map_or(FIRST, |account| *account.as_bytes());
    let accounts = tx.query(&NEXT_WALLETS, &[], &[Scalar::Id(after), Scalar::I64(limit)]).await?;
    accounts.iter().map(|row| row.id(0).map(AccountId::from_bytes)).collect()
}

/// Invariant 1 for the wallets after `after` up to `until`: a daemon's own look at itself, a piece at a time.
///
/// # Errors
/// [`StoreError`].
pub async fn check_wallets(
    tx: &Tx,
    after: Option<AccountId>,
    until: AccountId,
    looked_at: i64,
) -> Result<Check, StoreError> {
    let after = after.map_or(FIRST, |account| *account.as_bytes());
    wallets_add_up(tx, after, *until.as_bytes(), looked_at).await
}

/// Invariant 1 for the accounts in `(after, until]`.
async fn wallets_add_up(tx: &Tx, after: [u8; 16], until: [u8; 16], looked_at: i64) -> Result<Check, StoreError> {
    let rows = tx.query(&WALLETS, &[], &[Scalar::Id(after), Scalar::Id(until)]).await?;
    let example = |row: &Row| {
        let account = AccountId::from_bytes(row.id(0)?);
        Ok(format!("account {account} is off by {} free, {} bonus, {} cash", row.i64(1)?, row.i64(2)?, row.i64(3)?))
    };
    Ok(Check {
        invariant: 1,
        name: "movements less charges are the wallet, per account and bucket",
        looked_at,
        breaches: rows.first().map_or(Ok(0), |row| row.i64(4))?,
        examples: rows.iter().map(example).collect::<Result<_, StoreError>>()?,
    })
}

/// A check whose statement returns an id and how many there are.
struct Look {
    invariant: u8,
    name: &'static str,
    looked_at: i64,
}

impl Look {
    async fn at(self, tx: &Tx, statement: &'static Statement) -> Result<Check, StoreError> {
        self.with(tx, statement, &[]).await
    }

    async fn with(self, tx: &Tx, statement: &'static Statement, scalars: &[Scalar<'_>]) -> Result<Check, StoreError> {
        let rows = tx.query(statement, &[], scalars).await?;
        Ok(Check {
            invariant: self.invariant,
            name: self.name,
            looked_at: self.looked_at,
            breaches: rows.first().map_or(Ok(0), |row| row.i64(1))?,
            examples: rows.iter().map(|row| Ok(row.uuid(0)?.to_string())).collect::<Result<_, StoreError>>()?,
        })
    }
}
