//! The queries of the lists. `GET /deliveries`: `limit`, `starting_after`, `status`, `phone`. `GET /webhooks/attempts`:
//! `limit`, `starting_after`, `endpoint`, `delivery_id`, `state`.
//!
//! Percent-encoding is undone; `+` stays `+`, so that `phone=+84981234567` means what it says. Unknown parameters are
//! ignored; one that we know and that is given twice is refused.

use std::borrow::Cow;
use std::str::FromStr;

use crate::domain::delivery::Status;
use crate::domain::webhook::AttemptState;
use crate::http::error::ApiError;
use crate::http::order::parse_phone;
use crate::records::attempts::AttemptPage;
use crate::records::deliveries::Page;

const LIMIT_DEFAULT: usize = 20;
const LIMIT_MAX: usize = 100;

/// # Errors
/// `invalid_request` (or `invalid_phone`) with the parameter's name.
pub(crate) fn page(query: &str) -> Result<Page, ApiError> {
    let starting_after = id(query, "starting_after", bad_cursor)?;
    let status = parameter(query, "status")?.map(|text| Status::from_name(&text).ok_or_else(bad_status)).transpose()?;
    let phone = parameter(query, "phone")?.map(|text| parse_phone(&text)).transpose()?;
    Ok(Page { limit: limit(query)?, starting_after, status, phone })
}

/// # Errors
/// `invalid_request` with the parameter's name.
pub(crate) fn attempts(query: &str) -> Result<AttemptPage, ApiError> {
    let state =
        parameter(query, "state")?.map(|text| AttemptState::from_name(&text).ok_or_else(bad_state)).transpose()?;
    Ok(AttemptPage {
        limit: limit(query)?,
        starting_after: id(query, "starting_after", bad_attempt_cursor)?,
        endpoint: id(query, "endpoint", || ApiError::invalid("endpoint", "endpoint is not an id"))?,
        delivery: id(query, "delivery_id", || ApiError::invalid("delivery_id", "delivery_id is not an id"))?,
        state,
    })
}

/// A cursor that is malformed, unknown or another account's.
pub(crate) fn bad_cursor() -> ApiError {
    ApiError::invalid("starting_after", "starting_after is not a delivery of this account")
}

/// The same of attempts.
pub(crate) fn bad_attempt_cursor() -> ApiError {
    ApiError::invalid("starting_after", "starting_after is not a webhook attempt of this account")
}

fn bad_status() -> ApiError {
    ApiError::invalid("status", "status is sent, delivered or failed")
}

fn bad_state() -> ApiError {
    ApiError::invalid("state", "state is sending, accepted, failed, discarded or unknown")
}

fn limit(query: &str) -> Result<usize, ApiError> {
    let Some(text) = parameter(query, "limit")? else { return Ok(LIMIT_DEFAULT) };
    text.parse()
        .ok()
        .filter(|limit| (1..=LIMIT_MAX).contains(limit) && !text.starts_with('+'))
        .ok_or_else(|| ApiError::invalid("limit", "limit is 1 to 100"))
}

fn id<I: FromStr>(query: &str, name: &'static str, refused: impl Fn() -> ApiError) -> Result<Option<I>, ApiError> {
    parameter(query, name)?.map(|text| text.parse().map_err(|_| refused())).transpose()
}

/// The one value of `name`; an empty one counts as absent.
fn parameter<'a>(query: &'a str, name: &'static str) -> Result<Option<Cow<'a, str>>, ApiError> {
    let mut values = query.split('&').filter_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then_some(value)
    });
    let value = values.next().unwrap_or_default();
    if values.next().is_some() {
        return Err(ApiError::invalid(name, "a parameter is given twice"));
    }
    let decoded = decode(value).ok_or_else(|| ApiError::invalid(name, "the percent-encoding is broken"))?;
    Ok((!decoded.is_empty()).then_some(decoded))
}

/// Undoes percent-encoding; `None` if it is broken or the result is not UTF-8.
fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    bytes.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| is_hex)?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(query: &str) -> (&'static str, Option<&'static str>) {
        match page(query) {
            Err(ApiError::InvalidRequest { param, .. }) => ("invalid_request", param),
            Err(ApiError::InvalidPhone { .. }) => ("invalid_phone", Some("phone")),
            other => panic!("{query}: {other:?}"),
        }
    }

    #[test]
    fn every_parameter_is_optional() {
        let all = Page { limit: 20, starting_after: None, status: None, phone: None };
        for query in ["", "limit=", "x=1&x=2&limit=20", "limit=20&status=", "&&", "="] {
            assert_eq!(page(query), Ok(all.clone()), "{query}");
        }
    }

    #[test]
    fn a_phone_may_be_encoded_or_not() {
        let plain = page("phone=+84981234567&limit=100&status=failed").expect("valid");
        assert_eq!(page("phone=%2B84981234567&limit=%31%30%30&status=failed"), Ok(plain.clone()));
        assert_eq!((plain.limit, plain.status), (100, Some(Status::Failed)));
        assert_eq!(plain.phone.map(|phone| phone.e164()).as_deref(), Some("+84981234567"));
    }

    #[test]
    fn a_wrong_parameter_is_named() {
        for (query, param) in [
            ("limit=0", "limit"),
            ("limit=101", "limit"),
            ("limit=+5", "limit"),
            ("limit=x", "limit"),
            ("limit=1&limit=1", "limit"),
            ("status=SENT", "status"),
            ("status=%zz", "status"),
            ("starting_after=8f2e", "starting_after"),
            ("starting_after=%ff", "starting_after"),
        ] {
            assert_eq!(refused(query), ("invalid_request", Some(param)), "{query}");
        }
        for query in ["phone=0981234567", "phone=%2B1", "phone= 84981234567"] {
            assert_eq!(refused(query).0, "invalid_phone", "{query}");
        }
    }

    #[test]
    fn attempts_are_asked_for_by_endpoint_delivery_and_state() {
        const ID: &str = "01997d0a-0000-7000-8000-000000000001";
        let all = AttemptPage { limit: 20, starting_after: None, endpoint: None, delivery: None, state: None };
        assert_eq!(attempts("status=lost&phone=me&endpoint=&delivery_id=&state="), Ok(all));
        let line = format!("limit=3&starting_after={ID}&endpoint={ID}&delivery_id={ID}&state=unknown");
        let page = attempts(&line).expect("valid");
        assert_eq!((page.limit, page.state), (3, Some(AttemptState::Unknown)));
        let ids = [page.starting_after.map(|id| id.to_string()), page.endpoint.map(|id| id.to_string())];
        assert_eq!(ids, [Some(ID.to_owned()), Some(ID.to_owned())]);
        assert_eq!(page.delivery.map(|id| id.to_string()).as_deref(), Some(ID));
        for (query, param) in [
            ("limit=101", "limit"),
            ("starting_after=x", "starting_after"),
            ("endpoint=01997d0a00007000800000000000001", "endpoint"),
            ("endpoint=%zz", "endpoint"),
            ("delivery_id=x", "delivery_id"),
            ("state=lost", "state"),
            ("state=failed&state=failed", "state"),
        ] {
            let refused = attempts(query);
            let named = matches!(refused, Err(ApiError::InvalidRequest { param: Some(of), .. }) if of == param);
            assert!(named, "{query}: {refused:?}");
        }
    }

    proptest! {
        #[test]
        fn no_query_panics(query in "[ -~]{0,60}|((limit|phone|status|endpoint|state)=[%0-9a-f+]{0,8}&){0,3}") {
            let _ = (page(&query), attempts(&query));
        }
    }
}
