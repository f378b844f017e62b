//! Backups of a data directory while its authority runs, and their restoration.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use portcullis_contract::position::Revision;
use rusqlite::{
    Connection, OpenFlags,
    backup::{Backup, StepResult},
};

use super::{
    engine::{FILE, lock_directory},
    ownership::give_to_owner,
};
use crate::{StoreError, sql::DbError};

/// Endings of the files of a database.
const BESIDE: [&str; 3] = ["", "-wal", "-shm"];
/// Endings of those that SQLite keeps beside it.
const LOGS: [&str; 2] = ["-wal", "-shm"];
/// The wait for a lock of the authority, before the copy begins. A writer holds it for milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// A backup that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The head of its log. Everything that was acknowledged up to it is in the backup.
    pub head: Revision,
    /// Its size.
    pub bytes: u64,
}

/// Copies the database of a data directory into a new file, as it is at one moment, and checks the copy. The authority
/// goes on meanwhile: its writes are neither in the copy nor held up.
///
/// # Errors
/// When there is no database, the file exists, or the copy fails or is damaged. Then no file is left.
pub async fn back_up(directory: &Path, file: &Path) -> Result<Copied, StoreError> {
    let (directory, file) = (directory.to_owned(), file.to_owned());
    blocking(move || back_up_blocking(&directory, &file)).await
}

/// A backup on its way into a data directory: it has a directory of its own until it is put in the place of the database.
/// If it never is, nothing has changed.
pub struct Restoration {
    /// The data directory.
    directory: PathBuf,
    /// Where the backup is meanwhile.
    staging: PathBuf,
    /// No authority can start meanwhile.
    _lock: File,
}

impl Restoration {
    /// Checks a backup, and copies it into a data directory of its own below the one that it is for.
    ///
    /// # Errors
    /// When an authority runs, the backup is damaged or none of ours, or a file cannot be written.
    pub async fn begin(file: &Path, directory: &Path) -> Result<Self, StoreError> {
        let (file, directory) = (file.to_owned(), directory.to_owned());
        blocking(move || begin_blocking(&file, directory)).await
    }

    /// The data directory of the backup. A new history has to begin in it: sign-outs after the backup are not in it.
    #[must_use]
    pub fn staging(&self) -> &Path {
        &self.staging
    }

    /// Puts the backup in the place of the database, which is kept in a directory beside it, whose path is returned. No
    /// store may be open over the backup any more.
    ///
    /// # Errors
    /// When a file cannot be written. Then the database that was there still is.
    pub async fn finish(self) -> Result<Option<PathBuf>, StoreError> {
        blocking(move || self.finish_blocking()).await
    }

    fn finish_blocking(self) -> Result<Option<PathBuf>, StoreError> {
        let staged = self.staging.join(FILE);
        // Otherwise the new history, which the log has, would stay behind.
        if !fold_log(&staged).map_err(store_error)? {
            let problem = format!("{} is in use", staged.display());
            return Err(StoreError::Unavailable(problem));
        }
        let kept = keep_old(&self.directory)?;
        rename_durably(&staged, &self.directory.join(FILE))?;
        Ok(kept)
    }
}

impl Drop for Restoration {
    fn drop(&mut self) {
        // The next restoration replaces a left-over.
        let _ = fs::remove_dir_all(&self.staging);
    }
}

/// Whether a data directory has a database.
#[must_use]
pub fn has_database(directory: &Path) -> bool {
    directory.join(FILE).exists()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| StoreError::Internal(error.to_string()))?
}

fn back_up_blocking(directory: &Path, file: &Path) -> Result<Copied, StoreError> {
    if file.exists() {
        let problem = format!("{} exists: name a new file", file.display());
        return Err(StoreError::Unusable(problem));
    }
    let source = open_to_read(&directory.join(FILE))?;
    // Under another name until it is whole, so that a copy that was interrupted is never taken for a backup.
    let partial = with_ending(file, ".partial");
    create_private(&partial)?;
    let copied = copy_and_check(&source, &partial).and_then(|copied| {
        rename_durably(&partial, file)?;
        Ok(copied)
    });
    if copied.is_err() {
        // The error that is returned matters more.
        let _ = fs::remove_file(&partial);
    }
    copied
}

fn copy_and_check(source: &Connection, partial: &Path) -> Result<Copied, StoreError> {
    let mut target = Connection::open(partial).map_err(store_error)?;
    copy_pages(source, &mut target)?;
    // One file, without a log of SQLite beside it.
    target
        .pragma_update(None, "journal_mode", "DELETE")
        .map_err(store_error)?;
    let head = check(&target)?;
    target.close().map_err(|(_, error)| store_error(error))?;
    let bytes = fs::metadata(partial)
        .map_err(|error| io_error(partial, &error))?
        .len();
    Ok(Copied { head, bytes })
}

/// Copies all pages in one step, which reads them as they are at one moment. Several steps would begin anew with each
/// write of the authority, and never end under load.
fn copy_pages(source: &Connection, target: &mut Connection) -> Result<(), StoreError> {
    let backup = Backup::new(source, target).map_err(store_error)?;
    match backup.step(-1).map_err(store_error)? {
        StepResult::Done => Ok(()),
        _ => Err(StoreError::Unavailable(
            "the database is locked: try again".into(),
        )),
    }
}

/// Fails unless a file is an undamaged database of an authority. Returns the head of its log.
fn check(database: &Connection) -> Result<Revision, StoreError> {
    let found: String = database
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(store_error)?;
    if found != "ok" {
        return Err(StoreError::Unusable(format!(
            "the backup is damaged: {found}"
        )));
    }
    let head: i64 = database
        .query_row("SELECT revision FROM log_head", [], |row| row.get(0))
        .map_err(|_| StoreError::Unusable("the file is no database of an authority".into()))?;
    Ok(Revision(head.unsigned_abs()))
}

fn begin_blocking(file: &Path, directory: PathBuf) -> Result<Restoration, StoreError> {
    // Before anything is touched: a running authority must keep its files.
    let lock = lock_directory(&directory)?;
    check(&open_to_read(file)?)?;
    let restoration = Restoration {
        staging: directory.join("restoring"),
        directory,
        _lock: lock,
    };

    let staging = &restoration.staging;
    make_staging(staging, &restoration.directory).map_err(|error| io_error(staging, &error))?;
    let staged = staging.join(FILE);
    copy_durably(file, &staged)?;
    give_to_owner(&staged, staging).map_err(|error| io_error(&staged, &error))?;
    Ok(restoration)
}

/// Makes an empty directory for a backup. A left-over of a restoration that was interrupted is removed.
fn make_staging(staging: &Path, directory: &Path) -> io::Result<()> {
    if staging.exists() {
        fs::remove_dir_all(staging)?;
    }
    DirBuilder::new().mode(0o700).create(staging)?;
    give_to_owner(staging, directory)
}

/// Takes SQLite's log into the file of a database. Returns false if somebody else uses the database.
fn fold_log(database: &Path) -> rusqlite::Result<bool> {
    let connection = Connection::open(database)?;
    let busy: i64 =
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    Ok(busy == 0)
}

/// Keeps the database of a directory in a directory of its own, so that a rename can replace it in one step.
fn keep_old(directory: &Path) -> Result<Option<PathBuf>, StoreError> {
    let database = directory.join(FILE);
    if !database.exists() {
        return Ok(None);
    }
    // It may fail, because a damaged database is a reason to restore: then the log is kept beside it.
    let _ = fold_log(&database);
    let away = make_away(directory)?;
    link_into(&away, &database)?;
    remove_logs(&database)?;
    Ok(Some(away))
}

/// Makes the directory for the old database.
fn make_away(directory: &Path) -> Result<PathBuf, StoreError> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seconds = now.unwrap_or_default().as_secs();
    let away = directory.join(format!("before-restore-{seconds}"));
    fs::create_dir(&away)
        .and_then(|()| give_to_owner(&away, directory))
        .map_err(|error| io_error(&away, &error))?;
    Ok(away)
}

fn link_into(away: &Path, database: &Path) -> Result<(), StoreError> {
    for ending in BESIDE {
        let from = with_ending(database, ending);
        if from.exists() {
            let to = away.join(format!("{FILE}{ending}"));
            // Linked and not moved: until the rename replaces it, a crash leaves the old database
            // in its place.
            fs::hard_link(&from, to).map_err(|error| io_error(&from, &error))?;
        }
    }
    Ok(())
}

/// Removes SQLite's logs. The log of another database would destroy the restored one.
fn remove_logs(database: &Path) -> Result<(), StoreError> {
    for ending in LOGS {
        let log = with_ending(database, ending);
        if log.exists() {
            fs::remove_file(&log).map_err(|error| io_error(&log, &error))?;
        }
    }
    Ok(())
}

fn open_to_read(file: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags).map_err(|error| {
        StoreError::Unusable(format!("{} cannot be opened: {error}", file.display()))
    })?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(store_error)?;
    Ok(connection)
}

fn create_private(file: &Path) -> Result<(), StoreError> {
    // A left-over of a copy that was interrupted is replaced.
    let mut options = File::options();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(file).map_err(|error| io_error(file, &error))?;
    Ok(())
}

fn copy_durably(from: &Path, to: &Path) -> Result<(), StoreError> {
    create_private(to)?;
    fs::copy(from, to).map_err(|error| io_error(to, &error))?;
    // `copy` takes over the rights of the backup, which may be wider.
    fs::set_permissions(to, fs::Permissions::from_mode(0o600)).map_err(|error| io_error(to, &error))
}

/// Renames a file that is whole, so that it survives a crash under its new name.
fn rename_durably(from: &Path, to: &Path) -> Result<(), StoreError> {
    let renamed = (|| {
        File::open(from)?.sync_all()?;
        fs::rename(from, to)?;
        let directory = to.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
    })();
    renamed.map_err(|error: io::Error| io_error(to, &error))
}

fn with_ending(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn store_error(error: rusqlite::Error) -> StoreError {
    DbError::from(error).into()
}

fn io_error(file: &Path, error: &io::Error) -> StoreError {
    StoreError::Unavailable(format!("{}: {error}", file.display()))
}
