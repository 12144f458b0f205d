//! What a head may say about where its message ends, beyond what hyper refuses: the rules against request smuggling.
//!
//! hyper accepts a missing or repeated `Host`, any `Transfer-Encoding` that ends in `chunked`, and `Transfer-Encoding`
//! beside `Content-Length` (RFC 9112 §3.2, §6.1 and §6.3 allow a server to refuse all of these). A refused message ends
//! its connection. HTTP/1.0 knows no `Host`, and health checks of load balancers speak it: there it may be missing. Bare LF
//! line ends are read as RFC 9112 §2.2 allows.

use std::io::BufRead;

use hyper::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use hyper::{HeaderMap, Version};

use crate::http::error::ApiError;

/// `lengths_unseen` is how many `Content-Length` lines came that no parsed head has shown.
///
/// # Errors
/// `invalid_request` with the rule that the head breaks.
pub(crate) fn check(version: Version, headers: &HeaderMap, lengths_unseen: u32) -> Result<(), ApiError> {
    let mut hosts = headers.get_all(HOST).iter();
    if (hosts.next().is_none() && version >= Version::HTTP_11) || hosts.next().is_some() {
        return Err(ApiError::malformed("exactly one Host header is required"));
    }
    let mut encodings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(encoding) = encodings.next() {
        if encodings.next().is_some() || !encoding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err(ApiError::malformed("the only Transfer-Encoding is `chunked`"));
        }
        if lengths_unseen > 0 || headers.contains_key(CONTENT_LENGTH) {
            return Err(ApiError::malformed("Transfer-Encoding and Content-Length exclude each other"));
        }
    }
    Ok(())
}

/// How many `Content-Length` lines a parsed head shows.
pub(crate) fn lengths_shown(headers: &HeaderMap) -> u32 {
    u32::try_from(headers.get_all(CONTENT_LENGTH).iter().count()).unwrap_or(u32::MAX)
}

const NAME: &[u8; 15] = b"content-length:";

/// Counts the lines of a byte stream that start with `Content-Length:`, however the stream is cut into reads.
#[derive(Debug)]
pub(crate) struct LengthLines {
    /// How many bytes of [`NAME`] the current line has matched; `None` once it is decided.
    matched: Option<usize>,
}

impl Default for LengthLines {
    fn default() -> Self {
        Self { matched: Some(0) }
    }
}

impl LengthLines {
    pub(crate) fn count(&mut self, mut bytes: &[u8]) -> u32 {
        let mut count = 0;
        while !bytes.is_empty() {
            if let Some(matched) = self.matched.take() {
                let same = bytes.iter().zip(&NAME[matched..]).take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count();
                bytes = &bytes[same..];
                if matched + same == NAME.len() {
                    count += 1;
                } else if bytes.is_empty() {
                    self.matched = Some(matched + same);
                }
            }
            let line = bytes;
            let walked = bytes.skip_until(b'\n').unwrap_or(0);
            if line[..walked].ends_with(b"\n") {
                self.matched = Some(0);
            }
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    fn accepts(headers: &[(HeaderName, &'static str)], unseen: u32) -> bool {
        let headers: HeaderMap =
            headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        check(Version::HTTP_11, &headers, unseen).is_ok()
    }

    #[test]
    fn http_1_0_needs_no_host_and_still_takes_no_second_one() {
        let check = |hosts: &[&'static str]| {
            let headers = hosts.iter().map(|host| (HOST, HeaderValue::from_static(host))).collect();
            check(Version::HTTP_10, &headers, 0).is_ok()
        };
        assert!(check(&[]) && check(&["a"]));
        assert!(!check(&["a", "a"]));
    }

    #[test]
    fn one_host_and_one_way_to_end() {
        assert!(accepts(&[(HOST, "a")], 0));
        assert!(!accepts(&[], 0));
        assert!(!accepts(&[(HOST, "a"), (HOST, "a")], 0));
        assert!(accepts(&[(HOST, "a"), (CONTENT_LENGTH, "1")], 3));
        assert!(accepts(&[(HOST, "a"), (TRANSFER_ENCODING, "Chunked")], 0));
        for bad in ["identity, chunked", "gzip, chunked", "chunked, chunked", "xchunked", "identity", "chunked;q=1"] {
            assert!(!accepts(&[(HOST, "a"), (TRANSFER_ENCODING, bad)], 0), "{bad}");
        }
        assert!(!accepts(&[(HOST, "a"), (TRANSFER_ENCODING, "identity"), (TRANSFER_ENCODING, "chunked")], 0));
        assert!(!accepts(&[(HOST, "a"), (TRANSFER_ENCODING, "chunked")], 1));
        assert!(!accepts(&[(HOST, "a"), (TRANSFER_ENCODING, "chunked"), (CONTENT_LENGTH, "1")], 0));
    }

    const STREAM: &[u8] =
        b"POST / HTTP/1.1\r\ncontent-length: 3\nX-Content-Length: 3\r\nCONTENT-LENGTH:4\r\ncontent-lengt: 1\r\n\
        \n\ncontent-content-length: 1\r\nContent-Length:";

    #[test]
    fn counts_lines_and_not_mentions() {
        assert_eq!(LengthLines::default().count(STREAM), 3);
        assert_eq!(LengthLines::default().count(b"content-length\n: 1"), 0);
    }

    proptest! {
        #[test]
        fn the_cuts_of_a_stream_do_not_matter(cuts in proptest::collection::vec(0..STREAM.len(), 0..12)) {
            let mut cuts = cuts;
            cuts.extend([0, STREAM.len()]);
            cuts.sort_unstable();
            let mut lines = LengthLines::default();
            let counted: u32 = cuts.windows(2).map(|cut| lines.count(&STREAM[cut[0]..cut[1]])).sum();
            prop_assert_eq!(counted, 3);
        }
    }
}
