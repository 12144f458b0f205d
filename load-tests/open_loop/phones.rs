//! Distinct valid phones over all served prefixes, by index.
//!
//! `load-tests/otp.lua` numbers them in the same way. Numbers that end in `0000NN` are left out: they force an outcome of
//! the simulator.

use anyhow::ensure;

/// Subscriber numbers of one prefix: six digits, from 000100 on.
const PER_PREFIX: u64 = 999_900;

pub struct Phones {
    prefixes: Vec<String>,
}

impl Phones {
    pub fn new(prefixes: Vec<String>) -> anyhow::Result<Self> {
        let sane = |prefix: &String| prefix.len() == 3 && prefix.bytes().all(|b| b.is_ascii_digit());
        ensure!(!prefixes.is_empty() && prefixes.iter().all(sane), "prefixes are three national digits each");
        Ok(Self { prefixes })
    }

    /// The nine national digits of the phone of index `n`; they repeat after 999,900 numbers of every prefix.
    pub fn nth(&self, n: u64) -> String {
        let count = u64::try_from(self.prefixes.len()).unwrap_or(1);
        let prefix = &self.prefixes[usize::try_from(n % count).unwrap_or(0)];
        format!("{prefix}{:06}", 100 + (n / count) % PER_PREFIX)
    }
}
