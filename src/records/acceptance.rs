//! *Accept*: the one transaction that claims keys and windows, charges wallets and writes deliveries.
//!
//! It decides a whole batch: what a phone or a wallet allows is read under the rows' locks, decided by the pure rule in
//! `domain::posting`, and written in bulk. An order that is not charged leaves nothing behind. A batch never holds a
//! phone or an idempotency key twice: two rows with one conflict key in one statement kill the batch on Postgres.

mod rehearsal;
mod wallets;
mod writes;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::future::join;

use self::wallets::{Wallets, clock, lock_wallets};
use crate::domain::carrier::{Carrier, CarrierSource, Channel};
use crate::domain::ids::{AccountId, DeliveryId};
use crate::domain::money::{Buckets, MicroUsd};
use crate::domain::posting;
use crate::domain::sealing::PhoneKey;
use crate::domain::time::{Timestamp, duration_micros};
use crate::records::idempotency;
use crate::store::{Column, Row, Scalar, Statement, StoreError, Tx, Type};

pub use rehearsal::Rehearsal;

/// One code per phone in this time, over all accounts and nodes (seed: API reference §10; it is the carrier's rule).
pub const WINDOW: Duration = Duration::from_secs(30);
/// How much further ahead a window is still believed: nodes whose database's clock went back may be as far apart. Beyond it,
/// it was written under another clock.
const WINDOW_SLACK: Duration = Duration::from_secs(5);
/// An id must carry a time this near to the database's: the sweeper walks the primary key by age.
pub const ID_SKEW_MAX: Duration = Duration::from_secs(10);

/// One OTP that asks to be accepted; everything that its rows will hold, and nothing secret.
#[derive(Clone, Debug)]
pub struct Order {
    pub delivery: DeliveryId,
    pub account: AccountId,
    /// The epoch of the key list that authenticated the caller.
    pub auth_epoch: i64,
    pub phone_key: PhoneKey,
    pub phone_sealed: Vec<u8>,
    pub metadata_sealed: Option<Vec<u8>>,
    pub carrier: Carrier,
    pub carrier_source: CarrierSource,
    pub channel: Channel,
    pub price: MicroUsd,
    /// From the claim of the window to the settle time.
    pub settle_after: Duration,
    pub idempotency: Option<IdempotencyClaim>,
}

/// The idempotency key of an order and the keyed digest of its body.
#[derive(Clone, Debug)]
pub struct IdempotencyClaim {
    pub key: String,
    pub body_mac: [u8; 32],
}

/// What the transaction decided for one order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Durable: window claimed, wallet charged, delivery written. `balance` is what the account can still spend.
    Charged {
        created_at: Timestamp,
        balance: MicroUsd,
    },
    /// The phone's window is held by `owner` for `remaining` more.
    CoolingDown {
        remaining: Duration,
        owner: DeliveryId,
    },
    Insufficient {
        balance: MicroUsd,
    },
    /// The key is known: look it up by a plain read.
    KeyKnown,
    /// The key list that authenticated the caller is older than the database's.
    StaleKey,
    /// The order's id is too far from the database's clock.
    ClockSkew,
    /// Another session holds the account's wallet, which was not waited for.
    WalletLocked,
}

/// The verdicts in the order of the orders, and the database's clock after the locks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Accepted {
    pub verdicts: Vec<Verdict>,
    pub now: Timestamp,
}

static CLAIM_WINDOWS: Statement = Statement::new(
    "windows.claim",
    &[Type::I64, Type::Id],
    &[Type::I64, Type::I64],
    "WITH r(phone_key, delivery) AS ({rows}) \
     INSERT INTO cooldown_windows (phone_key, until_us, delivery) \
     SELECT phone_key, {now_us} + $3, delivery FROM r WHERE true ORDER BY phone_key \
     ON CONFLICT (phone_key) DO UPDATE SET until_us = {now_us} + $3, delivery = excluded.delivery \
     WHERE cooldown_windows.until_us <= {now_us} OR cooldown_windows.until_us > {now_us} + $4 + CASE WHEN \
     cooldown_windows.held_for = cooldown_windows.delivery THEN cooldown_windows.held_us ELSE $3 END \
     RETURNING phone_key, until_us",
);

static READ_WINDOWS: Statement = Statement::new(
    "windows.read",
    &[Type::I64],
    &[],
    "WITH r(phone_key) AS ({rows}) SELECT w.phone_key, w.until_us, w.delivery, {now_us}, \
     CASE WHEN w.held_for = w.delivery THEN w.held_us END \
     FROM r JOIN cooldown_windows w ON w.phone_key = r.phone_key",
);

/// Decides and writes a batch. The verdicts are true once the transaction has committed.
///
/// # Errors
/// [`StoreError`]; nothing of the batch happened then.
pub async fn accept(tx: &Tx, orders: &[Order]) -> Result<Accepted, StoreError> {
    accept_unwaited(tx, orders, &HashSet::new()).await
}

/// The same, without a wait for the wallets of `unwaited`: if another session holds one, its orders are
/// [`Verdict::WalletLocked`] and leave nothing.
///
/// # Errors
/// As [`accept`].
pub async fn accept_unwaited(tx: &Tx, orders: &[Order], unwaited: &HashSet<AccountId>) -> Result<Accepted, StoreError> {
    assert_distinct(orders);
    let keyed: Vec<&Order> = orders.iter().filter(|order| order.idempotency.is_some()).collect();
    let known = idempotency::claim(tx, &keyed).await?;
    let claiming: Vec<&Order> = orders.iter().filter(|order| !known.contains(&order.delivery)).collect();
    let (claimed, wallets) = join(claim_windows(tx, &claiming), lock_wallets(tx, &claiming, unwaited)).await;
    // In this order: what failed first is the cause, what follows it in a failed transaction is not.
    let (claimed, wallets) = (claimed?, wallets?);
    let mut wallets = match wallets {
        Some(wallets) => wallets,
        None => Wallets { by_account: HashMap::new(), epoch: 0, now: clock(tx).await? },
    };
    let cooling = read_windows(tx, &claiming, &claimed).await?;

    let mut charged = Vec::with_capacity(orders.len());
    let mut verdicts = Vec::with_capacity(orders.len());
    for order in orders {
        let verdict = if known.contains(&order.delivery) {
            Verdict::KeyKnown
        } else if order.auth_epoch < wallets.epoch {
            Verdict::StaleKey
        } else if skewed(order.delivery, wallets.now) {
            Verdict::ClockSkew
        } else if let Some(until) = claimed.get(&order.phone_key) {
            let (verdict, split) = charge(order, until.minus(WINDOW), &mut wallets, unwaited);
            charged.extend(split.map(|split| (order, until.minus(WINDOW), split)));
            verdict
        } else {
            cooling.get(&order.phone_key).cloned().unwrap_or_else(|| {
                // The row went while it was read: its owner was given back. Ask for another moment.
                Verdict::CoolingDown { remaining: Duration::from_millis(1), owner: order.delivery }
            })
        };
        verdicts.push(verdict);
    }
    tx.finish(writes::writes(orders, &verdicts, &charged, &claimed, &wallets)).await?;
    Ok(Accepted { verdicts, now: wallets.now })
}

fn assert_distinct(orders: &[Order]) {
    let mut phones = HashSet::with_capacity(orders.len());
    assert!(orders.iter().all(|order| phones.insert(order.phone_key)), "a batch holds a phone once");
    let mut keys = HashSet::new();
    let mut claims = orders.iter().filter_map(|o| o.idempotency.as_ref().map(|claim| (o.account, &claim.key)));
    assert!(claims.all(|claim| keys.insert(claim)), "a batch holds an idempotency key once");
}

fn skewed(delivery: DeliveryId, now: Timestamp) -> bool {
    let made = delivery.timestamp();
    made > now.plus(ID_SKEW_MAX) || made < now.minus(ID_SKEW_MAX)
}

/// Charges one order in memory; the split is `None` if the wallet cannot pay or is not under lock.
fn charge(
    order: &Order,
    created_at: Timestamp,
    wallets: &mut Wallets,
    unwaited: &HashSet<AccountId>,
) -> (Verdict, Option<Buckets>) {
    let Some(wallet) = wallets.by_account.get_mut(&order.account) else {
        let is_locked = unwaited.contains(&order.account);
        let verdict = if is_locked { Verdict::WalletLocked } else { Verdict::Insufficient { balance: MicroUsd::ZERO } };
        return (verdict, None);
    };
    match posting::charge(wallet, order.price) {
        Ok(split) => {
            let balance = wallet.total().unwrap_or(MicroUsd::ZERO);
            (Verdict::Charged { created_at, balance }, Some(split))
        }
        Err(insufficient) => (Verdict::Insufficient { balance: insufficient.available }, None),
    }
}

/// The windows that are now this batch's, with their end.
async fn claim_windows(tx: &Tx, orders: &[&Order]) -> Result<HashMap<PhoneKey, Timestamp>, StoreError> {
    let columns = phones_and_owners(orders);
    let scalars = [Scalar::I64(duration_micros(WINDOW)), Scalar::I64(duration_micros(WINDOW_SLACK))];
    let rows = tx.query(&CLAIM_WINDOWS, &columns, &scalars).await?;
    rows.iter().map(|row| Ok((PhoneKey::from_number(row.i64(0)?), Timestamp::from_micros(row.i64(1)?)))).collect()
}

fn phones_and_owners<'a>(orders: &[&'a Order]) -> [Column<'a>; 2] {
    [
        Column::I64(orders.iter().map(|order| order.phone_key.number()).collect()),
        Column::ids(orders.iter().map(|order| order.delivery.as_bytes())),
    ]
}

/// Who holds the windows that were not claimed, and for how long.
async fn read_windows(
    tx: &Tx,
    orders: &[&Order],
    claimed: &HashMap<PhoneKey, Timestamp>,
) -> Result<HashMap<PhoneKey, Verdict>, StoreError> {
    let lost = orders.iter().filter(|order| !claimed.contains_key(&order.phone_key));
    let rows =
        tx.query(&READ_WINDOWS, &[Column::I64(lost.map(|order| order.phone_key.number()).collect())], &[]).await?;
    let cooling = |row: &Row| {
        let (until, now) = (Timestamp::from_micros(row.i64(1)?), Timestamp::from_micros(row.i64(3)?));
        let remaining = window_left(until, now, row.opt_i64(4)?).max(Duration::from_millis(1));
        let owner = DeliveryId::from_bytes(row.id(2)?);
        Ok((PhoneKey::from_number(row.i64(0)?), Verdict::CoolingDown { remaining, owner }))
    };
    rows.iter().map(cooling).collect()
}

/// What is left at `now` of a window until `until`: a claim holds its phone for [`WINDOW`] at most, and a carrier no longer
/// than it asked (`held_us`).
pub(super) fn window_left(until: Timestamp, now: Timestamp, held_us: Option<i64>) -> Duration {
    let longest = held_us.map_or(WINDOW, |held_us| Duration::from_micros(u64::try_from(held_us).unwrap_or(0)));
    until.since(now).min(longest)
}

/// Three amounts that stand side by side in a row, in spend order.
pub(super) fn buckets(row: &Row, first: usize) -> Result<Buckets, StoreError> {
    Ok(Buckets {
        free: MicroUsd::from_micros(row.i64(first)?),
        bonus: MicroUsd::from_micros(row.i64(first + 1)?),
        cash: MicroUsd::from_micros(row.i64(first + 2)?),
    })
}
