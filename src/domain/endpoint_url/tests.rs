//! URLs that are read, and those that two readers could read differently.

use super::*;
use proptest::prelude::*;

#[test]
fn a_url_is_taken_apart_and_printed_back() {
    for (text, printed, host_header, target) in [
        ("https://example.com", "https://example.com/", "example.com", "/"),
        ("HTTPS://Example.COM.:443/Hook", "https://example.com/Hook", "example.com", "/Hook"),
        (
            "https://a-b.example:8443?x=%41&y=a/b?c",
            "https://a-b.example:8443/?x=%41&y=a/b?c",
            "a-b.example:8443",
            "/?x=%41&y=a/b?c",
        ),
        ("http://localhost:80//a", "http://localhost//a", "localhost", "//a"),
        ("http://example.com:443/", "http://example.com:443/", "example.com:443", "/"),
        ("https://1.2.3.4/", "https://1.2.3.4/", "1.2.3.4", "/"),
        ("https://[2606:4700::1111]:8443/a", "https://[2606:4700::1111]:8443/a", "[2606:4700::1111]:8443", "/a"),
        ("https://[::FFFF:127.0.0.1]", "https://[::ffff:127.0.0.1]/", "[::ffff:127.0.0.1]", "/"),
        (
            "https://_hook.xn--bcher-kva.example/",
            "https://_hook.xn--bcher-kva.example/",
            "_hook.xn--bcher-kva.example",
            "/",
        ),
    ] {
        let url = EndpointUrl::parse(text).expect(text);
        assert_eq!(url.to_string(), printed, "{text}");
        assert_eq!(url.host_header(), host_header, "{text}");
        assert_eq!(url.target(), target, "{text}");
        assert_eq!(EndpointUrl::parse(printed), Ok(url), "{text}");
    }
    let url = EndpointUrl::parse("https://1.2.3.4:8443/").expect("valid");
    assert_eq!((url.host(), url.port(), url.is_https()), (&Host::Address([1, 2, 3, 4].into()), 8443, true));
}

#[test]
fn what_two_readers_could_read_differently_is_refused() {
    let long_label = format!("https://{}.example/", "a".repeat(64));
    let long_name = format!("https://{}example/", "a.".repeat(124));
    for (text, why) in [
        ("", InvalidUrl::Scheme),
        ("example.com/hook", InvalidUrl::Scheme),
        ("https:/example.com", InvalidUrl::Scheme),
        ("ftp://example.com/", InvalidUrl::Scheme),
        ("file:///etc/passwd", InvalidUrl::Scheme),
        ("https://example.com/a b", InvalidUrl::Character),
        ("https://example.com/a\r\nHost: x", InvalidUrl::Character),
        ("https://bücher.example/", InvalidUrl::Character),
        ("https://example。com/", InvalidUrl::Character),
        ("https://example.com/\u{7f}", InvalidUrl::Character),
        ("https://user@example.com/", InvalidUrl::UserInfo),
        ("https://example.com:443@127.0.0.1/", InvalidUrl::UserInfo),
        ("https://example.com/#a", InvalidUrl::Fragment),
        ("https://evil.example#@example.com/", InvalidUrl::Fragment),
        ("https://", InvalidUrl::Name),
        ("https:///a", InvalidUrl::Name),
        ("https://./", InvalidUrl::Name),
        ("https://a..b/", InvalidUrl::Name),
        ("https://example.com../", InvalidUrl::Name),
        ("https://-a.example/", InvalidUrl::Name),
        ("https://a-.example/", InvalidUrl::Name),
        ("https://a%2eb/", InvalidUrl::Name),
        ("https://example.com\\@127.0.0.1/", InvalidUrl::UserInfo),
        ("https://example.com\\a/", InvalidUrl::Name),
        (&long_label, InvalidUrl::Name),
        (&long_name, InvalidUrl::Name),
        ("https://127.1/", InvalidUrl::Address),
        ("https://2130706433/", InvalidUrl::Address),
        ("https://0x7f.1/", InvalidUrl::Address),
        ("https://0x7f000001/", InvalidUrl::Address),
        ("https://a.0x/", InvalidUrl::Address),
        ("https://0177.0.0.1/", InvalidUrl::Address),
        ("https://127.0.0.01/", InvalidUrl::Address),
        ("https://1.2.3.4.5/", InvalidUrl::Address),
        ("https://256.1.1.1/", InvalidUrl::Address),
        ("https://example.1/", InvalidUrl::Address),
        ("https://[::1/", InvalidUrl::Address),
        ("https://[::1]a/", InvalidUrl::Address),
        ("https://[fe80::1%25eth0]/", InvalidUrl::Address),
        ("https://[127.0.0.1]/", InvalidUrl::Address),
        ("https://::1/", InvalidUrl::Name),
        ("https://example.com:/", InvalidUrl::Port),
        ("https://example.com:0/", InvalidUrl::Port),
        ("https://example.com:65536/", InvalidUrl::Port),
        ("https://example.com:+443/", InvalidUrl::Port),
        ("https://example.com:443:443/", InvalidUrl::Port),
        ("https://[::1]:x/", InvalidUrl::Port),
        ("https://example.com/<script>", InvalidUrl::Path),
        ("https://example.com/%", InvalidUrl::Path),
        ("https://example.com/%4", InvalidUrl::Path),
        ("https://example.com/%zz", InvalidUrl::Path),
        ("https://example.com/a\\b", InvalidUrl::Path),
        ("https://example.com/{a}", InvalidUrl::Path),
    ] {
        assert_eq!(EndpointUrl::parse(text), Err(why), "{text}");
    }
    let long = format!("https://example.com/{}", "a".repeat(URL_BYTES_MAX - 20));
    assert!(EndpointUrl::parse(&long).is_ok());
    assert_eq!(EndpointUrl::parse(&format!("{long}a")), Err(InvalidUrl::TooLong));
}

proptest! {
    #[test]
    fn whatever_is_read_prints_back(text in "(?i)https?://[\\[\\]a-z0-9.:_%x-]{0,20}[/?]?[!-~]{0,20}") {
        if let Ok(url) = EndpointUrl::parse(&text) {
            prop_assert_eq!(EndpointUrl::parse(&url.to_string()), Ok(url));
        }
    }

    #[test]
    fn no_text_panics(text in "(?s).*") {
        let _ = EndpointUrl::parse(&text);
        let _ = EndpointUrl::parse(&format!("https://{text}"));
    }
}
