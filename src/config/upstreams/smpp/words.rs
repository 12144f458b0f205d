//! What an SMSC's own words in receipts say of a delivery.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::config::upstreams::http::Class;
use crate::config::upstreams::stands_twice;

/// More letters than any SMSC's word has.
const WORD_LEN_MAX: usize = 32;

/// Words of `stat:` in either case, or numbers of `message_state`. What stands nowhere here is read by the book.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReceiptWords {
    pub delivered: Vec<String>,
    pub in_progress: Vec<String>,
    pub failed: BTreeMap<String, Class>,
}

impl ReceiptWords {
    /// What is wrong with them.
    pub(super) fn check(&self) -> Result<(), String> {
        let all = || self.delivered.iter().chain(&self.in_progress).chain(self.failed.keys()).map(String::as_str);
        // A word of a receipt ends where one of these stands.
        let is_word = |word: &str| {
            (1..=WORD_LEN_MAX).contains(&word.len())
                && word.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b',' | b';'))
        };
        if let Some(word) = all().find(|word| !is_word(word)) {
            return Err(format!("{word:?} is not 1 to {WORD_LEN_MAX} visible characters without a comma or semicolon"));
        }
        stands_twice(all()).map_or(Ok(()), Err)
    }
}
