//! Logs: structured lines to stderr, as text or JSON.
//!
//! Installed once, by a command, before anything can fail. Lines go through a queue of their own to one thread that writes
//! them (`line_queue`): nobody waits for a log that stands still, and one that cannot be written ends nothing. Standard
//! output stays free for what a command answers.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::line_queue::LineQueue;

static QUEUE: LineQueue = LineQueue::new();
/// Set when the writer runs; until then nothing may wait in the queue.
static INSTALLED: OnceLock<Format> = OnceLock::new();

/// How long a process that ends waits for its last lines.
pub const FLUSH_WITHIN: Duration = Duration::from_secs(1);
/// How long a panic waits for its line, for it may be the process's last.
const URGENT_WITHIN: Duration = Duration::from_millis(100);

/// How a line looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    Text,
    Json,
}

/// Why logs could not be installed.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    #[error("the filter is not valid: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    #[error("logs are installed already")]
    Installed,
    #[error("logs have no writer: {0}")]
    NoWriter(#[from] io::Error),
}

/// Sends every event that passes `filter` (e.g. `nexo_route=debug,info`) to stderr.
///
/// # Errors
/// [`LogsError`] for a filter that does not parse, if a subscriber is installed already, or without a thread for the writer.
pub fn install(format: Format, filter: &str) -> Result<(), LogsError> {
    let filter = EnvFilter::builder().parse(filter)?;
    // A descriptor of its own: a write that hangs would keep the lock of the standard library's.
    let log = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    // A line that cannot be formatted is not worth a message, which would go around the queue.
    let lines = tracing_subscriber::fmt().with_env_filter(filter).log_internal_errors(false).with_writer(Lines);
    let installed = match format {
        Format::Text => lines.with_ansi(io::stderr().is_terminal()).try_init(),
        Format::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init(),
    };
    installed.map_err(|_| LogsError::Installed)?;
    std::thread::Builder::new().name("log".into()).spawn(move || QUEUE.write_to(log))?;
    let _first = INSTALLED.set(format);
    Ok(())
}

/// Waits at most `within` until what was logged is written: to be called on every way out of the process.
pub fn flush(within: Duration) {
    if INSTALLED.get().is_some() {
        let _written = QUEUE.flush(within);
    }
}

/// Lines that could not be written since the start.
pub(super) fn lost() -> u64 {
    QUEUE.lost()
}

/// As what lines are written, once they are.
pub(super) fn format() -> Option<Format> {
    INSTALLED.get().copied()
}

/// Writes a line of plain text to stderr, behind all that was logged. That it cannot be written fails nothing.
pub fn say(text: &str) {
    write(text, |line| QUEUE.push(line));
}

/// The same for a line that may be the last before an abort.
pub(super) fn say_urgently(text: &str) {
    write(text, |line| QUEUE.push_and_wait(line, URGENT_WITHIN));
}

fn write(text: &str, queue: impl FnOnce(&[u8])) {
    let line = format!("{text}\n");
    if INSTALLED.get().is_some() {
        queue(line.as_bytes());
    } else {
        let _gone_or_full = io::stderr().write_all(line.as_bytes());
    }
}

/// Gives the queue whole events: the formatter writes each one at once.
struct Lines;

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        Self
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        QUEUE.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_does_not_parse_is_refused() {
        assert!(matches!(install(Format::Text, "nexo_route=loud,,="), Err(LogsError::Filter(_))));
    }
}
