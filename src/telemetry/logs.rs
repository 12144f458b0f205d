//! Logs: structured lines to stderr, as text or JSON.
//!
//! Installed once, by a command, before anything can fail. Standard output stays free for what a command answers.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

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
}

/// Sends every event that passes `filter` (e.g. `nexo_route=debug,info`) to stderr.
///
/// # Errors
/// [`LogsError`] for a filter that does not parse, or if a subscriber is installed already.
pub fn install(format: Format, filter: &str) -> Result<(), LogsError> {
    let filter = EnvFilter::builder().parse(filter)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let installed = match format {
        Format::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        Format::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init(),
    };
    installed.map_err(|_| LogsError::Installed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_does_not_parse_is_refused() {
        assert!(matches!(install(Format::Text, "nexo_route=loud,,="), Err(LogsError::Filter(_))));
    }
}
