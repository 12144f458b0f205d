//! The map: `src/ARCHITECTURE.md` is short and names every module; the top level stays what it is.
//!
//! A module is a file of a floor. What lies deeper, in a file's own folder, are that file's private rooms: its `//!` names
//! them.

use std::fs;

use crate::source::{root, rust_files};
use crate::{assert_complains, assert_tidy};

const MAP_LINES_MAX: usize = 150;

/// What may be seen at the top level; dot-files are for tools.
const TOP_LEVEL: &[&str] = &[
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "Makefile",
    "README.md",
    "benches",
    "config",
    "deny.toml",
    "fuzz",
    "load-tests",
    "src",
    "tests",
    // Ignored by git.
    "data",
    "target",
];

fn check_map(map: &str, modules: &[String]) -> Vec<String> {
    let mut complaints = Vec::new();
    let lines = map.lines().count();
    if lines > MAP_LINES_MAX {
        complaints.push(format!("src/ARCHITECTURE.md has {lines} lines; at most {MAP_LINES_MAX} are read"));
    }
    let words: Vec<&str> = map.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    for module in modules {
        let name = module.rsplit('/').next().unwrap_or(module);
        if !words.contains(&name) {
            complaints.push(format!("src/ARCHITECTURE.md does not name the module {module}"));
        }
    }
    complaints
}

fn check_top_level(names: &[String]) -> Vec<String> {
    let strangers = names.iter().filter(|name| !name.starts_with('.') && !TOP_LEVEL.contains(&name.as_str()));
    strangers.map(|name| format!("{name} does not belong at the top level")).collect()
}

fn check_release_profile(manifest: &str) -> Vec<String> {
    let manifest: toml::Table = manifest.parse().expect("a manifest");
    let profiles = manifest.get("profile").and_then(toml::Value::as_table).cloned().unwrap_or_default();
    let panic_of = |profile: &toml::Value| profile.get("panic").and_then(toml::Value::as_str).map(str::to_owned);
    let mut complaints = Vec::new();
    if profiles.get("release").and_then(panic_of).as_deref() != Some("unwind") {
        complaints.push("Cargo.toml: profile.release says panic = \"unwind\": supervision catches panics".to_owned());
    }
    for (name, profile) in &profiles {
        if panic_of(profile).is_some_and(|panic| panic != "unwind") {
            complaints.push(format!("Cargo.toml: profile.{name} disables supervision"));
        }
    }
    complaints
}

#[test]
fn the_map_is_short_and_names_every_module() {
    let modules: Vec<String> = rust_files(&["src"])
        .iter()
        .map(|source| source.path.trim_start_matches("src/").trim_end_matches(".rs").to_owned())
        .filter(|module| module != "lib" && module.split('/').count() <= 2)
        .collect();
    let map = fs::read_to_string(root().join("src/ARCHITECTURE.md")).expect("the map");
    assert_tidy(&check_map(&map, &modules));
}

#[test]
fn the_top_level_stays_what_it_is() {
    let entries = fs::read_dir(root()).expect("the repository").flatten();
    let names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    assert_tidy(&check_top_level(&names));
}

#[test]
fn a_release_keeps_its_supervision() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the manifest");
    assert_tidy(&check_release_profile(&manifest));
}

#[test]
fn the_rules_complain() {
    let modules = ["records/ledger".to_owned(), "actors/wallet".to_owned()];
    assert_complains(&check_map("`wallet` pays", &modules), &["records/ledger"]);
    assert_complains(&check_map(&"ledger wallet\n".repeat(151), &modules), &["151 lines"]);
    assert_complains(&check_top_level(&["src".into(), ".ci".into(), "scripts".into()]), &["scripts"]);
    assert_complains(&check_release_profile("[profile.dev]"), &["supervision"]);
    assert_complains(&check_release_profile("[profile.release]\npanic = \"abort\""), &["unwind", "disables"]);
}
