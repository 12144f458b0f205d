//! Why a POST failed, told from the errors of those below: sockets, TLS, HTTP.
//!
//! A fault is a fact that policies and metrics branch on; its detail is a short text for the customer's listing. Neither ever
//! holds a secret: what these errors print is about names, addresses, certificates and bytes of the answer's framing.

use std::error::Error;
use std::io::{self, ErrorKind};

use crate::domain::webhook::Fault;

/// The longest detail in characters.
const DETAIL_CHARS_MAX: usize = 200;

#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) fault: Fault,
    pub(crate) detail: String,
}

impl Failure {
    pub(crate) fn new(fault: Fault, detail: impl std::fmt::Display) -> Self {
        // Names in it can be the endpoint's: nothing of theirs may steer a terminal or turn a line around.
        let shown = |c: char| if c.is_ascii_graphic() { c } else { ' ' };
        Self { fault, detail: detail.to_string().chars().map(shown).take(DETAIL_CHARS_MAX).collect() }
    }

    /// Of a handshake: whatever is not the connection's end is about TLS.
    pub(crate) fn of_tls(error: &io::Error) -> Self {
        if tls_error(error).is_none() && is_end(error.kind()) {
            return Self::new(Fault::Reset, format_args!("the connection ended during the TLS handshake: {error}"));
        }
        Self::new(Fault::Tls, error)
    }

    /// Of a request or an answer.
    pub(crate) fn of_http(error: &hyper::Error) -> Self {
        // A request that was called off says why.
        let error = cause::<hyper::Error>(error).unwrap_or(error);
        let io = cause::<io::Error>(error);
        let fault = match io {
            Some(io) if tls_error(io).is_some() => Fault::Tls,
            Some(io) if is_end(io.kind()) => Fault::Reset,
            // hyper tells of a body's bad framing as of input.
            Some(_) => Fault::Protocol,
            None if error.is_incomplete_message() || error.is_canceled() || error.is_closed() => Fault::Reset,
            None => Fault::Protocol,
        };
        match io {
            Some(io) => Self::new(fault, format_args!("{error}: {io}")),
            None => Self::new(fault, error),
        }
    }
}

/// Whether a connection over TLS ended without TLS's own goodbye.
pub(crate) fn is_end_without_goodbye(error: &hyper::Error) -> bool {
    cause::<io::Error>(error).is_some_and(|io| io.kind() == ErrorKind::UnexpectedEof)
}

fn is_end(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::NotConnected
            | ErrorKind::UnexpectedEof
    )
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn cause<'e, E: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e E> {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate's names stand in its fault, and are whatever its endpoint wrote.
    #[test]
    fn a_detail_is_one_plain_line() {
        let failure = Failure::new(Fault::Tls, "not valid for \"a\u{1b}[2J\r\n\u{9b}31m\u{202e}b\u{2028}é\"");
        assert_eq!(failure.detail, "not valid for \"a [2J   31m b  \"");
        assert_eq!(Failure::new(Fault::Tls, "a".repeat(1_000)).detail.len(), DETAIL_CHARS_MAX);
    }
}
