//! Whether a caller is the provider: compared in constant time, a header that comes twice never counts.

use hyper::HeaderMap;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::carrier::http::{receipt, signature};
use crate::config::upstreams::http::{Encoding, Hmac, Proof};

/// Whether what is told before the body holds.
pub(super) fn holds_without_body(proof: &Proof, headers: &HeaderMap, query: &str) -> bool {
    match proof {
        Proof::Hmac(hmac) => only(headers, &hmac.header).is_some(),
        Proof::Header { name, value } => only(headers, name).is_some_and(|given| {
            let bearer = Zeroizing::new(format!("Bearer {}", value.expose()));
            let plain = same(given, value.expose().as_bytes());
            (name == "authorization" && same(given, bearer.as_bytes())) | plain
        }),
        Proof::Query { name, value } => {
            let given = receipt::parameter(query, name).map(Zeroizing::new);
            given.is_some_and(|given| same(given.as_bytes(), value.expose().as_bytes()))
        }
    }
}

/// Whether the body is what the provider signed, where it signs.
pub(super) fn holds_for_body(proof: &Proof, headers: &HeaderMap, body: &[u8]) -> bool {
    match proof {
        Proof::Hmac(hmac) => only(headers, &hmac.header).is_some_and(|given| is_signature(hmac, given, body)),
        Proof::Header { .. } | Proof::Query { .. } => true,
    }
}

/// Hexadecimal digits count in either case.
fn is_signature(hmac: &Hmac, given: &[u8], body: &[u8]) -> bool {
    let Some(given) = given.strip_prefix(hmac.prefix.as_bytes()) else { return false };
    let expected = signature(hmac, body);
    let expected = &expected.as_bytes()[hmac.prefix.len()..];
    match hmac.encoding {
        Encoding::Hex => same(&given.to_ascii_lowercase(), expected),
        Encoding::Base64 => same(given, expected),
    }
}

fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.as_bytes())
}

fn same(given: &[u8], expected: &[u8]) -> bool {
    given.ct_eq(expected).into()
}
