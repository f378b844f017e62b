//! The size of the database's files, and the room on their disk.

use std::{fs, io, path::Path};

use crate::{StoreMeasure, sql::DbError};

/// Endings of the files that SQLite writes: the database, and its write-ahead log.
const ENDINGS: [&str; 2] = ["", "-wal"];

/// Measures the data directory with this file in it.
pub(super) fn measure(directory: &Path, file: &str) -> Result<StoreMeasure, DbError> {
    let mut size_bytes = 0;
    for ending in ENDINGS {
        size_bytes += size(&directory.join(format!("{file}{ending}")))?;
    }
    let disk = rustix::fs::statvfs(directory)
        .map_err(|error| unavailable("the disk's free room", &error.into()))?;
    Ok(StoreMeasure {
        size_bytes,
        // Of this user: a part of some file systems is kept for root.
        disk_free_bytes: Some(disk.f_bavail.saturating_mul(disk.f_frsize)),
        standbys: None,
    })
}

/// The size of a file; zero if SQLite has not made it.
fn size(file: &Path) -> Result<u64, DbError> {
    match fs::metadata(file) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(unavailable("the database's files", &error)),
    }
}

fn unavailable(what: &str, error: &io::Error) -> DbError {
    DbError::Unavailable(format!("{what}: {error}"))
}
