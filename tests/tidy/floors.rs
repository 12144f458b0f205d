//! Floors: a folder uses strictly lower floors only.

use crate::source::{Source, rust_files};
use crate::{assert_complains, assert_tidy};

/// From the bottom up; parts of one floor do not know each other.
const FLOORS: &[&[&str]] = &[
    &["domain"],
    &["config", "telemetry", "clock", "wire"],
    &["store"],
    &["records", "carrier", "routing", "webhook"],
    &["actors"],
    &["send"],
    &["http", "rehearsal"],
    &["app", "cli", "main", "lib"],
];

/// The floor whose parts know everyone, each other included.
const TOP: usize = FLOORS.len() - 1;

fn floor_of(part: &str) -> Option<usize> {
    FLOORS.iter().position(|parts| parts.contains(&part))
}

fn check(source: &Source) -> Vec<String> {
    let part = source.part();
    let Some(floor) = floor_of(part) else {
        return vec![format!("{}: `{part}` is on no floor; put it on one in {}", source.path, file!())];
    };
    let mut complaints = Vec::new();
    for (line, used) in used_parts(source) {
        if used == part || floor == TOP {
            continue;
        }
        match floor_of(&used) {
            Some(below) if below < floor => {}
            Some(other) => complaints.push(format!(
                "{}:{line}: `{part}` (floor {floor}) uses `{used}` (floor {other}); only strictly lower floors may be used",
                source.path
            )),
            None => complaints.push(format!("{}:{line}: `crate::{used}` is on no floor", source.path)),
        }
    }
    for at in source.find("super::super::") {
        complaints.push(format!("{}:{}: write `crate::…` instead of climbing twice", source.path, source.line_of(at)));
    }
    complaints
}

/// The parts named after `crate::`, in imports and inline, groups taken apart.
fn used_parts(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for at in source.find("crate::") {
        let line = source.line_of(at);
        let rest = source.code[at + "crate::".len()..].trim_start();
        if let Some(group) = rest.strip_prefix('{') {
            found.extend(heads_of_group(group).into_iter().map(|head| (line, head)));
        } else {
            found.push((line, word(rest)));
        }
    }
    found.retain(|(_, part)| !part.is_empty());
    found
}

/// The first segment of every path in a `{…}` group whose opening brace is already read.
fn heads_of_group(group: &str) -> Vec<String> {
    let (mut depth, mut heads, mut expects_head) = (1, Vec::new(), true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => break,
            '}' => depth -= 1,
            ',' if depth == 1 => expects_head = true,
            c if expects_head && (c.is_alphabetic() || c == '_') => {
                heads.push(word(&group[at..]));
                expects_head = false;
            }
            _ => {}
        }
    }
    heads
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn every_part_uses_strictly_lower_floors_only() {
    let sources = rust_files(&["src"]);
    assert!(sources.len() > 20, "the sources were found");
    assert_tidy(&sources.iter().flat_map(check).collect::<Vec<_>>());
}

#[test]
fn the_rule_complains() {
    let complaints = |path: &str, text: &str| check(&Source::new(path, text));
    assert_complains(
        &complaints("src/domain/money.rs", "use crate::clock::Clock;"),
        &["`domain` (floor 0) uses `clock`"],
    );
    assert_complains(&complaints("src/records/a.rs", "fn f() { crate::carrier::go() }"), &["uses `carrier`"]);
    assert_complains(
        &complaints("src/store.rs", "use crate::{domain::{ids, money}, http::error,\n send};"),
        &["uses `http`", "uses `send`"],
    );
    assert_complains(&complaints("src/carrier/a/b.rs", "use super::super::records::x;"), &["climbing"]);
    assert_complains(&complaints("src/actors/wallet.rs", "use super::supervise::Tasks;"), &[]);
    assert_complains(&complaints("src/helpers/a.rs", ""), &["on no floor"]);
    assert_complains(&complaints("src/store/a.rs", "use crate::misc::x;"), &["on no floor"]);
    let fine =
        "//! Not crate::http.\nuse crate::records::x;\nuse crate::domain::y; pub(crate) fn f() { \"crate::http\"; }";
    assert_complains(&complaints("src/records/b.rs", fine), &[]);
    assert_complains(&complaints("src/cli/serve.rs", "use crate::app::x;"), &[]);
}
