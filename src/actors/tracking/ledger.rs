//! What a settler asks of the database: to write a batch of ends, moves and answers, and whose ends it holds.
//!
//! It never tries again: that is the settler's.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::records::idempotency::{AnswerRecord, record_answers};
use crate::records::settlement::{self, Move, Settlement, Settlements, settle_and_move, settle_unwaited};
use crate::store::{CommitError, Store, StoreError, Tx, Writer};

/// What one transaction writes.
#[derive(Clone, Debug, Default)]
pub(super) struct Batch {
    pub(super) settlements: Vec<Settlement>,
    pub(super) answers: Vec<AnswerRecord>,
    pub(super) moves: Vec<Move>,
}

/// Whether a transaction waits for windows and wallets that other sessions hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Patience {
    Waits,
    /// What would have to wait comes back as postponed.
    Postpones,
}

/// The transaction; the store's in the house, a script in tests.
pub(super) trait Ledger: Send {
    fn settle(
        &mut self,
        batch: Arc<Batch>,
        patience: Patience,
    ) -> BoxFuture<'_, Result<Settlements, CommitError<Settlements>>>;

    /// Which ends of the batch, in their order, are those that the database holds.
    fn hold(&self, batch: Arc<Batch>) -> BoxFuture<'static, Result<Vec<bool>, StoreError>>;
}

pub(super) struct StoreLedger {
    store: Store,
    writer: Writer,
}

impl StoreLedger {
    pub(super) fn new(store: &Store) -> Self {
        Self { store: store.clone(), writer: store.writer() }
    }
}

impl Ledger for StoreLedger {
    fn settle(
        &mut self,
        batch: Arc<Batch>,
        patience: Patience,
    ) -> BoxFuture<'_, Result<Settlements, CommitError<Settlements>>> {
        Box::pin(self.writer.commit(None, move |tx| Box::pin(write(tx, Arc::clone(&batch), patience))))
    }

    fn hold(&self, batch: Arc<Batch>) -> BoxFuture<'static, Result<Vec<bool>, StoreError>> {
        let store = self.store.clone();
        let read = async move {
            store.read(move |tx| Box::pin(async move { settlement::hold(tx, &batch.settlements).await })).await
        };
        Box::pin(read)
    }
}

async fn write(tx: &Tx, batch: Arc<Batch>, patience: Patience) -> Result<Settlements, StoreError> {
    // The lock order: idempotency keys come first.
    if !batch.answers.is_empty() {
        record_answers(tx, &batch.answers).await?;
    }
    if batch.settlements.is_empty() && batch.moves.is_empty() {
        return Ok(Settlements::default());
    }
    match patience {
        Patience::Waits => settle_and_move(tx, &batch.settlements, &batch.moves).await,
        Patience::Postpones => settle_unwaited(tx, &batch.settlements, &batch.moves).await,
    }
}
