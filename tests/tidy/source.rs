//! Source files, taken apart into code, string literals and comments.
//!
//! The splitter knows Rust's comments, strings, raw strings, characters and lifetimes; nothing more. What it blanks keeps
//! its length and its lines, so that every position names the same place in all views.

use std::fs;
use std::path::{Path, PathBuf};

/// One file of the repository.
pub struct Source {
    /// From the repository's root, with `/`.
    pub path: String,
    pub text: String,
    /// The text with comments and the insides of literals blanked.
    pub code: String,
    /// Line number and inside of every string literal.
    pub strings: Vec<(usize, String)>,
    /// Line number and text of every comment.
    pub comments: Vec<(usize, String)>,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let mut split =
            Splitter { bytes: text.as_bytes(), at: 0, line: 1, code: Vec::new(), strings: vec![], comments: vec![] };
        split.run();
        let code = String::from_utf8_lossy(&split.code).into_owned();
        Self { path: path.into(), text: text.into(), code, strings: split.strings, comments: split.comments }
    }

    /// The part of the house that the file belongs to: `records` for `src/records/ledger.rs` and for `src/records.rs`.
    pub fn part(&self) -> &str {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs")
    }

    pub fn line_of(&self, position: usize) -> usize {
        self.code[..position].matches('\n').count() + 1
    }

    /// Positions in the code where `token` stands on its own at its start.
    pub fn find<'s>(&'s self, token: &'s str) -> impl Iterator<Item = usize> + 's {
        self.code.match_indices(token).map(|(at, _)| at).filter(move |&at| {
            let before = self.code[..at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$')
        })
    }
}

/// Where this repository is.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below `folders`.
pub fn rust_files(folders: &[&str]) -> Vec<Source> {
    files(folders, "rs")
}

/// Every file below `folders` whose extension is `extension` (any, if that is empty).
pub fn files(folders: &[&str], extension: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    for folder in folders {
        walk(&root().join(folder), &mut paths);
    }
    paths.sort();
    let wanted = |path: &PathBuf| extension.is_empty() || path.extension().is_some_and(|e| e == extension);
    paths
        .into_iter()
        .filter(wanted)
        .filter_map(|path| {
            let text = fs::read_to_string(&path).ok()?;
            let relative = path.strip_prefix(root()).expect("below the root").to_string_lossy().replace('\\', "/");
            Some(Source::new(&relative, &text))
        })
        .collect()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    if folder.is_file() {
        found.push(folder.into());
        return;
    }
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if !matches!(name.to_string_lossy().as_ref(), "node_modules" | ".venv" | "__pycache__") {
            walk(&entry.path(), found);
        }
    }
}

struct Splitter<'t> {
    bytes: &'t [u8],
    at: usize,
    line: usize,
    code: Vec<u8>,
    strings: Vec<(usize, String)>,
    comments: Vec<(usize, String)>,
}

impl Splitter<'_> {
    fn run(&mut self) {
        while self.at < self.bytes.len() {
            let rest = &self.bytes[self.at..];
            let word_before = self.code.last().is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
            if rest.starts_with(b"//") {
                let end = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
                self.comment(end);
            } else if rest.starts_with(b"/*") {
                self.comment(block_end(rest));
            } else if !word_before && let Some((open, close)) = raw_string(rest) {
                self.literal(open, find(&rest[open..], &close).map_or(rest.len() - open, |end| end), close.len());
            } else if rest[0] == b'"' {
                self.literal(1, quoted_end(&rest[1..], b'"'), 1);
            } else if rest[0] == b'\'' && is_character(rest) {
                self.literal(1, quoted_end(&rest[1..], b'\''), 1);
            } else {
                self.keep(1);
            }
        }
    }

    fn keep(&mut self, count: usize) {
        let end = (self.at + count).min(self.bytes.len());
        for byte in &self.bytes[self.at..end] {
            self.line += usize::from(*byte == b'\n');
            self.code.push(*byte);
        }
        self.at = end;
    }

    fn blank(&mut self, count: usize) -> String {
        let end = (self.at + count).min(self.bytes.len());
        let inside = &self.bytes[self.at..end];
        for byte in inside {
            self.line += usize::from(*byte == b'\n');
            self.code.push(if *byte == b'\n' { b'\n' } else { b' ' });
        }
        self.at = end;
        String::from_utf8_lossy(inside).into_owned()
    }

    fn comment(&mut self, count: usize) {
        let line = self.line;
        let text = self.blank(count);
        self.comments.push((line, text));
    }

    fn literal(&mut self, open: usize, inside: usize, close: usize) {
        self.keep(open);
        let line = self.line;
        let text = self.blank(inside);
        self.strings.push((line, text));
        self.keep(close);
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// The length of the opening of a raw string, and its closing, if `rest` starts with one.
fn raw_string(rest: &[u8]) -> Option<(usize, Vec<u8>)> {
    let prefix = [b"br".as_slice(), b"cr", b"r"].into_iter().find(|prefix| rest.starts_with(prefix))?.len();
    let hashes = rest[prefix..].iter().take_while(|b| **b == b'#').count();
    (rest.get(prefix + hashes) == Some(&b'"')).then(|| {
        let mut close = vec![b'"'];
        close.resize(hashes + 1, b'#');
        (prefix + hashes + 1, close)
    })
}

/// Tells a character literal from a lifetime: `'a'` and `'\n'` from `'a`.
fn is_character(rest: &[u8]) -> bool {
    match rest.get(1) {
        Some(b'\\') => true,
        Some(byte) if byte.is_ascii() => rest.get(2) == Some(&b'\''),
        Some(_) => rest.iter().take(6).skip(2).any(|b| *b == b'\''),
        None => false,
    }
}

fn quoted_end(inside: &[u8], quote: u8) -> usize {
    let mut at = 0;
    while at < inside.len() && inside[at] != quote {
        at += if inside[at] == b'\\' { 2 } else { 1 };
    }
    at.min(inside.len())
}

fn block_end(rest: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at.min(rest.len())
}

#[test]
fn code_strings_and_comments_are_told_apart() {
    let text = "//! head\nlet a: &'static str = \"in // a \\\" string\"; // tail\nlet b = r#\"raw \" one\"#; let c = '\"'; /* x /* y */ z */ end\n";
    let source = Source::new("src/records/ledger.rs", text);
    assert_eq!(source.code.len(), text.len());
    assert_eq!(source.part(), "records");
    assert_eq!(source.line_of(source.find("end").next().expect("kept")), 3);
    let strings: Vec<_> = source.strings.iter().map(|(line, text)| (*line, text.as_str())).collect();
    assert_eq!(strings, [(2, "in // a \\\" string"), (3, "raw \" one"), (3, "\"")]);
    let comments: Vec<_> = source.comments.iter().map(|(line, text)| (*line, text.as_str())).collect();
    assert_eq!(comments, [(1, "//! head"), (2, "// tail"), (3, "/* x /* y */ z */")]);
}
