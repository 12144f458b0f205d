//! The one rule for every file that holds a secret: who may own it, and who may read it.
//!
//! It is checked on the file that was opened, whatever links led there. Its owner is root or the user of this process; nobody
//! may write or execute it but its owner; its group may read it if that is a group of this process (containers mount secrets
//! like that: owned by root, readable by `fsGroup`); everybody may only where `secrets.key_file_world_readable` says so
//! (containers that mount secrets 0444). Errors name the file and never its content.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::{getegid, geteuid, getgroups};
use zeroize::Zeroizing;

thread_local! {
    static RULE: Cell<SecretFiles> = const { Cell::new(UNLESS_SAID) };
}

/// Who may read a file that holds a secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SecretFiles {
    /// Its owner, and its group if it is one of this process.
    #[default]
    OwnerAndGroup,
    /// `secrets.key_file_world_readable`.
    Everybody,
    /// Unit tests take files of the repository for secrets, whosever they are.
    #[cfg(test)]
    Unchecked,
}

#[cfg(not(test))]
const UNLESS_SAID: SecretFiles = SecretFiles::OwnerAndGroup;
#[cfg(test)]
const UNLESS_SAID: SecretFiles = SecretFiles::Unchecked;

/// Why a secret is not read from its file.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} is longer than {len_max} bytes", path.display())]
    TooLong { path: PathBuf, len_max: u64 },
    #[error("{} belongs to user {owner}: it must be root's, or that of the user of this process ({user})", path.display())]
    Foreign { path: PathBuf, owner: u32, user: u32 },
    #[error(
        "others may {what} {} (mode {mode:04o}): set its mode to 0600, or to 0640 with a group of this process{hint}", path.display()
    )]
    Exposed { path: PathBuf, mode: u32, what: &'static str, hint: &'static str },
    #[error(
        "group {group} may read {} (mode {mode:04o}), and this process is not in it: set its mode to 0600, or its group to \
         one of this process", path.display()
    )]
    ForeignGroup { path: PathBuf, mode: u32, group: u32 },
}

impl SecretFiles {
    /// Has secrets that `work` reads on this thread, from whatever table names them, keep to this rule.
    pub fn over<T>(self, work: impl FnOnce() -> T) -> T {
        struct Restore(SecretFiles);
        impl Drop for Restore {
            fn drop(&mut self) {
                RULE.set(self.0);
            }
        }
        let _restore = Restore(RULE.replace(self));
        work()
    }

    /// The rule for what is read on this thread now.
    pub(super) fn in_force() -> Self {
        RULE.get()
    }

    /// The text of a file, of at most `len_max` bytes, if the rule holds for it.
    ///
    /// # Errors
    /// [`SecretFileError`], which names the file.
    pub fn read(self, path: &Path, len_max: u64) -> Result<Zeroizing<String>, SecretFileError> {
        let unreadable = |source| SecretFileError::Unreadable { path: path.to_owned(), source };
        let file = File::open(path).map_err(unreadable)?;
        let found = file.metadata().map_err(unreadable)?;
        self.check(path, &found.into(), &Process::this())?;
        let mut text = Zeroizing::new(String::with_capacity(256));
        file.take(len_max.saturating_add(1)).read_to_string(&mut text).map_err(unreadable)?;
        if text.len() as u64 > len_max {
            return Err(SecretFileError::TooLong { path: path.to_owned(), len_max });
        }
        Ok(text)
    }

    fn check(self, path: &Path, found: &Found, process: &Process) -> Result<(), SecretFileError> {
        #[cfg(test)]
        if self == Self::Unchecked {
            return Ok(());
        }
        let world_readable = self == Self::Everybody;
        let path = || path.to_owned();
        let Found { owner, group, mode } = *found;
        if owner != 0 && owner != process.user {
            return Err(SecretFileError::Foreign { path: path(), owner, user: process.user });
        }
        let (what, hint) = match mode & 0o037 {
            0 => ("", ""),
            0o004 if world_readable => ("", ""),
            0o004 => ("read", "; secrets.key_file_world_readable allows 0444"),
            _ => ("change or execute", ""),
        };
        if !what.is_empty() {
            return Err(SecretFileError::Exposed { path: path(), mode, what, hint });
        }
        if mode & 0o040 != 0 && !world_readable && !process.groups.contains(&group) {
            return Err(SecretFileError::ForeignGroup { path: path(), mode, group });
        }
        Ok(())
    }
}

/// What the system says of a file.
struct Found {
    owner: u32,
    group: u32,
    /// Its permissions alone.
    mode: u32,
}

impl From<std::fs::Metadata> for Found {
    fn from(metadata: std::fs::Metadata) -> Self {
        Self { owner: metadata.uid(), group: metadata.gid(), mode: metadata.mode() & 0o7777 }
    }
}

/// As whom this process opens files.
struct Process {
    user: u32,
    /// The effective one and the supplementary ones.
    groups: Vec<u32>,
}

impl Process {
    fn this() -> Self {
        let groups = getgroups().unwrap_or_default().into_iter().chain([getegid()]);
        Self { user: geteuid().as_raw(), groups: groups.map(|group| group.as_raw()).collect() }
    }
}

/// Writes a file for a test, for its owner alone, at a path that nothing else has.
#[cfg(test)]
pub(crate) fn for_a_test(text: &str) -> PathBuf {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let path = std::env::temp_dir().join(format!("nexo-secret-{:016x}", rand::random::<u64>()));
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).expect("written");
    path
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const STRICT: SecretFiles = SecretFiles::OwnerAndGroup;
    const RELAXED: SecretFiles = SecretFiles::Everybody;

    fn judged(rule: SecretFiles, owner: u32, group: u32, mode: u32) -> String {
        let process = Process { user: 10_001, groups: vec![10_001, 20_001] };
        match rule.check(Path::new("k"), &Found { owner, group, mode }, &process) {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn who_may_own_and_read_it_is_one_rule() {
        for (owner, group, mode) in [
            (10_001, 10_001, 0o600),
            (10_001, 5, 0o400),
            (0, 0, 0o600),
            (10_001, 10_001, 0o640),
            // As Kubernetes mounts a secret for `fsGroup: 20001`.
            (0, 20_001, 0o440),
            (0, 20_001, 0o2440),
        ] {
            assert_eq!(judged(STRICT, owner, group, mode), "", "{owner} {group} {mode:o}");
            assert_eq!(judged(RELAXED, owner, group, mode), "", "{owner} {group} {mode:o}");
        }
        for (owner, group, mode, part) in [
            (1_000, 10_001, 0o600, "belongs to user 1000"),
            (0, 5, 0o640, "group 5 may read k (mode 0640)"),
            (0, 0, 0o444, "others may read k (mode 0444)"),
            (0, 20_001, 0o644, "others may read k"),
            (10_001, 10_001, 0o620, "others may change or execute k"),
            (10_001, 10_001, 0o610, "others may change or execute k"),
            (10_001, 10_001, 0o602, "others may change or execute k"),
            (10_001, 10_001, 0o646, "others may change or execute k"),
            (10_001, 10_001, 0o601, "others may change or execute k"),
        ] {
            let said = judged(STRICT, owner, group, mode);
            assert!(said.contains(part), "{owner} {group} {mode:o}: {said}");
        }
    }

    #[test]
    fn the_setting_lets_everybody_read_and_nobody_write() {
        for (owner, group, mode) in [(0, 0, 0o444), (0, 5, 0o444), (10_001, 5, 0o644), (0, 5, 0o440)] {
            assert_eq!(judged(RELAXED, owner, group, mode), "", "{owner} {group} {mode:o}");
        }
        for (owner, group, mode) in [(1_000, 0, 0o444), (0, 0, 0o446), (0, 0, 0o464), (0, 0, 0o555), (0, 0, 0o666)] {
            assert_ne!(judged(RELAXED, owner, group, mode), "", "{owner} {group} {mode:o}");
        }
    }

    #[test]
    fn it_is_the_file_behind_the_link_that_counts() {
        let file = for_a_test("a secret");
        let link = file.with_extension("link");
        std::os::unix::fs::symlink(&file, &link).expect("links");
        assert_eq!(STRICT.read(&link, 8).expect("reads").as_str(), "a secret");
        assert!(matches!(STRICT.read(&link, 7), Err(SecretFileError::TooLong { len_max: 7, .. })));
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o444)).expect("sets");
        let said = STRICT.read(&link, 8).expect_err("everybody may read it").to_string();
        assert!(said.contains("0600") && said.contains("secrets.key_file_world_readable"), "{said}");
        assert_eq!(RELAXED.read(&link, 8).expect("reads").as_str(), "a secret");
        for path in [&link, &file] {
            std::fs::remove_file(path).expect("removed");
        }
        assert!(matches!(STRICT.read(&file, 8), Err(SecretFileError::Unreadable { .. })));
    }

    #[test]
    fn a_rule_is_in_force_for_its_work_alone() {
        let before = SecretFiles::in_force();
        RELAXED.over(|| {
            assert_eq!(SecretFiles::in_force(), RELAXED);
            STRICT.over(|| assert_eq!(SecretFiles::in_force(), STRICT));
            assert_eq!(SecretFiles::in_force(), RELAXED);
        });
        assert_eq!(SecretFiles::in_force(), before);
    }
}
