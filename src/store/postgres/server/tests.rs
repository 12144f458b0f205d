//! That the list of privileges is what the statements in the sources need, and no more.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::*;

type Needs = BTreeMap<String, BTreeSet<&'static str>>;

#[test]
fn the_privileges_are_what_the_statements_need() {
    let listed: Needs = PRIVILEGES
        .iter()
        .map(|(table, privileges)| ((*table).to_owned(), privileges.iter().copied().collect()))
        .collect();
    let mut needed = Needs::new();
    let mut sources = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut sources);
    for source in sources {
        for text in literals(&source) {
            read(&text, &listed, &mut needed);
        }
    }
    // Whoever applies migrations is another role.
    needed.get_mut("schema_migrations").expect("read").remove("INSERT");
    assert_eq!(needed, listed);
    let made = include_str!("../../migrations/postgres/0001_core.sql").matches("CREATE TABLE").count();
    assert!(made > 10, "the migrations are SQL");
}

#[test]
fn every_table_of_the_migrations_is_listed() {
    let mut migrations = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/migrations/postgres"), &mut migrations);
    let tables: BTreeSet<String> = migrations
        .iter()
        .flat_map(|sql| words_after(sql, &["CREATE", "TABLE"]))
        .chain(["schema_migrations".into()])
        .collect();
    let listed: BTreeSet<String> = PRIVILEGES.iter().map(|(table, _)| (*table).to_owned()).collect();
    assert_eq!(listed, tables);
}

fn collect(folder: &Path, texts: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            collect(&entry, texts);
        } else if !entry.ends_with("tests.rs") && entry.extension().is_some_and(|kind| kind == "rs" || kind == "sql") {
            texts.push(fs::read_to_string(&entry).expect("text"));
        }
    }
}

/// String literals, with their line breaks taken out.
fn literals(source: &str) -> Vec<String> {
    let mut literals = Vec::new();
    let mut rest = source;
    while let Some(open) = rest.find('"') {
        let inside = &rest[open + 1..];
        let mut escaped = false;
        let end = inside.find(|c: char| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let Some(end) = end else { return literals };
        literals.push(inside[..end].replace("\\\n", " "));
        rest = &inside[end + 1..];
    }
    literals
}

/// The word behind each place where these words stand.
fn words_after(text: &str, words: &[&str]) -> Vec<String> {
    let text: Vec<&str> = text.split_whitespace().collect();
    let behind = |at: usize| text.get(at + words.len()).map(|word| word.trim_matches(['(', ')', ',']).to_owned());
    text.windows(words.len())
        .enumerate()
        .filter(|(_, window)| *window == words)
        .filter_map(|(at, _)| behind(at))
        .collect()
}

fn read(text: &str, listed: &Needs, needed: &mut Needs) {
    let text = text.replace('(', " ( ").replace(')', " ) ");
    let mut need = |tables: &[String], privilege| {
        for table in tables.iter().filter(|table| listed.contains_key(*table)) {
            needed.entry(table.clone()).or_default().insert(privilege);
        }
    };
    let inserted = words_after(&text, &["INSERT", "INTO"]);
    need(&inserted, "INSERT");
    if text.contains("DO UPDATE") {
        need(&inserted, "UPDATE");
    }
    need(&words_after(&text, &["UPDATE"]), "UPDATE");
    need(&words_after(&text, &["DELETE", "FROM"]), "DELETE");
    for from in ["FROM", "JOIN"] {
        let read = words_after(&text, &[from]);
        need(&read, "SELECT");
        for table in read {
            // A lock of one table names it by its alias.
            let alias = words_after(&text, &[from, &table]).into_iter().next().unwrap_or_default();
            if text.contains("{for_update}") || text.contains(&format!("{{for_update:{alias}}}")) {
                need(&[table], "UPDATE");
            }
        }
    }
}
