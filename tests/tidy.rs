//! The house rules that no compiler checks: floors, privileges, file heads and lengths, words, metrics, the map.
//!
//! Each rule is a function from sources to complaints, run over the repository and over a small sample that breaks it, so
//! that a rule cannot rot into one that never complains. Reads files only; nothing here compiles or runs the product.

#![allow(unreachable_pub, reason = "a test binary exports nothing; `pub` is how its files see each other")]

#[path = "tidy/floors.rs"]
mod floors;
#[path = "tidy/habits.rs"]
mod habits;
#[path = "tidy/map.rs"]
mod map;
#[path = "tidy/metrics.rs"]
mod metrics;
#[path = "tidy/privileges.rs"]
mod privileges;
#[path = "tidy/source.rs"]
mod source;

/// Fails with every complaint at once, one per line.
fn assert_tidy(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// Fails unless `complaints` has exactly one entry for each of `expected`, in order, that contains it.
fn assert_complains(complaints: &[String], expected: &[&str]) {
    assert_eq!(complaints.len(), expected.len(), "{complaints:#?}");
    for (complaint, part) in complaints.iter().zip(expected) {
        assert!(complaint.contains(part), "{complaint:?} does not mention {part:?}");
    }
}
