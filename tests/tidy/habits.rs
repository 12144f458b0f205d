//! Habits: file heads, file lengths, names, and words that are never left behind.

use crate::source::{Source, files, rust_files};
use crate::{assert_complains, assert_tidy};

const LINES_MAX: usize = 500;
const LINES_GOAL: usize = 300;

/// Files longer than the goal, with the length that they may not pass. The list only shrinks: no file joins it, no
/// number grows, and a file that is short again leaves it.
const LONG: &[(&str, usize)] = &[];

const RUST_FOLDERS: &[&str] = &["src", "tests", "benches", "load-tests", "fuzz/fuzz_targets"];

/// Drawers: names that say nothing about what lives inside.
const DRAWERS: &[&str] = &["common", "core", "helper", "helpers", "manager", "misc", "service", "util", "utils"];

fn check_head(source: &Source) -> Vec<String> {
    let first = source.text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let has_head = first.starts_with("//!") || first.starts_with("#![doc = include_str!");
    if has_head {
        vec![]
    } else {
        vec![format!("{}: opens with `//!`: what it owns, never does, how it ends", source.path)]
    }
}

fn check_length(sources: &[Source], long: &[(&str, usize)]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources {
        let lines = source.text.lines().count();
        let allowed = long.iter().find(|(path, _)| *path == source.path).map(|(_, allowed)| *allowed);
        match allowed {
            _ if lines > LINES_MAX => complaints.push(format!("{}: {lines} lines; split it", source.path)),
            Some(_) if lines <= LINES_GOAL => {
                complaints.push(format!("{}: short again; take it off LONG", source.path));
            }
            Some(allowed) if lines > allowed => {
                complaints.push(format!("{}: {lines} lines; it may only shrink from {allowed}", source.path));
            }
            None if lines > LINES_GOAL => {
                complaints.push(format!("{}: {lines} lines; the goal is {LINES_GOAL}: split it", source.path));
            }
            _ => {}
        }
    }
    let gone = long.iter().filter(|(path, _)| !sources.iter().any(|source| source.path == *path));
    complaints.extend(gone.map(|(path, _)| format!("{path}: gone; take it off LONG")));
    complaints
}

fn check_names(source: &Source) -> Vec<String> {
    let segments = source.path.split('/').map(|segment| segment.trim_end_matches(".rs"));
    let drawers = segments.filter(|segment| DRAWERS.contains(segment) || *segment == "mod");
    drawers.map(|drawer| format!("{}: `{drawer}` says nothing; name it after what lives inside", source.path)).collect()
}

fn check_words(source: &Source) -> Vec<String> {
    let mut complaints = Vec::new();
    for (line, comment) in &source.comments {
        let words = comment.split(|c: char| !c.is_alphanumeric());
        if words.into_iter().any(|word| matches!(word, "FIXME" | "TODO" | "XXX" | "HACK")) {
            complaints.push(format!("{}:{line}: do it, or write an issue", source.path));
        }
    }
    for token in ["todo!(", "unimplemented!(", "#[ignore", "#[should_panic"] {
        for at in source.code.match_indices(token).map(|(at, _)| at) {
            complaints.push(format!("{}:{}: {token} is never left behind", source.path, source.line_of(at)));
        }
    }
    complaints
}

/// Paths of somebody's machine, in any file.
fn check_machine_paths(source: &Source) -> Vec<String> {
    // Put together here, so that this file does not complain about itself.
    let paths = ["work", "tmp/nexo", "root", "home", "Users"].map(|folder| format!("/{folder}/"));
    let lines = source.text.lines().enumerate();
    lines
        .filter(|(_, line)| paths.iter().any(|path| has_path(line, path)))
        .map(|(index, _)| format!("{}:{}: a path of somebody's machine", source.path, index + 1))
        .collect()
}

/// Whether `path` stands at the start of a path in `line`, not in the middle of one.
fn has_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        !line[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '}' | '/' | '*'))
    })
}

#[test]
fn every_file_says_what_it_owns() {
    assert_tidy(&rust_files(RUST_FOLDERS).iter().flat_map(check_head).collect::<Vec<_>>());
}

#[test]
fn files_are_short_and_long_ones_only_shrink() {
    assert_tidy(&check_length(&rust_files(RUST_FOLDERS), LONG));
}

#[test]
fn nothing_is_put_into_a_drawer() {
    assert_tidy(&rust_files(RUST_FOLDERS).iter().flat_map(check_names).collect::<Vec<_>>());
}

#[test]
fn nothing_is_left_for_later() {
    assert_tidy(&rust_files(RUST_FOLDERS).iter().flat_map(check_words).collect::<Vec<_>>());
}

#[test]
fn no_file_names_a_machine() {
    let sources = files(
        &[
            "src",
            "tests",
            "benches",
            "load-tests",
            "fuzz/fuzz_targets",
            "config",
            ".ci",
            ".config",
            ".clippy.toml",
            ".gitignore",
            "Cargo.toml",
            "Makefile",
            "README.md",
            "CHANGELOG.md",
            "deny.toml",
        ],
        "",
    );
    assert_tidy(&sources.iter().flat_map(check_machine_paths).collect::<Vec<_>>());
}

#[test]
fn the_rules_complain() {
    let source = Source::new;
    assert_complains(&check_head(&source("src/a.rs", "\nuse std::fmt;")), &["opens with"]);
    assert_complains(&check_head(&source("src/lib.rs", "#![doc = include_str!(\"X.md\")]")), &[]);
    assert_complains(&check_names(&source("src/utils/mod.rs", "")), &["`utils`", "`mod`"]);
    let words = "// FIXME: x\nfn f() { todo!() }\n#[ignore]\n#[should_panic]\n\"#[ignore]\" // a todo list";
    assert_complains(&check_words(&source("src/a.rs", words)), &[":1:", ":2:", ":3:", ":4:"]);
    let machine = format!("a\n\"/{}/x\" b/{}/y\n", "home", "home");
    assert_complains(&check_machine_paths(&source("a", &machine)), &["a:2"]);
    let of_length = |path: &str, lines: usize| source(path, &"x\n".repeat(lines));
    let sources =
        [of_length("a", 501), of_length("b", 301), of_length("c", 300), of_length("d", 321), of_length("e", 320)];
    let long = [("c", 310), ("d", 320), ("e", 320), ("f", 320)];
    assert_complains(&check_length(&sources, &long), &["a: 501", "b: 301", "c: short", "d: 321", "f: gone"]);
}
