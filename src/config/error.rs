//! Why a configuration is refused. Every variant names the field and where it was set; none holds a secret's value.

use std::fmt;
use std::path::PathBuf;

/// One field and what is wrong with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// `section.key`.
    pub field: String,
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.reason)
    }
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{}, line {line}: {message}", path.display())]
    Syntax { path: PathBuf, line: usize, message: String },
    #[error("{origin}: there is no setting {field}{hint}")]
    Unknown { field: String, origin: String, hint: String },
    #[error("{origin}: {field} must be {expected}, not {found}")]
    WrongType { field: String, origin: String, expected: &'static str, found: &'static str },
    /// Every field that breaks a rule.
    #[error("{}", lines(.0))]
    Refused(Vec<Problem>),
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
