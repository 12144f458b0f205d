//! The files of the embedded engine: its database, and what the engine and a serving daemon make beside it.
//!
//! They are their owner's alone. Whether they can be made and written is found before the engine is asked, which only says
//! that it cannot open its file.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat};

use crate::store::error::FileRefused;

/// Makes the directory and the file of a database where they are missing.
///
/// # Errors
/// [`FileRefused`] if either cannot be made or written: the engine needs to make files beside its own.
pub(in crate::store) fn check(path: &Path) -> Result<(), FileRefused> {
    let refused = |path: &Path, source| FileRefused { path: path.to_owned(), source };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(|error| refused(parent, error))?;
    accessat(CWD, parent, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)
        .map_err(|error| refused(parent, error.into()))?;
    // The engine would make it readable for everybody; what it makes beside it takes this file's mode.
    private_file(path).map_err(|error| refused(path, error)).map(drop)
}

/// Opens a file, made for its owner only if it is missing.
pub(super) fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::store::sqlite::Sqlite;

    #[tokio::test]
    async fn what_is_made_is_its_owners_alone() {
        let dir = std::env::temp_dir().join(format!("nexo-private-{}", std::process::id()));
        let sqlite = Sqlite::open(dir.join("deep/t.db"), 1, crate::clock::DatabaseClock::here()).expect("opens");
        sqlite.lock_for_serving().expect("locks");
        let mode = |path: &Path| std::fs::metadata(path).expect("is there").permissions().mode() & 0o777;
        assert_eq!(mode(&dir.join("deep")), 0o700);
        for entry in std::fs::read_dir(dir.join("deep")).expect("lists") {
            let path = entry.expect("an entry").path();
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
        std::fs::remove_dir_all(dir).expect("removes");
    }

    #[test]
    fn what_cannot_be_made_is_named() {
        let dir = std::env::temp_dir().join(format!("nexo-refused-{:016x}", rand::random::<u64>()));
        std::fs::create_dir(&dir).expect("made");
        std::fs::write(dir.join("file"), "").expect("written");
        let refused = check(&dir.join("file/deep/t.db")).expect_err("a file is no directory");
        assert_eq!(refused.path, dir.join("file/deep"));
        let refused = check(&dir).expect_err("a directory is no file");
        assert_eq!((refused.path.as_path(), refused.source.kind()), (dir.as_path(), io::ErrorKind::IsADirectory));
        std::fs::remove_dir_all(dir).expect("removes");
    }
}
