//! Standard output: the one place that writes to it. Answers go there, as text or as one line of JSON; what went wrong goes
//! to standard error, and with `--json` to both.
//!
//! An answer that cannot be written is a failure of its own (74): a script must not take silence for an answer. A daemon goes
//! on without.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::process::ExitCode;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use serde::Serialize;

use super::error::{CliError, UNWRITTEN};
use crate::domain::money::{Buckets, MicroUsd};
use crate::telemetry::logs;

/// How long a process that ends waits for its last word to be read.
const SAY_WITHIN: Duration = Duration::from_secs(1);

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
    /// What the operator is to do if the answer was lost on its way.
    if_lost: Option<String>,
}

impl Answer {
    pub(super) fn new(json: &impl Serialize, text: impl Into<String>) -> Self {
        let json =
            serde_json::to_string(json).unwrap_or_else(|error| format!("{{\"ok\":false,\"error\":\"{error}\"}}"));
        Self { json, text: text.into(), code: 0, if_lost: None }
    }

    /// An answer whose JSON is written already.
    pub(super) fn of_json(json: &[u8], text: impl Into<String>) -> Self {
        Self { json: String::from_utf8_lossy(json).into_owned(), text: text.into(), code: 0, if_lost: None }
    }

    pub(super) const fn with_code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// Says what is to be done if nobody gets to see it, where it cannot be asked for again.
    pub(super) fn or_if_lost(mut self, advice: impl Into<String>) -> Self {
        self.if_lost = Some(advice.into());
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

    /// Says it and gives the exit code, on a thread of its own: a signal must end a command whose reader stands still.
    pub(super) async fn answer(self, answer: Answer) -> Result<ExitCode, CliError> {
        let said = tokio::task::spawn_blocking(move || self.answer_now(&answer)).await;
        said.map_err(|error| CliError::Internal(error.to_string()))
    }

    /// Bad news keep their exit code, heard or not.
    fn answer_now(self, answer: &Answer) -> ExitCode {
        let Err(error) = self.write(answer) else { return ExitCode::from(answer.code) };
        let advice = answer.if_lost.as_deref().unwrap_or("what the command did stands");
        let why = format!("the answer could not be written to standard output: {error}; {advice}");
        logs::say(&format!("nexo-route: {}", harmless(&why)));
        ExitCode::from(if answer.code == 0 { UNWRITTEN } else { answer.code })
    }

    /// Says where a daemon listens, which goes on if it is not heard, and does not wait for that.
    pub(super) fn announce(self, answer: Answer) {
        let _goes_on = tokio::task::spawn_blocking(move || {
            if let Err(error) = self.write(&answer) {
                tracing::warn!(%error, "standard output cannot be written: going on without it");
            }
        });
    }

    fn write(self, answer: &Answer) -> io::Result<()> {
        say(&if self.json { harmless_json(&answer.json) } else { harmless(&answer.text) })
    }

    pub(super) fn refuse(self, error: &CliError) -> ExitCode {
        let message = error.to_string();
        if self.json {
            let refusal = Answer::new(&Refusal { ok: false, error: error.name(), message: &message }, "");
            say_in_time(harmless_json(&refusal.json).into_owned());
        }
        logs::say(&format!("nexo-route: {}", harmless(&message)));
        ExitCode::from(error.exit_code())
    }
}

/// What the argument parser has to say: help and version are answers, anything else is wrong usage.
pub(super) fn usage(error: &clap::Error) -> ExitCode {
    let said = error.print().and_then(|()| io::stdout().flush());
    match (error.use_stderr(), said) {
        (true, _) => ExitCode::from(64),
        (false, Ok(())) => ExitCode::SUCCESS,
        (false, Err(_)) => ExitCode::from(UNWRITTEN),
    }
}

fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(format!("{text}\n").as_bytes()).and_then(|()| out.flush())
}

/// Says it unless standard output cannot be written or stands still: the exit code says it too.
fn say_in_time(text: String) {
    let (tell, said) = sync_channel(1);
    let told = std::thread::Builder::new().spawn(move || {
        let _gone_or_full = say(&text);
        let _gave_up = tell.send(());
    });
    if told.is_ok() {
        let _said_or_not = said.recv_timeout(SAY_WITHIN);
    }
}

/// Refuses to make a secret, which is shown once, for nobody: where standard output is closed (the runtime has put the null
/// device there then) or is the null device.
pub(super) fn must_be_seen() -> Result<(), CliError> {
    let (out, null) = (device(), std::fs::metadata("/dev/null").ok().map(|null| null.rdev()));
    if out.is_some() && out == null {
        let why = "standard output is closed or /dev/null: the secret, which is shown once, would be lost";
        return Err(CliError::Unseen(why.to_owned()));
    }
    Ok(())
}

/// The device that standard output is, if it is one.
fn device() -> Option<u64> {
    let out = File::from(io::stdout().as_fd().try_clone_to_owned().ok()?);
    Some(out.metadata().ok()?.rdev()).filter(|device| *device != 0)
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
