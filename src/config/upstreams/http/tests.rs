//! What an operator may write of a provider, and what is refused before anything is sent.

use super::*;

const URL: &str = "url = \"https://api.example/v1\"\n";
const CODE: &str = "json = { code = \"{code}\" }\n";
const NONE: &str = "receipts = \"refunded\"\n";

fn read(text: &str) -> Result<HttpConfig, String> {
    toml::from_str(text).map_err(|error| error.message().to_owned())
}

fn refused(text: &str) -> String {
    read(text).expect_err(text)
}

#[test]
fn little_is_enough_and_has_sane_limits() {
    let config = read(&format!("{URL}{CODE}{NONE}")).expect("holds");
    assert_eq!((config.method, config.in_flight_max, config.rate_per_second), (Method::Post, 32, None));
    assert_eq!((config.connect_timeout.as_millis(), config.answer_timeout.as_millis()), (2_000, 6_000));
    assert_eq!(config, read(&format!("{NONE}{CODE}{URL}")).expect("holds"), "the same settings are the same link");
}

#[test]
fn what_does_not_hold_together_is_refused_and_named() {
    for (text, part) in [
        (format!("{CODE}{NONE}"), "url"),
        (format!("url = \"ftp://x\"\n{CODE}{NONE}"), "url: the URL must start with https://"),
        (format!("url = \"https://u:p@x\"\n{CODE}{NONE}"), "user name"),
        (format!("{URL}{NONE}"), "neither {code} nor {text}"),
        (format!("{URL}{NONE}json = {{ a = \"{{text}}\", b = \"{{pin}}\" }}"), "{pin} is no placeholder"),
        (format!("{URL}{NONE}json = {{ a = \"{{text}}\", b = \"{{reference}}\" }}"), "{reference} cannot stand here"),
        (format!("{URL}{NONE}json = {{ a = \"{{text\" }}"), "a brace that is no placeholder is doubled"),
        (format!("{URL}{NONE}json = {{ a = \"{{code}} }}\" }}"), "a brace"),
        (format!("{URL}{NONE}{CODE}form = {{ a = \"{{code}}\" }}"), "one of json, form and query"),
        (format!("{URL}{NONE}{CODE}method = \"GET\""), "has no body"),
        (format!("{URL}{NONE}{CODE}text = \"hello\""), "text has no {code}"),
        (format!("{URL}{NONE}{CODE}text = \"{{phone}} {{code}}\""), "text: {phone} cannot stand here"),
        (format!("{URL}{NONE}json = {{ a = \"{{code}} {{callback_url}}\" }}"), "callback_url is not set"),
        (format!("{URL}{NONE}{CODE}in_flight_max = 0"), "in_flight_max must be from 1"),
        (format!("{URL}{NONE}{CODE}rate_per_second = 0"), "rate_per_second must be from 1"),
        (format!("{URL}{NONE}{CODE}answer_timeout_ms = 60000"), "answer_timeout_ms"),
        (format!("{URL}{NONE}{CODE}in_flite = 1"), "in_flite"),
        (format!("{URL}{NONE}{CODE}headers = {{ Host = \"x\" }}"), "cannot be a header"),
        (format!("{URL}{NONE}{CODE}headers = {{ \"a b\" = \"x\" }}"), "cannot be a header"),
        (format!("{URL}{NONE}{CODE}headers = {{ a = \"x\\ny\" }}"), "headers.a is not visible"),
        (format!("{URL}{NONE}{CODE}headers = {{ A-B = \"x\" }}\nidempotency_header = \"a-b\""), "written twice"),
        (
            format!(
                "{URL}{NONE}{CODE}auth = {{ hmac_sha256 = {{ header = \"X-S\", key = {{ file = \".rustfmt.toml\" }}, prefix = \"a\\u00e9\" }} }}"
            ),
            "hmac_sha256.prefix is not visible",
        ),
        (format!("{URL}{NONE}{CODE}auth = {{ bearer = \"in the open\" }}"), "{ env = \"NAME\" }"),
        (format!("{URL}{NONE}{CODE}answers = [{{ is = 1, means = \"accepted\" }}]"), "rule 1: `is` needs `at`"),
        (format!("{URL}{NONE}{CODE}answers = [{{ status = 99, means = \"accepted\" }}]"), "a status is"),
        (format!("{URL}{NONE}{CODE}answers = [{{ status = \"6xx\", means = \"accepted\" }}]"), "a status is"),
        (format!("{URL}{NONE}{CODE}answers = [{{ at = \"id\", means = \"accepted\" }}]"), "no JSON pointer"),
        (format!("{URL}{NONE}{CODE}answers = [{{ means = \"refused\", reference = \"/id\" }}]"), "`reference` is for"),
        (format!("{URL}{NONE}{CODE}answers = [{{ means = \"fine\" }}]"), "fine"),
        (format!("{URL}{CODE}"), "no receipt can come"),
    ] {
        let why = refused(&text);
        assert!(why.contains(part), "{text}\n{why}");
        assert!(!why.contains("in the open"), "{why}");
    }
}

#[test]
fn a_callback_has_one_proof_a_subject_and_words_that_differ() {
    let proof = "header = { name = \"X-Key\", value = { file = \".rustfmt.toml\" } }";
    let callback = |inner: &str| format!("{URL}{CODE}callback = {{ {inner}, status = \"/s\", delivered = [\"ok\"] }}");
    let by_reference = callback(&format!("{proof}, reference = \"/id\""));
    assert!(refused(&by_reference).contains("no rule of answers has one"));
    let named = "answers = [{ means = \"accepted\", reference = \"/id\" }]";
    let config = read(&format!("{by_reference}\n{named}")).expect("holds");
    let callback_config = config.callback.expect("there is one");
    assert!(matches!(callback_config.proof, Proof::Header { name, .. } if name == "x-key"));
    for (inner, part) in [
        ("reference = \"/id\"".to_owned(), "one of hmac_sha256, header and query"),
        (proof.to_owned(), "attempt or reference"),
        (format!("{proof}, attempt = \"?\""), "neither a JSON pointer"),
        (format!("{proof}, attempt = \"?a\", phone = \"/to\""), "narrows a reference down"),
        (format!("{proof}, attempt = \"?a\", allow = [\"here\"]"), "callback.allow: \"here\" is neither"),
        (format!("{proof}, attempt = \"?a\", failed = {{ OK = \"rejected\" }}"), "stands twice"),
        (format!("{proof}, attempt = \"?a\", failed = {{ no = \"bad\" }}"), "bad"),
    ] {
        let why = refused(&callback(&inner));
        assert!(why.contains(part), "{inner}\n{why}");
    }
    assert!(
        refused(&format!("{}\n{NONE}", callback(&format!("{proof}, attempt = \"?a\"")))).contains("that send none")
    );
}

#[test]
fn what_a_signed_callback_says_stands_in_its_body() {
    let proof = "hmac_sha256 = { header = \"X-Sign\", key = { file = \".rustfmt.toml\" } }";
    let callback = |inner: &str| format!("{URL}{CODE}callback = {{ {proof}, delivered = [\"ok\"], {inner} }}");
    read(&callback("attempt = \"/ref\", status = \"/s\"")).expect("holds");
    for (inner, part) in [
        ("attempt = \"?a\", status = \"/s\"", "callback.attempt: hmac_sha256 signs the body, and ?a is not in it"),
        ("attempt = \"/a\", reference = \"?r\", status = \"/s\"", "callback.reference"),
        ("reference = \"/id\", phone = \"?to\", status = \"/s\"", "callback.phone"),
        ("attempt = \"/a\", status = \"?s\"", "callback.status"),
        ("attempt = \"/a\", status = \"/s\", network = \"?n\"", "callback.network"),
        ("attempt = \"/a\", status = \"/s\", word = \"?w\"", "callback.word"),
    ] {
        let why = refused(&callback(inner));
        assert!(why.contains(part), "{inner}\n{why}");
    }
}

#[test]
fn an_address_for_callbacks_that_no_provider_can_read_is_refused() {
    let of = |url: &str| format!("{URL}{NONE}{CODE}callback_url = {url:?}");
    for url in ["https://x/callbacks/y", "http://[::1]:8090/callbacks/y?attempt={attempt_id}"] {
        read(&of(url)).expect(url);
    }
    for (url, why) in [
        ("otp.example.com/callbacks/y", "callback_url: the URL must start with https://"),
        ("htps://otp.example.com/callbacks/y", "callback_url: the URL must start with https://"),
        ("http://::1:8090/callbacks/y", "callback_url: the host"),
        ("https://otp.example.com:99999/callbacks/y", "callback_url: the port"),
    ] {
        let refused = refused(&of(url));
        assert!(refused.starts_with(why), "{url}: {refused}");
    }
}

#[test]
fn the_secret_of_a_callbacks_url_is_a_placeholder_there() {
    let query = "query = { name = \"key\", value = { file = \".rustfmt.toml\" } }, ";
    let callback = |proof: &str, url: &str| {
        format!(
            "{URL}{CODE}callback_url = {url:?}\ncallback = {{ {proof}attempt = \"/a\", status = \"/s\", delivered = [\"ok\"] }}"
        )
    };
    let config = read(&callback(query, "https://x/callbacks/y?key={callback_secret}")).expect("holds");
    assert!(!format!("{config:?}").contains("max_width"));
    let secret = std::fs::read_to_string(".rustfmt.toml").expect("there");
    let hmac = "hmac_sha256 = { header = \"X-Sign\", key = { file = \".rustfmt.toml\" } }, ";
    for (text, part) in [
        (callback(query, &format!("https://x/callbacks/y?key={}", secret.trim())), "is written as {callback_secret}"),
        (callback(hmac, "https://x/callbacks/y?key={callback_secret}"), "is the secret of callback.query"),
        (format!("{URL}{NONE}{CODE}text = \"{{code}} {{callback_secret}}\""), "{callback_secret} cannot stand here"),
    ] {
        let why = refused(&text);
        assert!(why.contains(part) && !why.contains("max_width"), "{text}\n{why}");
    }
}

#[test]
fn polling_needs_a_reference_to_ask_for() {
    let answers = "answers = [{ means = \"accepted\", reference = \"/id\" }]\n";
    let poll = |path: &str, every: u32| {
        format!(
            "{URL}{CODE}{answers}poll = {{ path = \"{path}\", every_ms = {every}, status = \"/s\", delivered = [\"ok\"] }}"
        )
    };
    read(&poll("/calls/{reference}?full=1", 100)).expect("holds");
    for (text, part) in [
        (poll("/calls", 100), "has no {reference}"),
        (poll("calls/{reference}", 100), "starts with /"),
        (poll("/calls/{reference} x", 100), "poll.path"),
        (poll("/calls/{phone}{reference}", 100), "cannot stand here"),
        (poll("/calls/{reference}", 10), "every_ms"),
        (poll("/calls/{reference}", 100).replace(answers, ""), "no rule of answers has one"),
        (format!("{}\nrate_per_second = 1401", poll("/calls/{reference}", 100)), "at most 1400 attempts a second"),
    ] {
        let why = refused(&text);
        assert!(why.contains(part), "{text}\n{why}");
    }
}

#[test]
fn no_secret_is_printed() {
    let text =
        format!("{URL}{CODE}{NONE}auth = {{ basic = {{ user = \"u\", password = {{ file = \".rustfmt.toml\" }} }} }}");
    let printed = format!("{:?}", read(&text).expect("holds"));
    assert!(!printed.contains("max_width"), "{printed}");
}

#[test]
fn a_list_of_receipts_is_named_and_its_pointers_are_each_elements_own() {
    let answers = "answers = [{ means = \"accepted\", reference = \"/id\" }]\n";
    let proof = "header = { name = \"x\", value = { file = \".rustfmt.toml\" } }";
    let callback = |inner: &str| format!("{URL}{CODE}{answers}callback = {{ {proof}, delivered = [\"ok\"], {inner} }}");
    let of = |inner: &str| read(&callback(inner)).expect(inner).callback.expect("there is one").each;
    assert_eq!(of("each = \"/results\", reference = \"/id\", status = \"/s\""), Pointer::parse("/results"));
    assert_eq!(of("each = \"\", reference = \"/id\", status = \"/s\""), Some(Pointer::whole()));
    for (inner, part) in [
        ("each = \"results\", reference = \"/id\", status = \"/s\"", "is no JSON pointer"),
        ("each = \"/r\", reference = \"?id\", status = \"/s\"", "callback.reference is behind"),
        ("each = \"/r\", reference = \"/id\", status = \"?s\"", "callback.status is behind"),
        ("each = \"/r\", form = \"form\", reference = \"/id\", status = \"/s\"", "form = \"form\" has none"),
    ] {
        let why = refused(&callback(inner));
        assert!(why.contains(part), "{inner}\n{why}");
    }
    let poll = |inner: &str| {
        format!(
            "{URL}{CODE}{answers}poll = {{ path = \"/c/{{reference}}\", every_ms = 100, delivered = [\"ok\"], {inner} }}"
        )
    };
    read(&poll("each = \"/results\", reference = \"/id\", status = \"/s\"")).expect("holds");
    assert!(refused(&poll("reference = \"/id\", status = \"/s\"")).contains("it needs poll.each"));
}

#[test]
fn pointers_into_one_element_of_a_list_are_warned_of() {
    let answers = "answers = [{ means = \"accepted\", reference = \"/id\" }]\n";
    let proof = "header = { name = \"x\", value = { file = \".rustfmt.toml\" } }";
    let with = |callback: &str, poll: &str| {
        format!(
            "{URL}{CODE}{answers}callback = {{ {proof}, delivered = [\"ok\"], {callback} }}\n\
             poll = {{ path = \"/c/{{reference}}\", every_ms = 100, delivered = [\"ok\"], {poll} }}"
        )
    };
    let warnings = |callback, poll| read(&with(callback, poll)).expect("holds").warnings();
    let both = warnings("reference = \"/results/0/id\", status = \"/results/0/s\"", "status = \"/results/0/s\"");
    assert_eq!(both.len(), 2);
    assert!(both[0].starts_with("callback ") && both[0].contains("each = \"/results\""), "{both:?}");
    assert!(both[1].starts_with("poll ") && both[1].contains("each = \"/results\""), "{both:?}");
    let none = warnings(
        "each = \"/results\", reference = \"/id\", status = \"/s\", word = \"/errors/0/text\"",
        "each = \"\", status = \"/s\"",
    );
    assert_eq!(none, [""; 0]);
    assert_eq!(warnings("reference = \"/id\", status = \"/s\", word = \"/errors/0\"", "status = \"/s\""), [""; 0]);
}

#[test]
fn a_receipt_by_get_has_everything_in_its_query() {
    let answers = "answers = [{ means = \"accepted\", reference = \"/id\" }]\n";
    let query = "query = { name = \"key\", value = { file = \".rustfmt.toml\" } }";
    let callback =
        |inner: &str| format!("{URL}{CODE}{answers}callback = {{ method = \"GET\", delivered = [\"ok\"], {inner} }}");
    let config = read(&callback(&format!("{query}, reference = \"?id\", status = \"?s\""))).expect("holds");
    assert_eq!(config.callback.expect("there is one").method, CallbackMethod::Get);
    let hmac = "hmac_sha256 = { header = \"X-Sign\", key = { file = \".rustfmt.toml\" } }";
    for (inner, part) in [
        (format!("{hmac}, reference = \"?id\", status = \"?s\""), "a GET has none"),
        (format!("{hmac}, reference = \"/id\", status = \"/s\""), "a GET has none"),
        (format!("{query}, reference = \"/id\", status = \"?s\""), "callback.reference: a GET has no body for \"/id\""),
        (format!("{query}, reference = \"?id\", status = \"/s\""), "callback.status: a GET"),
        (format!("{query}, reference = \"?id\", status = \"?s\", form = \"form\""), "callback.form"),
        (format!("{query}, each = \"/r\", reference = \"?id\", status = \"?s\""), "each"),
    ] {
        let why = refused(&callback(&inner));
        assert!(why.contains(part), "{inner}\n{why}");
    }
}
