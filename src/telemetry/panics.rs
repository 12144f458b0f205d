//! What a panic leaves: one count, and one line that says where, without what it held.
//!
//! The hook cannot panic itself: it formats no value of the program, takes no lock that a panicking thread may hold, and a
//! line that cannot be written is dropped. It waits a moment for its line, because a second panic of the thread aborts.

use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use super::logs::{self, Format};
use crate::domain::json::write_string;

static COUNT: AtomicU64 = AtomicU64::new(0);

/// Replaces the panic hook by one that counts, and logs where it happened without the payload: a message may hold what a
/// row or a request held. Only the text of a plain assertion (a literal of our own) is shown.
pub fn install_panic_hook() {
    std::panic::set_hook(Box::new(|panic| {
        COUNT.fetch_add(1, Ordering::Relaxed);
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        logs::say_urgently(&line(logs::format(), &location(panic), thread, literal(panic)));
    }));
}

/// Panics since the hook was installed.
pub(super) fn count() -> u64 {
    COUNT.load(Ordering::Relaxed)
}

/// The line as the logs have theirs; of a command that has no logs, as it says anything else.
fn line(format: Option<Format>, at: &str, thread: &str, message: &str) -> String {
    const TARGET: &str = "nexo_route::telemetry";
    match format {
        None => format!("nexo-route: panicked at {at}: {message}"),
        Some(Format::Text) => {
            format!("{} ERROR {TARGET}: panicked at={at} thread={thread:?} text={message:?}", now())
        }
        Some(Format::Json) => {
            let (now, mut json) = (now(), Vec::with_capacity(256));
            let fields = [
                ("timestamp", now.as_str()),
                ("level", "ERROR"),
                ("message", "panicked"),
                ("at", at),
                ("thread", thread),
                ("text", message),
                ("target", TARGET),
            ];
            for (index, (name, value)) in fields.into_iter().enumerate() {
                json.extend_from_slice(if index == 0 { b"{\"" } else { b",\"" });
                json.extend_from_slice(name.as_bytes());
                json.extend_from_slice(b"\":");
                write_string(&mut json, value);
            }
            json.push(b'}');
            String::from_utf8_lossy(&json).into_owned()
        }
    }
}

/// As the other lines have it.
fn now() -> String {
    let mut text = String::new();
    let _written = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}

fn location(panic: &PanicHookInfo<'_>) -> String {
    panic.location().map_or_else(|| "unknown".to_owned(), |at| format!("{}:{}", at.file(), at.line()))
}

/// A payload that is a `&'static str` is a literal of the source, without values; anything else was formatted.
fn literal(panic: &PanicHookInfo<'_>) -> &'static str {
    panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("[withheld: it may hold values]")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    #[test]
    fn a_panic_hook_shows_literals_only() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let previous = std::panic::take_hook();
        let sink = Arc::clone(&seen);
        std::panic::set_hook(Box::new(move |panic| {
            sink.lock().unwrap_or_else(PoisonError::into_inner).push((location(panic), literal(panic)));
        }));
        let code = "123456";
        let _ = std::thread::Builder::new().spawn(|| panic!("a literal")).expect("spawns").join();
        let _ = std::thread::Builder::new().spawn(move || panic!("code {code}")).expect("spawns").join();
        std::panic::set_hook(previous);
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let here = "src/telemetry/panics.rs:";
        assert!(seen.iter().any(|(at, text)| at.starts_with(here) && *text == "a literal"), "{seen:?}");
        assert!(seen.iter().all(|(_, text)| !text.contains(code)), "{seen:?}");
    }

    #[test]
    fn its_line_is_like_the_other_lines() {
        let of = |format| line(format, "src/a.rs:7", "engine", "it \"broke\"");
        assert_eq!(of(None), "nexo-route: panicked at src/a.rs:7: it \"broke\"");
        let text = of(Some(Format::Text));
        let (at, rest) = text.split_once(' ').expect("a time");
        assert!(at.ends_with('Z') && at.len() > 20, "{text}");
        let expected =
            "ERROR nexo_route::telemetry: panicked at=src/a.rs:7 thread=\"engine\" text=\"it \\\"broke\\\"\"";
        assert_eq!(rest, expected);
        let json = of(Some(Format::Json));
        let (head, rest) = json.split_once("\",\"level\"").expect("a time");
        assert!(head.starts_with("{\"timestamp\":\"") && head.ends_with('Z'), "{json}");
        let expected = r#":"ERROR","message":"panicked","at":"src/a.rs:7","thread":"engine","text":"it \"broke\"","target":"nexo_route::telemetry"}"#;
        assert_eq!(rest, expected);
    }
}
