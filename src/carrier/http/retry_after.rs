//! `Retry-After`: seconds, or a date, which is compared with the answer's own `Date` (RFC 9110 §10.2.3).

use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::{DATE, HeaderName, RETRY_AFTER};
use jiff::fmt::rfc2822::DateTimeParser;

use crate::domain::delivery::HOLD_MAX;

/// How long the answer asks to wait, at most [`HOLD_MAX`].
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)).min(HOLD_MAX));
    }
    // Without the provider's own time a date of its says nothing.
    let wait = date(headers, &RETRY_AFTER)?.saturating_sub(date(headers, &DATE)?);
    Some(Duration::from_secs(u64::try_from(wait).unwrap_or(0)).min(HOLD_MAX))
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<i64> {
    let text = headers.get(name)?.to_str().ok()?;
    DateTimeParser::new().parse_timestamp(text.trim()).ok().map(jiff::Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn asked(pairs: &[(HeaderName, &'static str)]) -> Option<u64> {
        let headers = pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        retry_after(&headers).map(|wait| wait.as_secs())
    }

    #[test]
    fn seconds_and_dates_are_read_and_nothing_is_believed_without_end() {
        assert_eq!(asked(&[(RETRY_AFTER, " 17 ")]), Some(17));
        assert_eq!(asked(&[(RETRY_AFTER, "99999999999999999999999")]), Some(86_400));
        let date = (DATE, "Sat, 21 Nov 2026 10:00:00 GMT");
        assert_eq!(asked(&[date.clone(), (RETRY_AFTER, "Sat, 21 Nov 2026 10:00:30 GMT")]), Some(30));
        assert_eq!(asked(&[date, (RETRY_AFTER, "Sat, 21 Nov 2026 09:00:00 GMT")]), Some(0));
        for nothing in ["", "soon", "-1", "1.5", "Sat, 21 Nov 2026 10:00:30 GMT"] {
            assert_eq!(asked(&[(RETRY_AFTER, nothing)]), None, "{nothing}");
        }
    }
}
