//! Whose request it is: the bearer key, then the key's allowlist.
//!
//! A look-up in memory; nothing here asks the database, and a key that is unknown, revoked or of a closed account gets
//! the same answer. The key's text is never kept or logged.

use std::net::IpAddr;

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;

use crate::domain::api_key::KeyHash;
use crate::http::backend::{Backend, Identity, KeyRefused};
use crate::http::error::ApiError;

/// Reads the key of a request.
///
/// # Errors
/// `missing_auth` without an `Authorization` header; `invalid_key` for two of them, another scheme or what is no key.
pub(crate) fn key_of(headers: &HeaderMap) -> Result<KeyHash, ApiError> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let value = given.next().ok_or(ApiError::MissingAuth)?;
    if given.next().is_some() {
        return Err(ApiError::InvalidKey);
    }
    let text = value.to_str().map_err(|_| ApiError::InvalidKey)?;
    let (scheme, key) = text.split_once(' ').ok_or(ApiError::InvalidKey)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(ApiError::InvalidKey);
    }
    KeyHash::of_text(key.trim_matches(' ')).ok_or(ApiError::InvalidKey)
}

/// The live key behind `key`, if it may be used from `ip`.
///
/// # Errors
/// `invalid_key`, `ip_not_allowed`, or `unavailable` while the key list is too old to be believed.
pub(crate) fn admit(backend: &impl Backend, key: &KeyHash, ip: IpAddr) -> Result<Identity, ApiError> {
    backend.authenticate(key, ip).map_err(|refused| match refused {
        KeyRefused::Unknown => ApiError::InvalidKey,
        KeyRefused::Address => ApiError::IpNotAllowed { detected: ip },
        KeyRefused::Stale => ApiError::Unavailable,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::api_key::PlainKey;
    use hyper::header::HeaderValue;

    fn of(values: &[&str]) -> Result<KeyHash, ApiError> {
        let headers: HeaderMap = values
            .iter()
            .map(|value| (AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).expect("a value")))
            .collect();
        key_of(&headers)
    }

    #[test]
    fn one_bearer_key_and_nothing_else() {
        let key = PlainKey::from_entropy(&[3; 32]);
        let text = key.expose();
        for good in [format!("Bearer {text}"), format!("bEARER {text}"), format!("Bearer   {text} ")] {
            assert_eq!(of(&[&good]), Ok(key.hash()));
        }
        assert_eq!(of(&[]), Err(ApiError::MissingAuth));
        for bad in ["", "Bearer", "Bearer ", text, "Bearer sk_live_x", &format!("Basic {text}"), "Bearer \u{e9}"] {
            assert_eq!(of(&[bad]), Err(ApiError::InvalidKey), "{bad}");
        }
        let good = format!("Bearer {text}");
        assert_eq!(of(&[&good, &good]), Err(ApiError::InvalidKey));
        assert_eq!(of(&[&format!("Bearer {text}, Bearer {text}")]), Err(ApiError::InvalidKey));
    }
}
