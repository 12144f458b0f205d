//! Who calls: the client's address behind the proxies that the operator trusts (contract §7).
//!
//! From a trusted peer: `CF-Connecting-IP`, also spelt `Cloudflare-Connecting-IP`; then `X-Forwarded-For`, walked from
//! the right past trusted hops; then the peer. From any other peer these headers are forgeries and the peer counts, as
//! it does where a header cannot be read. Never a decision by itself: `auth` compares the address with an allowlist.
//! For carriers `X-Forwarded-For` alone counts: a proxy that is not Cloudflare passes on whatever `CF-Connecting-IP` a caller
//! wrote.

use std::net::{IpAddr, SocketAddr};

use hyper::HeaderMap;
use ipnet::IpNet;

const CLOUDFLARE: [&str; 2] = ["cf-connecting-ip", "cloudflare-connecting-ip"];
const FORWARDED: &str = "x-forwarded-for";

/// The client's address in canonical form: an IPv4-mapped one is the IPv4 one.
#[must_use]
pub fn client_ip(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let peer = peer.to_canonical();
    if !is_trusted(peer, trusted) {
        return peer;
    }
    for name in CLOUDFLARE {
        let mut values = headers.get_all(name).iter();
        if let Some(value) = values.next() {
            let alone = values.next().is_none();
            return value.to_str().ok().filter(|_| alone).and_then(parse).unwrap_or(peer);
        }
    }
    forwarded(headers, trusted).unwrap_or(peer)
}

/// The same for a carrier, by `X-Forwarded-For` alone.
#[must_use]
pub fn carrier_ip(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let peer = peer.to_canonical();
    if !is_trusted(peer, trusted) {
        return peer;
    }
    forwarded(headers, trusted).unwrap_or(peer)
}

/// The nearest hop that is not trusted; the farthest if all are; `None` if there is no hop or one cannot be read before
/// that.
fn forwarded(headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let mut farthest = None;
    for line in headers.get_all(FORWARDED).iter().rev() {
        for hop in line.to_str().ok()?.rsplit(',').map(str::trim).filter(|hop| !hop.is_empty()) {
            let hop = parse(hop)?;
            if !is_trusted(hop, trusted) {
                return Some(hop);
            }
            farthest = Some(hop);
        }
    }
    farthest
}

/// Whether `address` (canonical) is a proxy whose headers are believed.
pub(crate) fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|net| net.contains(&address))
}

/// An address, with or without a port: some proxies write one.
fn parse(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let address: Option<IpAddr> = text.parse().ok();
    address
        .or_else(bracketed)
        .or_else(|| text.parse::<SocketAddr>().ok().map(|with_port| with_port.ip()))
        .map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    fn seen(peer: &str, headers: &[(&'static str, &str)]) -> String {
        let trusted: Vec<IpNet> =
            ["10.0.0.0/8", "2001:db8::/32"].iter().map(|net| net.parse().expect("a block")).collect();
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value")))
            .collect();
        client_ip(peer.parse().expect("an address"), &headers, &trusted).to_string()
    }

    #[test]
    fn headers_of_a_stranger_are_forgeries() {
        let forged = [(CLOUDFLARE[0], "1.1.1.1"), (CLOUDFLARE[1], "2.2.2.2"), (FORWARDED, "3.3.3.3")];
        assert_eq!(seen("203.0.113.9", &forged), "203.0.113.9");
        assert_eq!(seen("::ffff:203.0.113.9", &forged), "203.0.113.9");
        assert_eq!(seen("203.0.113.9", &[]), "203.0.113.9");
    }

    #[test]
    fn a_trusted_peer_is_believed_in_the_seeds_order() {
        let all = [(FORWARDED, "3.3.3.3"), (CLOUDFLARE[1], "2.2.2.2"), (CLOUDFLARE[0], "1.1.1.1")];
        assert_eq!(seen("10.0.0.1", &all), "1.1.1.1");
        assert_eq!(seen("::ffff:10.0.0.1", &all[..2]), "2.2.2.2");
        assert_eq!(seen("2001:db8::1", &all[..1]), "3.3.3.3");
        assert_eq!(seen("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", &[(CLOUDFLARE[0], "::ffff:9.9.9.9")]), "9.9.9.9");
    }

    #[test]
    fn of_a_carrier_only_the_forwarded_address_counts() {
        let trusted = ["10.0.0.0/8".parse().expect("a block")];
        let mut headers = HeaderMap::new();
        headers.insert(CLOUDFLARE[0], HeaderValue::from_static("1.1.1.1"));
        let seen = |headers: &HeaderMap, peer: [u8; 4]| carrier_ip(peer.into(), headers, &trusted).to_string();
        assert_eq!(seen(&headers, [10, 0, 0, 1]), "10.0.0.1");
        headers.insert(FORWARDED, HeaderValue::from_static("3.3.3.3"));
        assert_eq!(seen(&headers, [10, 0, 0, 1]), "3.3.3.3");
        assert_eq!(seen(&headers, [203, 0, 113, 9]), "203.0.113.9");
    }

    #[test]
    fn forwarded_hops_are_walked_from_the_right() {
        for (value, client) in [
            ("6.6.6.6, 5.5.5.5", "5.5.5.5"),
            ("6.6.6.6, 5.5.5.5, 10.2.3.4,10.1.1.1", "5.5.5.5"),
            ("6.6.6.6, 5.5.5.5:1234, [2001:db8::7]:443", "5.5.5.5"),
            ("[2a00::1], 10.0.0.2", "2a00::1"),
            ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
            ("5.5.5.5,, ,10.0.0.2", "5.5.5.5"),
        ] {
            assert_eq!(seen("10.0.0.1", &[(FORWARDED, value)]), client, "{value}");
        }
        let two_lines = [(FORWARDED, "6.6.6.6, 5.5.5.5"), (FORWARDED, "10.9.9.9")];
        assert_eq!(seen("10.0.0.1", &two_lines), "5.5.5.5");
    }

    #[test]
    fn what_cannot_be_read_leaves_the_peer() {
        for value in ["5.5.5.5, unknown", "5.5.5.5, unknown, 10.0.0.2", "", " , ", "_hidden"] {
            assert_eq!(seen("10.0.0.1", &[(FORWARDED, value)]), "10.0.0.1", "{value}");
        }
        let doubled = [(CLOUDFLARE[0], "1.1.1.1"), (CLOUDFLARE[0], "2.2.2.2"), (FORWARDED, "3.3.3.3")];
        assert_eq!(seen("10.0.0.1", &doubled), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", &[(CLOUDFLARE[0], "x"), (FORWARDED, "3.3.3.3")]), "10.0.0.1");
    }

    proptest! {
        #[test]
        fn no_header_panics(value in "[ -~]{0,80}") {
            seen("10.0.0.1", &[(FORWARDED, &value), (CLOUDFLARE[1], &value)]);
        }
    }
}
