//! Round trips on one connection to Postgres, counted from the messages that pass.
//!
//! A request that is sent while an earlier one is unanswered costs no time of its own; one that is sent when all are answered
//! begins a round trip. A ROLLBACK is not waited for: it begins none, and takes none from a request behind it. Round trips
//! are what a distance multiplies.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

const ROLLBACK: &[u8] = b"ROLLBACK\0";

/// The sum over all connections.
#[derive(Clone, Debug, Default)]
pub struct Counted(Arc<AtomicU64>);

impl Counted {
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    fn increment(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// One connection.
#[derive(Debug)]
pub struct RoundTrips {
    counted: Counted,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    asked: Messages,
    answered: Messages,
    /// Whether each is waited for.
    unanswered: VecDeque<bool>,
}

impl RoundTrips {
    pub fn new(counted: Counted) -> Self {
        // What a client says first has no type.
        let state = State { asked: Messages::new(false), answered: Messages::new(true), unanswered: VecDeque::new() };
        Self { counted, state: Mutex::new(state) }
    }

    /// Bytes on their way to the server.
    pub fn asks(&self, bytes: &[u8]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for (kind, body) in state.asked.take(bytes) {
            match kind {
                // A request, which is answered by ReadyForQuery: a simple query, or Sync after an extended one, or the start.
                b'Q' | b'S' | 0 => {
                    let is_waited_for = body != ROLLBACK;
                    if is_waited_for && !state.unanswered.contains(&true) {
                        self.counted.increment();
                    }
                    state.unanswered.push_back(is_waited_for);
                }
                // A step of the authentication answers the one before.
                b'p' => self.counted.increment(),
                _ => {}
            }
        }
    }

    /// Whether the server owes nothing.
    pub fn all_answered(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).unanswered.is_empty()
    }

    /// Bytes on their way back.
    pub fn answers(&self, bytes: &[u8]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for (kind, _) in state.answered.take(bytes) {
            if kind == b'Z' {
                state.unanswered.pop_front();
            }
        }
    }
}

/// Cuts a stream into messages.
#[derive(Debug)]
struct Messages {
    bytes: Vec<u8>,
    /// Whether the next message begins with its type.
    typed: bool,
}

impl Messages {
    const fn new(typed: bool) -> Self {
        Self { bytes: Vec::new(), typed }
    }

    /// The messages that are whole now, each with its type (0 where it has none) and body.
    fn take(&mut self, bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
        self.bytes.extend_from_slice(bytes);
        let mut messages = Vec::new();
        loop {
            let head = usize::from(self.typed);
            let Some(length) = self.bytes.get(head..head + 4).and_then(|bytes| bytes.first_chunk().copied()) else {
                return messages;
            };
            let end = head + u32::from_be_bytes(length) as usize;
            if self.bytes.len() < end {
                return messages;
            }
            let message: Vec<u8> = self.bytes.drain(..end).collect();
            messages.push((if self.typed { message[0] } else { 0 }, message[head + 4..].to_vec()));
            self.typed = true;
        }
    }
}
