//! Attempts as their owner sees them: what was sent, what came back, newest first.
//!
//! Every query is scoped by the account; what is another's does not exist. Bodies and exchanges are opened here.

use std::sync::Arc;

use crate::domain::ids::{AccountId, AttemptId, DeliveryId, EndpointId};
use crate::domain::sealing::Keyring;
use crate::domain::time::{Timestamp, duration_micros};
use crate::domain::webhook::{AttemptState, Cause, EventType, Fault, Outcome, Phases, UNKNOWN_AFTER};
use crate::store::{Row, Scalar, Statement, Store, StoreError, Tx, Type};

/// How many rows one page of a filtered list looks through: a filter that matches nothing must not scan an account's
/// whole past in one request.
const SCAN_MAX: i64 = 10_000;

/// One attempt, opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedAttempt {
    pub id: AttemptId,
    pub endpoint: EndpointId,
    pub delivery: DeliveryId,
    pub event: EventType,
    pub cause: Cause,
    pub number: u32,
    pub state: AttemptState,
    pub http_status: Option<u16>,
    pub fault: Option<Fault>,
    pub phases: Phases,
    pub started_at: Timestamp,
    pub completed_at: Option<Timestamp>,
    /// The request's head as it was sent; empty while that is not known.
    pub request: String,
    pub body: String,
    /// The answer's status and the beginning of its body.
    pub response: String,
}

/// Which part of a list is wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AttemptPage {
    /// 1–100.
    pub limit: usize,
    pub starting_after: Option<AttemptId>,
    pub endpoint: Option<EndpointId>,
    pub delivery: Option<DeliveryId>,
    pub state: Option<AttemptState>,
}

/// One page, newest first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AttemptListing {
    pub data: Vec<ListedAttempt>,
    pub has_more: bool,
    /// Where the next page starts; with a filter it may lie beyond the last attempt shown.
    pub next_cursor: Option<AttemptId>,
}

/// Why there is no page.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ListError {
    /// The cursor is not an attempt of this account.
    #[error("the cursor is not one of this account's attempts")]
    BadCursor,
    #[error(transparent)]
    Store(#[from] StoreError),
}

static KNOWN: Statement = Statement::new(
    "webhook_attempts.known",
    &[],
    &[Type::Id, Type::Id],
    "SELECT id FROM webhook_attempts WHERE account = $1 AND id = $2",
);

static LIST: Statement = Statement::new(
    "webhook_attempts.list",
    &[],
    &[Type::Id, Type::Id, Type::I64, Type::I64, Type::Id, Type::I64, Type::I64],
    "SELECT a.id, a.endpoint, a.delivery, a.event, a.cause, a.number, a.started_us, a.body_sealed, x.outcome, \
     x.http_status, x.fault, x.dns_us, x.connect_us, x.tls_us, x.wait_us, x.total_us, x.completed_us, x.exchange_sealed, \
     {now_us} - a.started_us FROM \
     (SELECT * FROM webhook_attempts WHERE account = $1 AND id < $2 ORDER BY account DESC, id DESC LIMIT $3) AS a \
     LEFT JOIN webhook_results x ON x.attempt = a.id WHERE ($5 IS NULL OR a.endpoint = $5) AND ($6 < 0 OR \
     COALESCE(CASE WHEN x.outcome = 3 AND x.fault = 'expired' THEN 5 ELSE x.outcome END, \
     CASE WHEN {now_us} - a.started_us < $7 THEN 0 ELSE 4 END) = $6) ORDER BY a.id DESC LIMIT $4",
);

// The inner limit keeps the outer order from choosing another index than that of the delivery.
static LIST_OF_DELIVERY: Statement = Statement::new(
    "webhook_attempts.list_of_delivery",
    &[],
    &[Type::Id, Type::Id, Type::I64, Type::I64, Type::Id, Type::I64, Type::I64, Type::Id],
    "SELECT a.id, a.endpoint, a.delivery, a.event, a.cause, a.number, a.started_us, a.body_sealed, x.outcome, \
     x.http_status, x.fault, x.dns_us, x.connect_us, x.tls_us, x.wait_us, x.total_us, x.completed_us, x.exchange_sealed, \
     {now_us} - a.started_us FROM (SELECT * FROM webhook_attempts WHERE delivery = $8 LIMIT $3) AS a \
     LEFT JOIN webhook_results x ON x.attempt = a.id WHERE a.account = $1 AND a.id < $2 \
     AND ($5 IS NULL OR a.endpoint = $5) AND ($6 < 0 OR \
     COALESCE(CASE WHEN x.outcome = 3 AND x.fault = 'expired' THEN 5 ELSE x.outcome END, \
     CASE WHEN {now_us} - a.started_us < $7 THEN 0 ELSE 4 END) = $6) ORDER BY a.id DESC LIMIT $4",
);

static LAST_SCANNED: Statement = Statement::new(
    "webhook_attempts.last_scanned",
    &[],
    &[Type::Id, Type::Id, Type::I64],
    "SELECT id FROM webhook_attempts WHERE account = $1 AND id < $2 ORDER BY account DESC, id DESC LIMIT 1 OFFSET $3",
);

/// Reads attempts; cheap to clone.
#[derive(Clone, Debug)]
pub struct Attempts {
    store: Store,
    keyring: Arc<Keyring>,
}

impl Attempts {
    #[must_use]
    pub fn new(store: Store, keyring: Arc<Keyring>) -> Self {
        Self { store, keyring }
    }

    /// One page of the account's attempts, newest first.
    ///
    /// # Errors
    /// [`ListError::BadCursor`] for a cursor that is not one of this account's attempts.
    pub async fn list(&self, account: AccountId, page: &AttemptPage) -> Result<AttemptListing, ListError> {
        let wanted = page.clone();
        let found =
            self.store.read_for_customer(move |tx| Box::pin(async move { scan(tx, account, &wanted).await })).await?;
        let Some(Scanned { rows, to }) = found else { return Err(ListError::BadCursor) };
        // Opened here and not in the transaction: no connection waits for the cipher.
        let shown = rows.iter().take(page.limit);
        let data = shown.map(|row| open(row, &self.keyring)).collect::<Result<Vec<_>, _>>()?;
        let last_shown = data.last().map(|attempt| attempt.id);
        if rows.len() > page.limit {
            return Ok(AttemptListing { data, has_more: true, next_cursor: last_shown });
        }
        Ok(AttemptListing { data, has_more: to.is_some(), next_cursor: to.or(last_shown) })
    }
}

/// The rows of a page and one more if there is one.
struct Scanned {
    rows: Vec<Row>,
    /// Where the scan of a filtered page that is not full stopped, if it was before the end of the list.
    to: Option<AttemptId>,
}

/// Reads a page; `None` if its cursor is not an attempt of the account.
async fn scan(tx: &Tx, account: AccountId, page: &AttemptPage) -> Result<Option<Scanned>, StoreError> {
    let after = page.starting_after.unwrap_or(AttemptId::from_bytes([0xff; 16]));
    let (of_account, from) = (Scalar::Id(*account.as_bytes()), Scalar::Id(*after.as_bytes()));
    if page.starting_after.is_some() && tx.query(&KNOWN, &[], &[of_account, from]).await?.is_empty() {
        return Ok(None);
    }
    let limit = i64::try_from(page.limit).unwrap_or(i64::MAX).saturating_add(1);
    let filtered = page.endpoint.is_some() || page.state.is_some();
    let reach = if filtered || page.delivery.is_some() { SCAN_MAX } else { limit };
    let mut scalars = vec![
        of_account,
        from,
        Scalar::I64(reach),
        Scalar::I64(limit),
        Scalar::OptId(page.endpoint.map(|endpoint| *endpoint.as_bytes())),
        Scalar::I64(page.state.map_or(-1, state_number)),
        Scalar::I64(duration_micros(UNKNOWN_AFTER)),
    ];
    if let Some(delivery) = page.delivery {
        scalars.push(Scalar::Id(*delivery.as_bytes()));
        let rows = tx.query(&LIST_OF_DELIVERY, &[], &scalars).await?;
        return Ok(Some(Scanned { rows, to: None }));
    }
    let rows = tx.query(&LIST, &[], &scalars).await?;
    if !filtered || rows.len() > page.limit {
        return Ok(Some(Scanned { rows, to: None }));
    }
    let last = tx.query(&LAST_SCANNED, &[], &[of_account, from, Scalar::I64(SCAN_MAX - 1)]).await?;
    let to = last.first().map(|row| row.id(0).map(AttemptId::from_bytes)).transpose()?;
    Ok(Some(Scanned { rows, to }))
}

/// How the statements above number a state: an outcome by its own number, 0 while it is sent, 4 if it is unknown, 5 if it is
/// one that was discarded because it expired.
const fn state_number(state: AttemptState) -> i64 {
    match state {
        AttemptState::Sending => 0,
        AttemptState::Unknown => 4,
        AttemptState::Expired => 5,
        AttemptState::Ended(outcome) => outcome.number(),
    }
}

fn open(row: &Row, keyring: &Keyring) -> Result<ListedAttempt, StoreError> {
    let malformed = |what: &str| StoreError::Internal(format!("an attempt's {what} cannot be read"));
    let id = AttemptId::from_bytes(row.id(0)?);
    let outcome = row.opt_i64(8)?.map(|number| Outcome::from_number(number).ok_or_else(|| malformed("outcome")));
    let fault = row.opt_text(10)?.and_then(|fault| Fault::from_name(&fault));
    let state = match outcome.transpose()? {
        Some(Outcome::Discarded) if fault == Some(Fault::Expired) => AttemptState::Expired,
        Some(outcome) => AttemptState::Ended(outcome),
        None if row.i64(18)? < duration_micros(UNKNOWN_AFTER) => AttemptState::Sending,
        None => AttemptState::Unknown,
    };
    let body = keyring.open_body(id, &row.bytes(7)?).ok_or_else(|| malformed("body"))?;
    let exchange = row.opt_bytes(17)?.map(|sealed| keyring.open_exchange(id, &sealed));
    let exchange = exchange.map(|opened| opened.ok_or_else(|| malformed("exchange"))).transpose()?.unwrap_or_default();
    let (request, response) = split_exchange(&String::from_utf8_lossy(&exchange));
    let micros = |at: usize| row.opt_i64(at).map(Option::unwrap_or_default);
    Ok(ListedAttempt {
        id,
        endpoint: EndpointId::from_bytes(row.id(1)?),
        delivery: DeliveryId::from_bytes(row.id(2)?),
        event: EventType::from_number(row.i64(3)?).ok_or_else(|| malformed("event"))?,
        cause: Cause::from_number(row.i64(4)?).ok_or_else(|| malformed("cause"))?,
        number: u32::try_from(row.i64(5)?).map_err(|_| malformed("number"))?,
        state,
        http_status: row
            .opt_i64(9)?
            .map(|status| u16::try_from(status).map_err(|_| malformed("status")))
            .transpose()?,
        fault,
        phases: Phases {
            dns_us: micros(11)?,
            connect_us: micros(12)?,
            tls_us: micros(13)?,
            wait_us: micros(14)?,
            total_us: micros(15)?,
        },
        started_at: Timestamp::from_micros(row.i64(6)?),
        completed_at: row.opt_i64(16)?.map(Timestamp::from_micros),
        request,
        body: String::from_utf8_lossy(&body).into_owned(),
        response,
    })
}

/// The request's head ends at the first empty line; what follows is the answer.
fn split_exchange(text: &str) -> (String, String) {
    let ends = ["\r\n\r\n", "\n\n"].into_iter().filter_map(|end| text.find(end).map(|at| (at, end.len())));
    match ends.min() {
        Some((at, length)) => (text[..at].to_owned(), text[at + length..].to_owned()),
        None => (text.to_owned(), String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exchange_is_taken_apart_at_its_first_empty_line() {
        let apart = |text| split_exchange(text);
        let pair = |request: &str, response: &str| (request.to_owned(), response.to_owned());
        assert_eq!(
            apart("POST / HTTP/1.1\r\nHost: a\r\n\r\n200\r\n\r\nok"),
            pair("POST / HTTP/1.1\r\nHost: a", "200\r\n\r\nok")
        );
        assert_eq!(apart("POST /\nHost: a\n\n200\r\n\r\nok"), pair("POST /\nHost: a", "200\r\n\r\nok"));
        assert_eq!(apart("POST /"), pair("POST /", ""));
        assert_eq!(apart(""), pair("", ""));
    }
}
