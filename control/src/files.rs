//! Files that nobody but the server may read: they hold secrets of users and viewers.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Makes a folder for them, if it is not there.
///
/// # Errors
/// The system's.
pub fn folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes such a file, if it is not there, and takes the others' rights to it if they had any.
///
/// # Errors
/// The system's.
pub fn private(path: &Path) -> io::Result<()> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_have_no_rights() {
        let at = std::env::temp_dir().join(format!("shardcast-files-{}", std::process::id())).join("a");
        folder(&at).unwrap();
        let (file, mode) =
            (at.join("f"), |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777);
        private(&file).unwrap();
        assert_eq!((mode(&at), mode(&file)), (0o700, 0o600));
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        private(&file).unwrap();
        assert_eq!(mode(&file), 0o600);
        fs::remove_dir_all(at.parent().unwrap()).unwrap();
    }
}
