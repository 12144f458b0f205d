//! Privileges: what only one part of the house may do.

use crate::source::{Source, rust_files};
use crate::{assert_complains, assert_tidy};

struct Privilege {
    what: &'static str,
    tokens: &'static [&'static str],
    parts: &'static [&'static str],
}

const IN_CODE: &[Privilege] = &[
    Privilege {
        what: "the HTTP server and its status codes",
        tokens: &["hyper::server", "hyper::service", "StatusCode"],
        parts: &["http", "rehearsal"],
    },
    Privilege {
        what: "HTTP",
        tokens: &["hyper::", "hyper_util::", "http_body_util::"],
        parts: &["http", "webhook", "carrier", "rehearsal"],
    },
    Privilege { what: "the HTTP client", tokens: &["hyper::client"], parts: &["webhook", "carrier"] },
    Privilege {
        what: "TLS and the DNS",
        tokens: &["rustls::", "tokio_rustls::", "webpki_roots::", "hickory_resolver::"],
        parts: &["wire", "webhook", "carrier"],
    },
    // The command line prints JSON (`--json`); it serves none.
    Privilege { what: "JSON", tokens: &["serde_json::"], parts: &["http", "cli", "carrier", "rehearsal"] },
    Privilege { what: "serde", tokens: &["serde::"], parts: &["config", "http", "cli"] },
    Privilege {
        what: "the database drivers",
        tokens: &["rusqlite::", "tokio_postgres::", "deadpool_postgres::"],
        parts: &["store"],
    },
    Privilege {
        what: "the wall clock",
        tokens: &["SystemTime::now", "Zoned::now", "UtcDateTime::now"],
        parts: &["clock"],
    },
    Privilege { what: "SMPP", tokens: &["rusmpp::"], parts: &["carrier", "rehearsal"] },
    Privilege { what: "actors", tokens: &["ractor::"], parts: &["actors", "app"] },
];

const SQL: &[&str] = &["{rows}", "SELECT ", "INSERT ", "UPDATE ", "DELETE FROM "];
const SQL_PARTS: &[&str] = &["records", "store"];

fn check(source: &Source) -> Vec<String> {
    let part = source.part();
    let mut complaints = Vec::new();
    for privilege in IN_CODE.iter().filter(|privilege| !privilege.parts.contains(&part)) {
        for at in privilege.tokens.iter().flat_map(|token| source.find(token)) {
            complaints.push(format!(
                "{}:{}: {} only in {}",
                source.path,
                source.line_of(at),
                privilege.what,
                privilege.parts.join(" and ")
            ));
        }
    }
    if !SQL_PARTS.contains(&part) {
        for (line, _) in source.strings.iter().filter(|(_, text)| SQL.iter().any(|token| text.contains(token))) {
            complaints.push(format!("{}:{line}: SQL text only in {}", source.path, SQL_PARTS.join(" and ")));
        }
    }
    complaints
}

#[test]
fn every_privilege_stays_in_its_part() {
    assert_tidy(&rust_files(&["src"]).iter().flat_map(check).collect::<Vec<_>>());
}

#[test]
fn the_rule_complains() {
    let complaints = |path: &str, text: &str| check(&Source::new(path, text));
    assert_complains(
        &complaints("src/send.rs", "use hyper::Request;\nuse hyper::StatusCode;"),
        &[":2: the HTTP server", ":1: HTTP", ":2: HTTP"],
    );
    assert_complains(&complaints("src/webhook/a.rs", "use hyper::server::conn; use hyper::Uri;"), &["HTTP server"]);
    assert_complains(&complaints("src/http/a.rs", "use hyper::client::conn;"), &["HTTP client"]);
    assert_complains(&complaints("src/records/a.rs", "fn f(c: rustls::ClientConfig) {}"), &["TLS"]);
    assert_complains(
        &complaints("src/records/a.rs", "use serde_json::Value; use serde::Serialize;"),
        &["JSON", "serde"],
    );
    assert_complains(&complaints("src/records/a.rs", "fn f(c: rusqlite::Connection) {}"), &["database drivers"]);
    assert_complains(&complaints("src/send.rs", "let now = std::time::SystemTime::now();"), &["wall clock"]);
    assert_complains(&complaints("src/carrier/a.rs", "use ractor::Actor;"), &["actors"]);
    assert_complains(&complaints("src/cli/a.rs", "f(\"SELECT 1\");\n g(r\"… {rows}\");"), &[":1: SQL", ":2: SQL"]);
    assert_complains(&complaints("src/records/a.rs", "f(\"SELECT 1\"); // hyper::Request"), &[]);
    assert_complains(&complaints("src/actors/a.rs", "use ractor::Actor; use my_hyper::x;"), &[]);
}
