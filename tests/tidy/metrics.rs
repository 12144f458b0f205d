//! Metrics: every name that is used is declared, and every name that is declared is used.

use std::collections::BTreeSet;

use crate::source::{Source, rust_files};
use crate::{assert_complains, assert_tidy};

const DECLARED_IN: &str = "src/telemetry/names.rs";
const MACROS: &[&str] = &["counter!(", "gauge!(", "histogram!("];

fn check(sources: &[Source]) -> Vec<String> {
    let declared: BTreeSet<String> =
        sources.iter().filter(|source| source.path == DECLARED_IN).flat_map(constants).collect();
    let mut complaints = Vec::new();
    let mut mentioned = BTreeSet::new();
    for source in sources.iter().filter(|source| source.path != DECLARED_IN) {
        for at in MACROS.iter().flat_map(|name| source.find(name)) {
            let arguments = source.code[at..].split_once('(').map_or("", |(_, arguments)| arguments);
            let name = arguments.split([',', ')', ';']).next().unwrap_or_default().trim();
            let constant = name.rsplit("::").next().unwrap_or_default();
            if !declared.contains(constant) {
                let line = source.line_of(at);
                complaints.push(format!("{}:{line}: a metric whose name is no constant of {DECLARED_IN}", source.path));
            }
        }
        let words = source.code.split(|c: char| !c.is_alphanumeric() && c != '_');
        mentioned.extend(words.filter(|word| declared.contains(*word)).map(str::to_owned));
    }
    complaints.extend(declared.difference(&mentioned).map(|name| format!("{DECLARED_IN}: nothing uses {name}")));
    complaints
}

fn constants(source: &Source) -> Vec<String> {
    let names = source.code.split("const ").skip(1).filter_map(|rest| rest.split_once(": &str"));
    names
        .map(|(name, _)| name.trim().to_owned())
        .filter(|name| name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))
        .collect()
}

#[test]
fn every_metric_is_declared_and_used() {
    assert_tidy(&check(&rust_files(&["src"])));
}

#[test]
fn the_rule_complains() {
    let names = Source::new(
        DECLARED_IN,
        "pub const ACCEPTED: &str = \"nexo_accepted_total\";\npub const OLD: &str = \"nexo_old\";",
    );
    let user = Source::new(
        "src/send.rs",
        "counter!(names::ACCEPTED).increment(1);\ncounter!(\"nexo_typo\", \"a\" => b);\nmetrics::gauge!(OTHER);",
    );
    assert_complains(&check(&[names, user]), &["send.rs:2", "send.rs:3", "nothing uses OLD"]);
}
