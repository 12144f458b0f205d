//! A password or token of a provider: named in a file, never written there.
//!
//! `{ env = "NAME" }` or `{ file = "/path" }`; read when the settings are, so that a missing one is refused at start. Who may
//! read the file is said in `secret_file`.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::Error;
use zeroize::Zeroizing;

use super::secret_file::SecretFiles;

/// The longest secret that a file may hold.
const LEN_MAX: u64 = 4_096;

/// A secret that was read; cheap to clone, wiped with its last owner, never printed. Two are equal if their texts are.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(Arc<Zeroizing<String>>);

impl SecretText {
    /// 1–4096 bytes of text; line ends after it are not part of it, a space may be.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim_end_matches(['\r', '\n']);
        let sane = !text.is_empty() && text.len() as u64 <= LEN_MAX;
        sane.then(|| Self(Arc::new(Zeroizing::new(text.to_owned()))))
    }

    /// The secret itself, for the wire.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
enum Source {
    Env(String),
    File(PathBuf),
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let source = Source::deserialize(deserializer)
            .map_err(|_never_repeated| D::Error::custom("a secret is { env = \"NAME\" } or { file = \"PATH\" }"))?;
        read(&source).map_err(D::Error::custom)
    }
}

fn read(source: &Source) -> Result<SecretText, String> {
    let (text, origin) = match source {
        Source::Env(name) => {
            let text =
                std::env::var(name).map_err(|_| format!("the environment variable {name} is not set, or no text"))?;
            (Zeroizing::new(text), name.clone())
        }
        Source::File(path) => {
            let text = SecretFiles::in_force().read(path, LEN_MAX).map_err(|error| error.to_string())?;
            (text, path.display().to_string())
        }
    };
    SecretText::new(&text).ok_or_else(|| format!("{origin} is empty or longer than {LEN_MAX} bytes"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Holder {
        password: SecretText,
    }

    #[test]
    fn a_secret_comes_from_its_file_and_is_never_printed() {
        for line_end in ["", "\n", "\r\n", "\n\n", "\r\n\r\n"] {
            let path = crate::config::secret_file_for_a_test(&format!("hunter2 {line_end}"));
            let read = || toml::from_str::<Holder>(&format!("password = {{ file = {path:?} }}"));
            let holder = SecretFiles::OwnerAndGroup.over(read).expect("reads");
            assert_eq!(holder.password.expose(), "hunter2 ");
            assert_eq!(format!("{holder:?}"), "Holder { password: SecretText(…) }");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o444)).expect("sets");
            let exposed =
                SecretFiles::OwnerAndGroup.over(read).expect_err("everybody may read it").message().to_owned();
            assert!(exposed.contains("others may read") && !exposed.contains("hunter2"), "{exposed}");
            let relaxed = SecretFiles::Everybody.over(read).expect("as the setting says");
            assert_eq!(relaxed.password, holder.password);
            std::fs::remove_file(&path).expect("removed");
        }
    }

    #[test]
    fn what_is_missing_is_named_and_what_is_written_in_the_open_is_refused_without_being_repeated() {
        let refused = |text: &str| toml::from_str::<Holder>(text).expect_err("refused").message().to_owned();
        assert!(refused("password = { env = \"NEXO_NOT_THERE\" }").contains("NEXO_NOT_THERE is not set"));
        assert!(refused("password = { file = \"/nowhere/at/all\" }").contains("/nowhere/at/all"));
        let open = refused("password = \"hunter2\"");
        assert!(open.contains("{ env = \"NAME\" }") && !open.contains("hunter2"), "{open}");
    }
}
