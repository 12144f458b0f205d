//! The loader: compiled default, then a file, then the environment.
//!
//! `config/default.toml` is also the schema: what is not in it is unknown, and a value must be of its kind there. That
//! way every refusal names the field and where it was set. Values are never repeated in an error: one may be a password.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use toml::{Table, Value};

use super::check::check;
use super::error::{ConfigError, Problem};
use super::{AttemptTimes, Config, KEYS_VARIABLE, StoreUrl};

/// The text of `config/default.toml`.
pub const DEFAULTS: &str = include_str!("../../config/default.toml");

const PREFIX: &str = "NEXO_";
/// The longest file that holds the address of the database.
const URL_FILE_LEN_MAX: u64 = 64 << 10;

/// A configuration and what it was told beyond the defaults.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// Field and where it was set, in order; of a field that is there twice the last one holds.
    pub overridden: Vec<(String, String)>,
}

/// Reads `file`, if one is given, and this process's environment over the defaults.
///
/// # Errors
/// [`ConfigError`], which names the field.
pub fn load(file: Option<&Path>) -> Result<Loaded, ConfigError> {
    let Some(path) = file else {
        return assemble(None, std::env::vars_os());
    };
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    assemble(Some((path, &text)), std::env::vars_os())
}

/// The same from a text and variables that are given.
///
/// # Errors
/// [`ConfigError`], which names the field.
pub fn assemble(
    file: Option<(&Path, &str)>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Loaded, ConfigError> {
    let mut settings = Settings { table: defaults(), overridden: Vec::new() };
    if let Some((path, text)) = file {
        settings.read_file(path, text)?;
    }
    for (name, value) in variables {
        if let Some(name) = name.to_str().filter(|name| *name != KEYS_VARIABLE && name.starts_with(PREFIX)) {
            settings.read_variable(name, &value)?;
        }
    }
    let mut config = deserialize(settings.table)?;
    let (within_ms, timeout_ms) = (config.dispatch.dispatch_within_ms, config.dispatch.attempt_timeout_ms);
    config.carriers.attempt = Some(AttemptTimes { within_ms, timeout_ms });
    config.carriers.secret_files = config.secrets.files();
    read_store_url(&mut config, &settings.overridden)?;
    check(&config)?;
    Ok(Loaded { config, overridden: settings.overridden })
}

/// The address of the database, if a file holds it.
fn read_store_url(config: &mut Config, overridden: &[(String, String)]) -> Result<(), ConfigError> {
    let path = &config.store.url_file;
    if path.as_os_str().is_empty() {
        return Ok(());
    }
    let refused = |reason: String| ConfigError::Refused(vec![Problem { field: "store.url_file".to_owned(), reason }]);
    if let Some((_, origin)) = overridden.iter().rfind(|(field, _)| field == "store.url") {
        return Err(refused(format!("store.url is set too, by {origin}: leave one of them away")));
    }
    let text = config.secrets.files().read(path, URL_FILE_LEN_MAX).map_err(|error| refused(error.to_string()))?;
    config.store.url = StoreUrl(text.trim().to_owned());
    Ok(())
}

fn defaults() -> Table {
    DEFAULTS.parse().expect("config/default.toml is tested")
}

/// What is set so far; every key that may be set is in it.
struct Settings {
    table: Table,
    overridden: Vec<(String, String)>,
}

impl Settings {
    fn read_file(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let file: Table = text.parse().map_err(|error| syntax(path, text, &error))?;
        let origin = path.display().to_string();
        for (section, value) in file {
            let Some(Value::Table(known)) = self.table.get_mut(&section) else {
                return Err(ConfigError::Unknown { field: section, origin, hint: String::new() });
            };
            let Value::Table(fields) = value else {
                return Err(ConfigError::WrongType {
                    field: section,
                    origin,
                    expected: "a section",
                    found: kind(&value),
                });
            };
            for (key, value) in fields {
                let field = format!("{section}.{key}");
                let Some(slot) = known.get_mut(&key) else {
                    let keys: Vec<&str> = known.keys().map(String::as_str).collect();
                    let hint = format!("; [{section}] has {}", keys.join(", "));
                    return Err(ConfigError::Unknown { field, origin, hint });
                };
                *slot = match of_kind(slot, value) {
                    Ok(value) => value,
                    Err(found) => {
                        return Err(ConfigError::WrongType { field, origin, expected: kind(slot), found });
                    }
                };
                self.overridden.push((field, origin.clone()));
            }
        }
        Ok(())
    }

    /// `NEXO_SECTION__KEY`. Another variable with our prefix belongs to somebody else, unless it is plainly a setting
    /// that lost an underscore.
    fn read_variable(&mut self, name: &str, value: &OsStr) -> Result<(), ConfigError> {
        let origin = "the environment".to_owned();
        let lower = name[PREFIX.len()..].to_ascii_lowercase();
        let Some((section, key)) = lower.split_once("__") else {
            return match self.variable_meant_by(&lower) {
                Some(meant) => Err(ConfigError::Unknown {
                    field: name.to_owned(),
                    origin,
                    hint: format!("; did you mean {meant}"),
                }),
                None => Ok(()),
            };
        };
        let slot = self.table.get_mut(section).and_then(Value::as_table_mut).and_then(|known| known.get_mut(key));
        let Some(slot) = slot else {
            return Err(ConfigError::Unknown { field: name.to_owned(), origin, hint: String::new() });
        };
        let Some(value) = value.to_str().and_then(|text| from_text(slot, text)) else {
            let field = format!("{section}.{key} ({name})");
            return Err(ConfigError::WrongType { field, origin, expected: kind(slot), found: "this text" });
        };
        *slot = value;
        self.overridden.push((format!("{section}.{key}"), name.to_owned()));
        Ok(())
    }

    fn variable_meant_by(&self, flat: &str) -> Option<String> {
        let keys_of = |value: &Value| value.as_table().map(|t| t.keys().cloned().collect()).unwrap_or_default();
        let pairs = self.table.iter().flat_map(|(section, value)| {
            let keys: Vec<String> = keys_of(value);
            keys.into_iter().map(move |key| (section, key))
        });
        pairs
            .map(|(section, key)| (format!("{section}_{key}"), format!("{PREFIX}{section}__{key}")))
            .find(|(joined, _)| joined == flat)
            .map(|(_, variable)| variable.to_ascii_uppercase())
    }
}

/// `value` if it is of the kind of `like`; a whole number where a fraction is expected is one.
fn of_kind(like: &Value, value: Value) -> Result<Value, &'static str> {
    match (like, value) {
        #[allow(clippy::cast_precision_loss, reason = "fractions are rates of 0–1; a large number is refused anyway")]
        (Value::Float(_), Value::Integer(whole)) => Ok(Value::Float(whole as f64)),
        (Value::String(_), Value::String(text)) => Ok(Value::String(trimmed(&text))),
        (Value::Array(_), Value::Array(entries)) => Ok(Value::Array(entries.into_iter().map(trimmed_entry).collect())),
        (like, value) if like.same_type(&value) => Ok(value),
        (_, value) => Err(kind(&value)),
    }
}

/// A setting is an address, a path or a word: white space around it is what a shell, a mounted file or a paste left there.
fn trimmed(text: &str) -> String {
    text.trim().to_owned()
}

fn trimmed_entry(entry: Value) -> Value {
    match entry {
        Value::String(text) => Value::String(trimmed(&text)),
        entry => entry,
    }
}

/// A variable's text read as the kind of `like`; a list is comma-separated, its entries of the kind of the first one that
/// `like` has, texts if it is empty.
fn from_text(like: &Value, text: &str) -> Option<Value> {
    match like {
        Value::String(_) => Some(Value::String(trimmed(text))),
        Value::Integer(_) => text.trim().parse().ok().map(Value::Integer),
        Value::Float(_) => text.trim().parse().ok().map(Value::Float),
        Value::Boolean(_) => text.trim().parse().ok().map(Value::Boolean),
        // An entry is of the kind of those that are there; where there are none, a text.
        Value::Array(known) => {
            let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
            let kind = known.first().cloned().unwrap_or_else(|| Value::String(String::new()));
            entries.map(|entry| from_text(&kind, entry)).collect::<Option<_>>().map(Value::Array)
        }
        Value::Datetime(_) | Value::Table(_) => None,
    }
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a section",
    }
}

/// The last step: what is of the right kind may still not fit its type (a port of 70000, a negative count).
fn deserialize(table: Table) -> Result<Config, ConfigError> {
    table.try_into().map_err(|error: toml::de::Error| {
        let text = error.to_string();
        let field = text.rsplit_once("in `").and_then(|(_, rest)| rest.split_once('`'));
        let field = field.map_or("configuration", |(field, _)| field).to_owned();
        ConfigError::Refused(vec![Problem { field, reason: error.message().to_owned() }])
    })
}

/// The parser's message without the line that it quotes.
fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let at = error.span().map_or(0, |span| span.start).min(text.len());
    let line = text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count().saturating_add(1);
    ConfigError::Syntax { path: path.to_owned(), line, message: error.message().to_owned() }
}

#[cfg(test)]
mod tests;
