//! A file that grows by a line of JSON for each event.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::{delivery::DeliveryError, json};
use crate::{
    config::{ConfigError, FileExportConfig},
    domain::AuditEvent,
};

/// Its owner writes, its group reads, and nobody else does: events have names and addresses.
const MODE: u32 = 0o640;

/// The file of an export.
pub(super) struct FileDestination {
    path: PathBuf,
    /// Open since the last delivery that succeeded.
    open: Option<File>,
}

impl FileDestination {
    pub(super) fn new(config: &FileExportConfig) -> Self {
        Self {
            path: config.path.clone(),
            open: None,
        }
    }

    /// Checks that the file can be there.
    pub(super) fn check(setting: &str, config: &FileExportConfig) -> Result<(), ConfigError> {
        let problem = match fs::metadata(&config.path) {
            Ok(found) if found.is_file() => return Ok(()),
            Ok(_) => "must be a regular file".to_owned(),
            Err(_) => match fs::metadata(directory_of(&config.path)) {
                Ok(found) if found.is_dir() => return Ok(()),
                Ok(_) => "must be in a directory".to_owned(),
                Err(error) => format!("must be in a directory that there is: {error}"),
            },
        };
        Err(ConfigError::new(setting, problem))
    }

    /// Appends events, and returns when they are on the disk.
    pub(super) async fn append(&mut self, events: &[AuditEvent]) -> Result<(), DeliveryError> {
        let mut lines = Vec::new();
        for event in events {
            lines.extend(json::of_event(event)?.into_bytes());
            lines.push(b'\n');
        }
        // A write that fails leaves the file closed. The next one opens it anew, and ends a torn
        // line first.
        let (path, open) = (self.path.clone(), self.open.take());
        // A disk may take its time, and no other task of this thread shall wait for it.
        let writing = tokio::task::spawn_blocking(move || append_lines(&path, open, &lines));
        match writing.await {
            Ok(Ok(file)) => {
                self.open = Some(file);
                Ok(())
            }
            Ok(Err(error)) => Err(DeliveryError::Failed(format!("the file: {error}"))),
            Err(_) => Err(DeliveryError::Failed("the writer panicked".into())),
        }
    }
}

fn append_lines(path: &Path, open: Option<File>, lines: &[u8]) -> io::Result<File> {
    let mut file = match open {
        Some(file) if is_at(&file, path)? => file,
        // The first delivery, or the file was rotated.
        _ => open_file(path)?,
    };
    file.write_all(lines)?;
    file.sync_data()?;
    // Renamed while it was written to: whoever rotated it may have taken it away before these lines were there.
    match is_at(&file, path)? {
        true => Ok(file),
        false => Err(io::Error::other("it was rotated in the middle of a write")),
    }
}

/// Whether a path still leads to an open file.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let opened = file.metadata()?;
    match fs::metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (opened.dev(), opened.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(MODE)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    if metadata.len() == 0 {
        // So that the name of a new file survives a crash as well.
        File::open(directory_of(path))?.sync_all()?;
        return Ok(file);
    }
    end_torn_line(&mut file)?;
    Ok(file)
}

/// Ends a line that a crash or a full disk left half-written. The whole line follows it.
fn end_torn_line(file: &mut File) -> io::Result<()> {
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    if last != *b"\n" {
        file.write_all(b"\n")?;
    }
    Ok(())
}

fn directory_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_made_for_its_owner_and_group_and_grows() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("audit.jsonl");
        let file = append_lines(&path, None, b"one\n").expect("written");
        append_lines(&path, Some(file), b"two\n").expect("written");
        assert_eq!(fs::read(&path).expect("there"), b"one\ntwo\n");
        let mode = fs::metadata(&path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode & !MODE, 0, "{mode:o}");
    }

    #[test]
    fn a_rotated_file_is_left_alone_and_a_new_one_begun() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("audit.jsonl");
        let rotated = directory.path().join("audit.jsonl.1");
        let file = append_lines(&path, None, b"one\n").expect("written");
        fs::rename(&path, &rotated).expect("renamed");
        let file = append_lines(&path, Some(file), b"two\n").expect("written");
        fs::remove_file(&path).expect("removed");
        append_lines(&path, Some(file), b"three\n").expect("written");
        assert_eq!(fs::read(&rotated).expect("there"), b"one\n");
        assert_eq!(fs::read(&path).expect("there"), b"three\n");
    }

    #[test]
    fn a_line_that_was_torn_is_ended_before_the_next() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("audit.jsonl");
        fs::write(&path, b"{\"id\":\"evt_").expect("written");
        append_lines(&path, None, b"whole\n").expect("written");
        assert_eq!(fs::read(&path).expect("there"), b"{\"id\":\"evt_\nwhole\n");
    }

    #[test]
    fn what_is_no_regular_file_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        append_lines(Path::new("/dev/null"), None, b"one\n").expect_err("a device");
        append_lines(directory.path(), None, b"one\n").expect_err("a directory");
        let nowhere = directory.path().join("no/audit.jsonl");
        append_lines(&nowhere, None, b"one\n").expect_err("no directory");
    }
}
