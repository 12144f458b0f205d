//! Standard output: the one place that writes to it. Answers go there, as text or as one line of JSON; what went wrong goes
//! to standard error, and with `--json` to both.

use std::borrow::Cow;
use std::fmt::Write as _;
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
        say(&if self.json { harmless_json(&answer.json) } else { harmless(&answer.text) });
        ExitCode::from(answer.code)
    }

    pub(super) fn refuse(self, error: &CliError) -> ExitCode {
        let message = error.to_string();
        if self.json {
            say(&harmless_json(&Answer::new(&Refusal { ok: false, error: error.name(), message: &message }, "").json));
        }
        let _ = writeln!(std::io::stderr().lock(), "nexo-route: {}", harmless(&message));
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

/// Whether a terminal may take it for a command, or turn the rest of its line around. What endpoints have answered and
/// customers have sent is printed too.
fn is_harmful(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || (c.is_control() && c != '\n') || matches!(c, '\u{2028}' | '\u{2029}')
}

fn harmless(text: &str) -> Cow<'_, str> {
    if text.contains(is_harmful) { Cow::Owned(text.replace(is_harmful, "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// The same text to whoever reads JSON: what is harmful stands inside strings, and can be escaped there.
fn harmless_json(json: &str) -> Cow<'_, str> {
    if !json.contains(is_harmful) {
        return Cow::Borrowed(json);
    }
    let mut escaped = String::with_capacity(json.len() + 64);
    for c in json.chars() {
        if is_harmful(c) {
            let _ = write!(escaped, "\\u{:04x}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
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

    /// Colours, a title, a C1 introducer, DEL, a line turned around, a line that overwrites another.
    const EVIL: &str = "\u{1b}[31m\u{1b}]0;t\u{7}\u{9b}2J\u{7f}\u{202e}evil\u{2028}a\rb\u{1F4DE}é";

    #[test]
    fn nothing_that_is_printed_steers_a_terminal() {
        let text = harmless(EVIL);
        assert!(!text.contains(is_harmful), "{text:?}");
        assert!(text.contains("evil") && text.ends_with("b\u{1F4DE}é"), "{text:?}");
        assert!(matches!(harmless("a plain line\nand another"), Cow::Borrowed(_)));
    }

    #[test]
    fn json_for_a_terminal_reads_as_the_same_json() {
        let mut json = b"{\"response\":".to_vec();
        crate::domain::json::write_string(&mut json, EVIL);
        json.push(b'}');
        let json = String::from_utf8(json).expect("text");
        let shown = harmless_json(&json);
        assert!(!shown.contains(is_harmful), "{shown:?}");
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
        assert_eq!(read(&shown), read(&json));
        assert_eq!(read(&shown)["response"], EVIL);
    }

    #[test]
    fn money_has_all_its_places() {
        let wallet = Buckets { free: MicroUsd::from_micros(1), ..Buckets::default() };
        let json = serde_json::to_string(&WalletJson::from(wallet)).expect("plain");
        let expected = r#"{"balance":"0.000","bonus_credit":"0.000","free_credit":"0.000001","total":"0.000001"}"#;
        assert_eq!(json, expected);
    }
}
