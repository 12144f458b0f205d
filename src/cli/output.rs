//! Standard output: the one place that writes to it. Answers go there, as text or as one line of JSON; what went wrong goes
//! to standard error, and with `--json` to both.

use std::io::Write;
use std::process::ExitCode;

use serde::Serialize;

use super::error::CliError;
use crate::domain::money::{Buckets, MicroUsd};

/// How a command answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    json: bool,
}

/// What a command has to say.
#[derive(Debug)]
pub(super) struct Answer {
    json: String,
    text: String,
    /// 0, or 1 where the answer itself is bad news (`verify`).
    code: u8,
}

impl Answer {
    pub(super) fn new(json: &impl Serialize, text: impl Into<String>) -> Self {
        let json =
            serde_json::to_string(json).unwrap_or_else(|error| format!("{{\"ok\":false,\"error\":\"{error}\"}}"));
        Self { json, text: text.into(), code: 0 }
    }

    /// An answer whose JSON is written already.
    pub(super) fn of_json(json: &[u8], text: impl Into<String>) -> Self {
        Self { json: String::from_utf8_lossy(json).into_owned(), text: text.into(), code: 0 }
    }

    pub(super) const fn with_code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }
}

#[derive(Serialize)]
struct Refusal<'a> {
    ok: bool,
    error: &'static str,
    message: &'a str,
}

impl Output {
    pub(super) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Says it and gives the exit code. A reader that has gone away is no failure of the command.
    pub(super) fn answer(self, answer: &Answer) -> ExitCode {
        say(if self.json { &answer.json } else { &answer.text });
        ExitCode::from(answer.code)
    }

    pub(super) fn refuse(self, error: &CliError) -> ExitCode {
        let message = error.to_string();
        if self.json {
            say(&Answer::new(&Refusal { ok: false, error: error.name(), message: &message }, "").json);
        }
        let _ = writeln!(std::io::stderr().lock(), "nexo-route: {message}");
        ExitCode::from(error.exit_code())
    }
}

/// What the argument parser has to say: help and version are answers, anything else is wrong usage.
pub(super) fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(64) } else { ExitCode::SUCCESS }
}

fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// A wallet: exact decimals, as text so that no reader makes a float of them.
#[derive(Debug, Serialize)]
pub(super) struct WalletJson {
    balance: String,
    bonus_credit: String,
    free_credit: String,
    total: String,
}

impl From<Buckets> for WalletJson {
    fn from(wallet: Buckets) -> Self {
        let text = |amount: MicroUsd| amount.to_string();
        Self {
            balance: text(wallet.cash),
            bonus_credit: text(wallet.bonus),
            free_credit: text(wallet.free),
            total: text(wallet.total().unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_has_all_its_places() {
        let wallet = Buckets { free: MicroUsd::from_micros(1), ..Buckets::default() };
        let json = serde_json::to_string(&WalletJson::from(wallet)).expect("plain");
        let expected = r#"{"balance":"0.000","bonus_credit":"0.000","free_credit":"0.000001","total":"0.000001"}"#;
        assert_eq!(json, expected);
    }
}
