//! The id that every answer carries: the caller's own if it is sane, else one of ours.
//!
//! Unique per process by a random prefix and a counter; it is for finding a request in the logs and decides nothing.

use std::fmt::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

/// The header, both ways.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const LENGTH_MAX: usize = 128;

/// 1–128 visible ASCII characters.
#[derive(Clone, Debug)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The caller's id if there is exactly one and it is sane, else a new one.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut given = headers.get_all(X_REQUEST_ID).iter();
        match (given.next(), given.next()) {
            (Some(id), None) if is_sane(id.as_bytes()) => Self(id.clone()),
            _ => Self::generate(),
        }
    }

    /// A new one.
    #[must_use]
    pub fn generate() -> Self {
        static PREFIX: OnceLock<u64> = OnceLock::new();
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let prefix = PREFIX.get_or_init(|| getrandom::u64().unwrap_or(0));
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut text = String::with_capacity(28);
        let _ = write!(text, "{prefix:016x}-{number:06x}");
        Self(HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).expect("hexadecimal digits and a dash"))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// The id as the value of its header.
    #[must_use]
    pub fn to_header(&self) -> HeaderValue {
        self.0.clone()
    }
}

fn is_sane(id: &[u8]) -> bool {
    (1..=LENGTH_MAX).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ids: &[&str]) -> String {
        let headers: HeaderMap = ids
            .iter()
            .map(|id| (X_REQUEST_ID, HeaderValue::from_bytes(id.as_bytes()).expect("a header value")))
            .collect();
        RequestId::of(&headers).as_str().to_owned()
    }

    #[test]
    fn a_sane_id_is_echoed_and_any_other_is_replaced() {
        for sane in ["a", "7f-:/{}~!", &"x".repeat(128)] {
            assert_eq!(of(&[sane]), sane);
        }
        for bad in [&[""][..], &["a b"], &["\u{e9}"], &[&"x".repeat(129)], &["a", "a"], &[]] {
            let made = of(bad);
            assert!(is_sane(made.as_bytes()) && !bad.contains(&made.as_str()), "{bad:?} gave {made}");
        }
        assert_ne!(of(&[]), of(&[]));
    }
}
