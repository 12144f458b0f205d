//! What the centre saw, one line of JSON each, in the order of `n`: for whoever judges a client.
//!
//! A phone is masked; `token` is the same for the same phone (keyed with the password, so that it is stable over restarts and is
//! not undone by trying numbers). No line has a code. A line is written whole before the client can know of what it says.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::clock;
use crate::domain::phone::Phone;

/// The journal, or nothing where none was asked for.
#[derive(Debug)]
pub(super) struct Journal {
    file: Option<Mutex<Lines>>,
    key: Vec<u8>,
}

#[derive(Debug)]
struct Lines {
    file: File,
    n: u64,
}

/// What is told of one submit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Submitted<'a> {
    pub(super) session: u64,
    pub(super) sequence: u32,
    pub(super) phone: Phone,
    /// Of a message that was taken.
    pub(super) id: Option<&'a str>,
    /// `accepted`, `silent`, `cut`, or the status of the refusal.
    pub(super) answer: &'a str,
}

impl Journal {
    pub(super) fn open(path: Option<&Path>, key: &str) -> io::Result<Self> {
        let open = |path| OpenOptions::new().create(true).append(true).open(path);
        let file = path.map(open).transpose()?;
        Ok(Self { file: file.map(|file| Mutex::new(Lines { file, n: 0 })), key: key.as_bytes().to_vec() })
    }

    pub(super) fn submitted(&self, submitted: Submitted<'_>) {
        self.write(|| {
            let Submitted { session, sequence, phone, id, answer } = submitted;
            let token = self.token(phone);
            json!({"what": "submit", "session": session, "sequence": sequence, "phone": format!("{phone:?}"), "token": token,
                "id": id, "answer": answer})
        });
    }

    /// The client acknowledged a receipt, with `status`.
    pub(super) fn acknowledged(&self, session: u64, id: &str, state: &str, status: u32) {
        self.write(|| json!({"what": "receipt", "session": session, "id": id, "state": state, "status": status}));
    }

    /// A session is `bound` (as what) or `ended`.
    pub(super) fn session(&self, session: u64, what: &str, role: &str) {
        self.write(|| json!({"what": what, "session": session, "role": role}));
    }

    fn write(&self, line: impl FnOnce() -> Value) {
        let Some(file) = &self.file else { return };
        let mut line = line();
        let mut lines = file.lock().unwrap_or_else(PoisonError::into_inner);
        lines.n += 1;
        line["n"] = json!(lines.n);
        line["at_us"] = json!(clock::wall_now().micros());
        if let Err(error) = lines.file.write_all(format!("{line}\n").as_bytes()) {
            tracing::error!(%error, "the journal could not be written");
        }
    }

    fn token(&self, phone: Phone) -> String {
        let Ok(mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return String::new() };
        let digest = mac.chain_update(phone.national().to_be_bytes()).finalize().into_bytes();
        digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_whole_numbered_and_masked() {
        let path = std::env::temp_dir().join(format!("nexo-journal-{:016x}", rand::random::<u64>()));
        let phone = Phone::parse("+84981234567").expect("valid");
        let submitted = |answer| Submitted { session: 3, sequence: 9, phone, id: Some("5f"), answer };
        for _ in 0..2 {
            let journal = Journal::open(Some(&path), "secret").expect("opens");
            journal.submitted(submitted("accepted"));
            journal.acknowledged(3, "5f", "DELIVRD", 0);
        }
        let text = std::fs::read_to_string(&path).expect("reads");
        std::fs::remove_file(&path).expect("goes");
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines.iter().map(|line| line["n"].as_u64()).collect::<Vec<_>>(), [1, 2, 1, 2].map(Some));
        assert_eq!((&lines[0]["phone"], &lines[0]["answer"]), (&json!("+8498****567"), &json!("accepted")));
        assert_eq!(lines[0]["token"], lines[2]["token"], "stable over restarts");
        assert!(!text.contains("1234567"), "{text}");
    }
}
