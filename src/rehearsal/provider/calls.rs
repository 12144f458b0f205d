//! The calls that were taken: by our id, by key and by phone. The oldest are forgotten.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::carrier::upstream::{FailureClass, ReceiptState};
use crate::domain::ids::DeliveryId;
use crate::domain::phone::Phone;

/// So many calls are remembered.
const CALLS_MAX: usize = 100_000;

#[derive(Debug)]
pub(super) struct Calls {
    phone_gap: Duration,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    calls: HashMap<DeliveryId, Call>,
    by_id: HashMap<String, DeliveryId>,
    by_key: HashMap<String, DeliveryId>,
    by_phone: HashMap<Phone, Instant>,
    order: VecDeque<DeliveryId>,
}

/// One call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) phone: Phone,
    /// Where its receipts are brought.
    pub(super) callback: Option<String>,
    /// The caller's own name for it, which receipts repeat.
    pub(super) client_ref: Option<String>,
    key: Option<String>,
    status: &'static str,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) struct Asked<'a> {
    pub(super) phone: Phone,
    pub(super) key: Option<String>,
    pub(super) callback: Option<&'a str>,
    pub(super) client_ref: Option<&'a str>,
}

/// What becomes of a call that is asked for.
#[derive(Debug)]
pub(super) enum Entry {
    New {
        id: String,
        delivery: DeliveryId,
    },
    /// It was taken before, under the same key.
    Known(String),
    /// The phone had one, and is free after this.
    Limited(Duration),
}

impl Calls {
    pub(super) fn new(phone_gap: Duration) -> Self {
        Self { phone_gap, book: Mutex::default() }
    }

    pub(super) fn enter(&self, asked: Asked<'_>) -> Entry {
        let Asked { phone, key, callback, client_ref } = asked;
        let mut book = self.book();
        let known = key.as_ref().and_then(|key| book.calls.get(book.by_key.get(key)?));
        if let Some(call) = known {
            return Entry::Known(call.id.clone());
        }
        let now = Instant::now();
        let since = book.by_phone.get(&phone).map(|at| now.saturating_duration_since(*at));
        if let Some(left) = since.and_then(|since| self.phone_gap.checked_sub(since)).filter(|left| !left.is_zero()) {
            return Entry::Limited(left);
        }
        let delivery = DeliveryId::from_bytes(rand::random());
        let id = format!("call-{:016x}", rand::random::<u64>());
        book.by_phone.insert(phone, now);
        book.by_id.insert(id.clone(), delivery);
        if let Some(key) = &key {
            book.by_key.insert(key.clone(), delivery);
        }
        let [callback, client_ref] = [callback, client_ref].map(|text| text.map(str::to_owned));
        let call = Call { id: id.clone(), phone, callback, client_ref, key, status: "queued" };
        book.calls.insert(delivery, call);
        book.order.push_back(delivery);
        while book.order.len() > CALLS_MAX {
            if let Some(oldest) = book.order.pop_front() {
                book.forget(oldest);
            }
        }
        Entry::New { id, delivery }
    }

    /// It was not taken after all.
    pub(super) fn leave(&self, delivery: DeliveryId) {
        self.book().forget(delivery);
    }

    /// A receipt of the call: the call, and the word for what became of it.
    pub(super) fn report(&self, delivery: DeliveryId, state: ReceiptState) -> Option<(Call, &'static str)> {
        let mut book = self.book();
        let call = book.calls.get_mut(&delivery)?;
        call.status = word(state);
        Some((call.clone(), call.status))
    }

    pub(super) fn status_of(&self, id: &str) -> Option<&'static str> {
        let book = self.book();
        book.calls.get(book.by_id.get(id)?).map(|call| call.status)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn forget(&mut self, delivery: DeliveryId) {
        let Some(call) = self.calls.remove(&delivery) else { return };
        self.by_id.remove(&call.id);
        self.by_phone.remove(&call.phone);
        if let Some(key) = &call.key {
            self.by_key.remove(key);
        }
    }
}

/// As `config/upstreams/tkc.toml` reads it.
const fn word(state: ReceiptState) -> &'static str {
    match state {
        ReceiptState::InProgress => "ringing",
        ReceiptState::Delivered => "answered",
        ReceiptState::Failed(FailureClass::Unreachable) => "no_answer",
        ReceiptState::Failed(FailureClass::InvalidNumber) => "invalid_number",
        ReceiptState::Failed(FailureClass::Expired) => "expired",
        ReceiptState::Failed(_) => "rejected",
    }
}
