//! Hyper's own refusals in the words of the contract.
//!
//! A head that cannot be parsed never reaches a handler: hyper answers it with a bare status line and closes. Every
//! answer of ours carries an `x-request-id`, which is how the two are told apart.

use crate::http::error::ApiError;
use crate::http::request_id::RequestId;

/// The whole answer that replaces `written`, if that is a refusal of hyper's.
pub(super) fn in_our_words(written: &[u8]) -> Option<Vec<u8>> {
    let is_refusal = written.starts_with(b"HTTP/1.") && written.get(8..10) == Some(b" 4");
    if !is_refusal || contains(written, b"\r\nx-request-id:") {
        return None;
    }
    let text = std::str::from_utf8(written).ok()?;
    let error = match text.get(9..12)? {
        "431" | "414" => ApiError::HeadersTooLarge,
        _ => ApiError::malformed("the request is not well-formed HTTP/1.1"),
    };
    let id = RequestId::generate();
    let body = error.body(&id);
    let status = error.status();
    let date = text.lines().find(|line| line.starts_with("date:")).map(|line| format!("{line}\r\n"));
    let head = format!(
        "HTTP/1.1 {} {}\r\ncontent-type: application/json\r\nx-request-id: {}\r\nconnection: close\r\n{}content-length: {}\r\n\r\n",
        status.as_u16(),
        status.canonical_reason().unwrap_or_default(),
        id.as_str(),
        date.unwrap_or_default(),
        body.len(),
    );
    let mut answer = head.into_bytes();
    answer.extend_from_slice(&body);
    Some(answer)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hypers_own_refusals_are_replaced() {
        let bare = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\ndate: now\r\n\r\n";
        let ours = String::from_utf8(in_our_words(bare).expect("replaced")).expect("text");
        assert!(ours.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\n"));
        assert!(ours.contains("\r\ndate: now\r\n") && ours.contains(r#""error":"headers_too_large""#), "{ours}");
        let (head, body) = ours.split_once("\r\n\r\n").expect("a head");
        assert!(head.ends_with(&format!("content-length: {}", body.len())));
        assert_eq!(in_our_words(ours.as_bytes()), None);
        assert_eq!(in_our_words(b"HTTP/1.1 200 OK\r\n\r\n"), None);
        assert_eq!(in_our_words(b"HTTP/1.1 404 Not Found\r\nx-request-id: a\r\n\r\n"), None);
        assert_eq!(in_our_words(b""), None);
    }
}
