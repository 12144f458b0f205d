//! The keys that encrypt phones and metadata, and the file that holds them.
//!
//! Read once at start and handed on as a [`Keyring`]. Who may read the file is said in `secret_file`. No error repeats a byte
//! of what was read, not even the parser's message: it may quote a key.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use toml::{Table, Value};
use zeroize::Zeroizing;

use super::secret_file::{SecretFileError, SecretFiles};
use crate::domain::sealing::{Keyring, SecretKey};

/// The longest key file: a thousand keys.
const LEN_MAX: u64 = 64 << 10;

/// The environment variable that may hold the content of a key file; it wins over the file.
pub const KEYS_VARIABLE: &str = "NEXO_KEYS";

/// Where the encryption and look-up keys come from.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretsConfig {
    /// A TOML file; it is not read if `NEXO_KEYS` is set.
    pub key_file: PathBuf,
    /// Of every file that holds a secret, not of this one alone.
    pub key_file_world_readable: bool,
}

impl SecretsConfig {
    /// The rule for every file that holds a secret.
    #[must_use]
    pub const fn files(&self) -> SecretFiles {
        if self.key_file_world_readable { SecretFiles::Everybody } else { SecretFiles::OwnerAndGroup }
    }
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error("secrets.key_file: there is no {}; `nexo-route secrets create` makes one", .0.display())]
    Missing(PathBuf),
    #[error("secrets.key_file: {0}")]
    File(#[from] SecretFileError),
    #[error("{origin}: {reason}")]
    Malformed { origin: String, reason: &'static str },
    #[error("secrets.key_file: cannot make {}: {source}", path.display())]
    NotMade { path: PathBuf, source: std::io::Error },
}

/// The keys of this process: from `NEXO_KEYS` if it is set, else from the file.
///
/// # Errors
/// [`KeysError`] if there are none, others may read them, or they are not well formed.
pub fn keyring(config: &SecretsConfig) -> Result<Keyring, KeysError> {
    let Some(text) = std::env::var_os(KEYS_VARIABLE).filter(|text| !text.is_empty()) else {
        return read_key_file(&config.key_file, config.files());
    };
    let text = Zeroizing::new(text.into_string().unwrap_or_default());
    parse_keys(&text).map_err(|reason| KeysError::Malformed { origin: KEYS_VARIABLE.to_owned(), reason })
}

fn read_key_file(path: &Path, files: SecretFiles) -> Result<Keyring, KeysError> {
    let text = files.read(path, LEN_MAX).map_err(|error| match error {
        SecretFileError::Unreadable { path, source } if source.kind() == ErrorKind::NotFound => {
            KeysError::Missing(path)
        }
        error => error.into(),
    })?;
    let origin = || format!("secrets.key_file: {}", path.display());
    parse_keys(&text).map_err(|reason| KeysError::Malformed { origin: origin(), reason })
}

/// Reads `active = 1`, `lookup = "base64"` and `[sealing] 1 = "base64"`, each key 32 bytes.
///
/// # Errors
/// What is wrong, without a byte of the text.
pub fn parse_keys(text: &str) -> Result<Keyring, &'static str> {
    let table: Table = text.parse().map_err(|_| "not valid TOML")?;
    if table.keys().any(|key| !["active", "lookup", "sealing"].contains(&key.as_str())) {
        return Err("only active, lookup and [sealing] may be there");
    }
    let active = table.get("active").and_then(Value::as_integer).and_then(|id| u8::try_from(id).ok());
    let active = active.ok_or("active must be the number of a sealing key, 0 to 255")?;
    let lookup = table.get("lookup").and_then(secret).ok_or("lookup must be 32 bytes in base64")?;
    let sealing = table.get("sealing").and_then(Value::as_table).ok_or("[sealing] is missing")?;
    let keys = sealing.iter().map(|(id, value)| Some((id.parse().ok()?, secret(value)?)));
    let keys: Vec<(u8, SecretKey)> =
        keys.collect::<Option<_>>().ok_or("[sealing] must be lines of NUMBER = \"32 bytes in base64\"")?;
    Keyring::new(active, keys, lookup).ok_or("active names no key of [sealing]")
}

fn secret(value: &Value) -> Option<SecretKey> {
    let bytes = Zeroizing::new(STANDARD.decode(value.as_str()?).ok()?);
    bytes.as_slice().try_into().ok().map(SecretKey::new)
}

/// Makes a key file with fresh keys, mode 0600, and its directory. An existing file is never touched.
///
/// # Errors
/// [`KeysError::NotMade`] if there is one already or the disk refuses.
pub fn create_key_file(path: &Path) -> Result<(), KeysError> {
    let not_made = |source| KeysError::NotMade { path: path.to_owned(), source };
    let text = fresh_keys().map_err(|error| not_made(error.into()))?;
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(not_made)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(not_made)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(not_made)
}

fn fresh_keys() -> Result<Zeroizing<String>, getrandom::Error> {
    let mut bytes = Zeroizing::new([0_u8; 64]);
    getrandom::fill(&mut *bytes)?;
    let (sealing, lookup) = bytes.split_at(32);
    let (sealing, lookup) = (Zeroizing::new(STANDARD.encode(sealing)), Zeroizing::new(STANDARD.encode(lookup)));
    Ok(Zeroizing::new(format!(
        "# The keys of this deployment. Keep a copy: without them no phone in the database can be read again.\n\
         # To rotate, add a line under [sealing] and name it in `active`; keep the old lines. `lookup` never changes.\n\
         active = 1\nlookup = \"{}\"\n\n[sealing]\n1 = \"{}\"\n",
        *lookup, *sealing
    )))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;
    use crate::domain::ids::DeliveryId;
    use crate::domain::phone::Phone;

    #[test]
    fn a_made_file_is_the_owners_alone_and_is_never_overwritten() {
        let dir = std::env::temp_dir().join(format!("nexo-keys-{}", std::process::id()));
        let path = dir.join("deep/nexo.keys");
        create_key_file(&path).expect("makes its directory too");
        assert_eq!(std::fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
        let read = |path: &Path| read_key_file(path, SecretFiles::default());
        let first = read(&path).expect("reads back");
        assert!(matches!(create_key_file(&path), Err(KeysError::NotMade { .. })));
        let phone = Phone::parse("+84981234567").expect("valid");
        let delivery = DeliveryId::from_bytes([7; 16]);
        let again = read(&path).expect("unchanged");
        assert_eq!(again.open_phone(delivery, &first.seal_phone(delivery, phone)), Some(phone));

        for mode in [0o604, 0o660, 0o644] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("sets");
            assert!(matches!(read(&path), Err(KeysError::File(SecretFileError::Exposed { .. }))), "{mode:o}");
        }
        assert!(matches!(read(&dir.join("none")), Err(KeysError::Missing(_))));
        std::fs::remove_dir_all(dir).expect("removes");
    }

    #[test]
    fn what_is_wrong_is_said_without_a_byte_of_it() {
        let key = STANDARD.encode([0x5a; 32]);
        let short = STANDARD.encode([0x5a; 31]);
        let lookup = format!("lookup = \"{key}\"\n");
        for (text, part) in [
            (format!("{lookup}active = 2\n[sealing]\n1 = \"{key}\""), "names no key"),
            (format!("{lookup}active = 256\n[sealing]\n1 = \"{key}\""), "0 to 255"),
            (format!("{lookup}active = 1\n[sealing]\n1 = \"{short}\""), "[sealing] must be"),
            (format!("{lookup}active = 1\n[sealing]\nx = \"{key}\""), "[sealing] must be"),
            (format!("{lookup}active = 1"), "[sealing] is missing"),
            (format!("active = 1\n[sealing]\n1 = \"{key}\""), "lookup must be"),
            (format!("{lookup}{lookup}"), "not valid TOML"),
            (format!("\"{key}\" = 1\n{lookup}"), "only active"),
            (String::new(), "active must be"),
        ] {
            let reason = parse_keys(&text).expect_err(&text);
            assert!(reason.contains(part), "{reason}");
        }
        let good = format!("{lookup}active = 1\n[sealing]\n1 = \"{key}\"\n2 = \"{key}\"");
        assert!(!format!("{:?}", parse_keys(&good).expect("well formed")).contains(&key));
    }
}
