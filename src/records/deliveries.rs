//! Deliveries as their owner sees them: found by id, listed newest first.
//!
//! Every query is scoped by the account; what is another's does not exist. Phones and metadata are opened here and
//! nowhere below.

use std::collections::HashMap;
use std::sync::Arc;

use crate::domain::carrier::{Carrier, Channel};
use crate::domain::delivery::{FailureCode, Status};
use crate::domain::ids::{AccountId, DeliveryId};
use crate::domain::metadata::Metadata;
use crate::domain::money::MicroUsd;
use crate::domain::phone::Phone;
use crate::domain::sealing::Keyring;
use crate::domain::time::Timestamp;
use crate::records::acceptance::buckets;
use crate::store::{Column, Row, Scalar, Statement, Store, StoreError, Tx, Type};

/// How many rows one page of a filtered list looks through: a filter that matches nothing must not scan an account's
/// whole past in one request.
const SCAN_MAX: i64 = 20_000;

/// One delivery, opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    pub id: DeliveryId,
    pub phone: Phone,
    pub carrier: Carrier,
    pub channel: Channel,
    pub status: Status,
    pub cost: MicroUsd,
    /// The charge went back.
    pub refunded: bool,
    pub error_code: Option<FailureCode>,
    pub carrier_status: Option<String>,
    pub created_at: Timestamp,
    pub completed_at: Option<Timestamp>,
    pub metadata: Option<Metadata>,
}

/// Which part of a list is wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page {
    /// 1–100.
    pub limit: usize,
    pub starting_after: Option<DeliveryId>,
    pub status: Option<Status>,
    pub phone: Option<Phone>,
}

/// One page, newest first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listing {
    pub data: Vec<Delivery>,
    pub has_more: bool,
    /// Where the next page starts; with a filter it may lie beyond the last delivery shown.
    pub next_cursor: Option<DeliveryId>,
}

/// Why there is no page.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ListError {
    /// The cursor is not a delivery of this account.
    #[error("the cursor is not one of this account's deliveries")]
    BadCursor,
    #[error(transparent)]
    Store(#[from] StoreError),
}

static FIND: Statement = Statement::new(
    "deliveries.find",
    &[],
    &[Type::Id, Type::Id],
    "SELECT id, phone_sealed, metadata_sealed, carrier, channel, status, from_free, from_bonus, from_balance, \
     error_code, carrier_status, created_us, completed_us FROM deliveries WHERE account = $1 AND id = $2",
);

static LIST: Statement = Statement::new(
    "deliveries.list",
    &[],
    &[Type::Id, Type::Id, Type::I64],
    "SELECT id, phone_sealed, metadata_sealed, carrier, channel, status, from_free, from_bonus, from_balance, \
     error_code, carrier_status, created_us, completed_us FROM deliveries WHERE account = $1 AND id < $2 \
     ORDER BY account DESC, id DESC LIMIT $3",
);

static LIST_FILTERED: Statement = Statement::new(
    "deliveries.list_filtered",
    &[],
    &[Type::Id, Type::Id, Type::I64, Type::I64, Type::I64, Type::I64],
    "SELECT id, phone_sealed, metadata_sealed, carrier, channel, status, from_free, from_bonus, from_balance, \
     error_code, carrier_status, created_us, completed_us FROM \
     (SELECT * FROM deliveries WHERE account = $1 AND id < $2 ORDER BY account DESC, id DESC LIMIT $6) AS scanned \
     WHERE ($4 < 0 OR status = $4) AND ($5 = 0 OR phone_key = $5) ORDER BY id DESC LIMIT $3",
);

static LAST_SCANNED: Statement = Statement::new(
    "deliveries.last_scanned",
    &[],
    &[Type::Id, Type::Id, Type::I64],
    "SELECT id FROM deliveries WHERE account = $1 AND id < $2 ORDER BY account DESC, id DESC LIMIT 1 OFFSET $3",
);

static READ: Statement = Statement::new(
    "deliveries.read",
    &[Type::Id, Type::Id],
    &[],
    "WITH r(id, account) AS ({rows}) SELECT d.id, d.phone_sealed, d.metadata_sealed, d.carrier, d.channel, d.status, \
     d.from_free, d.from_bonus, d.from_balance, d.error_code, d.carrier_status, d.created_us, d.completed_us \
     FROM r JOIN deliveries d ON d.id = r.id AND d.account = r.account",
);

/// Reads deliveries; cheap to clone.
#[derive(Clone, Debug)]
pub struct Deliveries {
    store: Store,
    keyring: Arc<Keyring>,
}

impl Deliveries {
    #[must_use]
    pub fn new(store: Store, keyring: Arc<Keyring>) -> Self {
        Self { store, keyring }
    }

    /// The delivery, if it is this account's.
    ///
    /// # Errors
    /// [`StoreError`] if the database is out of reach.
    pub async fn find(&self, account: AccountId, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        let rows = self
            .store
            .read_for_customer(move |tx| Box::pin(async move { tx.query(&FIND, &[], &scope(account, id)).await }))
            .await?;
        rows.first().map(|row| open(row, &self.keyring)).transpose()
    }

    /// One page of the account's deliveries, newest first.
    ///
    /// # Errors
    /// [`ListError::BadCursor`] for a cursor that is not one of this account's deliveries.
    pub async fn list(&self, account: AccountId, page: &Page) -> Result<Listing, ListError> {
        let phone_key = page.phone.map_or(0, |phone| self.keyring.phone_key(phone).number());
        let wanted = page.clone();
        let found = self
            .store
            .read_for_customer(move |tx| Box::pin(async move { scan(tx, account, &wanted, phone_key).await }))
            .await?;
        let Some(Scanned { rows, to }) = found else { return Err(ListError::BadCursor) };
        // Opened here and not in the transaction: no connection waits for the cipher.
        let shown = rows.iter().take(page.limit);
        let data = shown.map(|row| open(row, &self.keyring)).collect::<Result<Vec<_>, _>>()?;
        let last_shown = data.last().map(|delivery| delivery.id);
        if rows.len() > page.limit {
            return Ok(Listing { data, has_more: true, next_cursor: last_shown });
        }
        Ok(Listing { data, has_more: to.is_some(), next_cursor: to.or(last_shown) })
    }
}

/// Those of the deliveries that are there, are of the account named with them, and can be opened.
pub(super) async fn read(
    tx: &Tx,
    keyring: &Keyring,
    wanted: &[(DeliveryId, AccountId)],
) -> Result<HashMap<DeliveryId, Delivery>, StoreError> {
    let columns = [
        Column::ids(wanted.iter().map(|(delivery, _)| delivery.as_bytes())),
        Column::ids(wanted.iter().map(|(_, account)| account.as_bytes())),
    ];
    let rows = tx.query(&READ, &columns, &[]).await?;
    Ok(rows.iter().filter_map(|row| open(row, keyring).ok()).map(|delivery| (delivery.id, delivery)).collect())
}

fn scope(account: AccountId, id: DeliveryId) -> [Scalar<'static>; 2] {
    [Scalar::Id(*account.as_bytes()), Scalar::Id(*id.as_bytes())]
}

/// The rows of a page and one more if there is one.
struct Scanned {
    rows: Vec<Row>,
    /// Where the scan of a filtered page that is not full stopped, if it was before the end of the list.
    to: Option<DeliveryId>,
}

/// Reads a page; `None` if its cursor is not a delivery of the account.
async fn scan(tx: &Tx, account: AccountId, page: &Page, phone_key: i64) -> Result<Option<Scanned>, StoreError> {
    let after = page.starting_after.unwrap_or(DeliveryId::from_bytes([0xff; 16]));
    if page.starting_after.is_some() && tx.query(&FIND, &[], &scope(account, after)).await?.is_empty() {
        return Ok(None);
    }
    let [of_account, from] = scope(account, after);
    let wanted = Scalar::I64(i64::try_from(page.limit).unwrap_or(i64::MAX).saturating_add(1));
    if page.status.is_none() && page.phone.is_none() {
        let rows = tx.query(&LIST, &[], &[of_account, from, wanted]).await?;
        return Ok(Some(Scanned { rows, to: None }));
    }
    let status = Scalar::I64(page.status.map_or(-1, Status::number));
    let scalars = [of_account, from, wanted, status, Scalar::I64(phone_key), Scalar::I64(SCAN_MAX)];
    let rows = tx.query(&LIST_FILTERED, &[], &scalars).await?;
    if rows.len() > page.limit {
        return Ok(Some(Scanned { rows, to: None }));
    }
    let last = tx.query(&LAST_SCANNED, &[], &[of_account, from, Scalar::I64(SCAN_MAX - 1)]).await?;
    let to = last.first().map(|row| row.id(0).map(DeliveryId::from_bytes)).transpose()?;
    Ok(Some(Scanned { rows, to }))
}

fn open(row: &Row, keyring: &Keyring) -> Result<Delivery, StoreError> {
    let malformed = |what: &str| StoreError::Internal(format!("a delivery's {what} cannot be read"));
    let id = DeliveryId::from_bytes(row.id(0)?);
    let metadata = row
        .opt_bytes(2)?
        .map(|sealed| keyring.open_metadata(id, &sealed).ok_or_else(|| malformed("metadata")))
        .transpose()?;
    let status = Status::from_number(row.i64(5)?).ok_or_else(|| malformed("status"))?;
    Ok(Delivery {
        id,
        phone: keyring.open_phone(id, &row.bytes(1)?).ok_or_else(|| malformed("phone"))?,
        carrier: Carrier::new(&row.text(3)?).ok_or_else(|| malformed("carrier"))?,
        channel: Channel::from_name(&row.text(4)?).ok_or_else(|| malformed("channel"))?,
        status,
        cost: buckets(row, 6)?.total().ok_or_else(|| malformed("cost"))?,
        refunded: status == Status::Failed,
        error_code: row.opt_text(9)?.and_then(|code| FailureCode::from_name(&code)),
        carrier_status: row.opt_text(10)?,
        created_at: Timestamp::from_micros(row.i64(11)?),
        completed_at: row.opt_i64(12)?.map(Timestamp::from_micros),
        metadata,
    })
}
