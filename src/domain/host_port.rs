//! `HOST:PORT`, as addresses of sockets are written in settings, read strictly.
//!
//! What a resolver would only fail on later is refused with a sentence: an address with its scheme, an IPv6 address without
//! brackets (whose last group would be taken for a port), a port that is none.

use std::net::SocketAddr;

use super::endpoint_url::{InvalidUrl, is_host, parse_authority};

/// Why a text is no `HOST:PORT`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidHostPort {
    #[error("must be HOST:PORT without a scheme: leave out what stands before and with ://")]
    Scheme,
    #[error("an IPv6 address stands in brackets before its port, as in [2001:db8::1]:2775")]
    Brackets,
    #[error("must be HOST:PORT")]
    Missing,
    #[error("must be HOST:PORT, with a port from 1 to 65535")]
    Port,
    #[error("must be HOST:PORT, and the host is neither a name of the DNS nor an address")]
    Host,
}

/// # Errors
/// [`InvalidHostPort`] names the first thing that is wrong.
pub fn check(text: &str) -> Result<(), InvalidHostPort> {
    // With the zone that a link-local address has.
    if text.parse::<SocketAddr>().is_ok_and(|address| address.port() != 0) {
        return Ok(());
    }
    if text.contains("://") {
        return Err(InvalidHostPort::Scheme);
    }
    if !text.starts_with('[') && text.bytes().filter(|b| *b == b':').count() > 1 {
        return Err(InvalidHostPort::Brackets);
    }
    match parse_authority(text) {
        Ok((_, Some(_))) => Ok(()),
        Ok((_, None)) => Err(InvalidHostPort::Missing),
        Err(InvalidUrl::Port) => Err(InvalidHostPort::Port),
        Err(_) if text.is_empty() || text.starts_with(':') => Err(InvalidHostPort::Missing),
        Err(_) => Err(InvalidHostPort::Host),
    }
}

/// Whether `text` is a name of the DNS or an address, an IPv6 one in brackets or not.
#[must_use]
pub fn is_name_or_address(text: &str) -> bool {
    text.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok() || is_host(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port_and_each_mistake_has_a_sentence() {
        use InvalidHostPort::{Brackets, Host, Missing, Port, Scheme};
        for (text, expected) in [
            ("smsc.example.net:2775", Ok(())),
            ("localhost:1", Ok(())),
            ("smsc_1:65535", Ok(())),
            ("192.0.2.7:2775", Ok(())),
            ("[2001:db8::1]:2775", Ok(())),
            ("[fe80::1%2]:2775", Ok(())),
            ("smpp://smsc.example.net:2775", Err(Scheme)),
            ("ssmpp://[2001:db8::1]:2775", Err(Scheme)),
            ("2001:db8::1:2775", Err(Brackets)),
            ("::1", Err(Brackets)),
            ("2001:db8::1", Err(Brackets)),
            ("smsc.example.net", Err(Missing)),
            ("[2001:db8::1]", Err(Missing)),
            ("", Err(Missing)),
            (":2775", Err(Missing)),
            ("smsc.example.net:", Err(Port)),
            ("smsc.example.net:0", Err(Port)),
            ("127.0.0.1:0", Err(Port)),
            ("smsc.example.net:65536", Err(Port)),
            ("smsc.example.net:2775/", Err(Port)),
            ("smsc.example.net:smpp", Err(Port)),
            ("an smsc:2775", Err(Host)),
            ("nexo@smsc.example.net:2775", Err(Host)),
            ("300.1.1.1:2775", Err(Host)),
            ("[smsc]:2775", Err(Host)),
        ] {
            assert_eq!(check(text), expected, "{text}");
        }
    }

    #[test]
    fn a_certificate_is_for_a_name_or_an_address() {
        for text in ["smsc.example.net", "192.0.2.7", "::1", "[::1]"] {
            assert!(is_name_or_address(text), "{text}");
        }
        for text in ["", "no name", "smsc.example.net:2775", "https://smsc.example.net"] {
            assert!(!is_name_or_address(text), "{text}");
        }
    }
}
