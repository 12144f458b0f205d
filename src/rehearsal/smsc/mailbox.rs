//! The receipts that the centre owes, in the order in which they fall due, for whichever session can deliver them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

use super::receipt::Receipt;

/// What is owed at most; a centre that is full takes no more messages.
const OWED_MAX: usize = 1_000_000;

#[derive(Debug)]
pub(super) struct Mailbox {
    owed: Mutex<Owed>,
    /// Something falls due earlier than all that was known.
    earlier: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Owed {
    due: BTreeMap<(Instant, u64), Receipt>,
    n: u64,
    /// Taken by a session that awaits the acknowledgement.
    in_hand: usize,
}

impl Default for Mailbox {
    fn default() -> Self {
        Self { owed: Mutex::default(), earlier: watch::Sender::new(()) }
    }
}

impl Mailbox {
    pub(super) fn owe(&self, due: Instant, receipt: Receipt) {
        let mut owed = self.lock();
        owed.n += 1;
        let key = (due, owed.n);
        let earlier = owed.due.first_key_value().is_none_or(|(first, _)| key < *first);
        owed.due.insert(key, receipt);
        drop(owed);
        if earlier {
            self.earlier.send_replace(());
        }
    }

    /// The first receipt that is due, or when the first one will be.
    pub(super) fn take(&self, now: Instant) -> Result<Receipt, Option<Instant>> {
        let mut owed = self.lock();
        match owed.due.first_entry() {
            Some(first) if first.key().0 <= now => {
                let receipt = first.remove();
                owed.in_hand += 1;
                Ok(receipt)
            }
            later => Err(later.map(|first| first.key().0)),
        }
    }

    /// What a session took is done with.
    pub(super) fn done(&self) {
        self.lock().in_hand -= 1;
    }

    /// What a session took was not acknowledged: it is owed again.
    pub(super) fn give_back(&self, due: Instant, receipt: Receipt) {
        self.done();
        self.owe(due, receipt);
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<()> {
        self.earlier.subscribe()
    }

    pub(super) fn owed(&self) -> usize {
        let owed = self.lock();
        owed.due.len() + owed.in_hand
    }

    pub(super) fn is_full(&self) -> bool {
        self.owed() >= OWED_MAX
    }

    fn lock(&self) -> MutexGuard<'_, Owed> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
