//! Files that root makes in the data directory of a service.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::{MetadataExt, lchown},
    path::Path,
};

/// Gives a file to the owner of the data directory. Root runs `restore`, `recover` and `migrate`, because root alone
/// reads the master key; the service could not open a database that stayed root's.
pub(super) fn give_to_owner(file: &Path, directory: &Path) -> io::Result<()> {
    let owner = fs::metadata(directory)?;
    if fs::symlink_metadata(file)?.uid() == owner.uid() {
        return Ok(());
    }
    // Not through a link: the owner of the directory could point it at any file.
    match lchown(file, Some(owner.uid()), Some(owner.gid())) {
        // Only root can give files away. What others make stays theirs.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
        given => given,
    }
}
