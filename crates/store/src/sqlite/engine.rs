//! A data directory and its connections.

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use rusqlite::{OpenFlags, OptionalExtension, functions::FunctionFlags};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{
    connection::{Handle, SqliteConnection},
    measure,
    ownership::give_to_owner,
};
use crate::{
    StoreError, StoreMeasure,
    schema::{self, Applied, Compatibility, HISTORY, Schema, Standing},
    sql::{Backend, Connection, DbError, Dialect, ISSUER, Lane, SqlStore},
};

mod embedded {
    refinery::embed_migrations!("src/sqlite/migrations");
}

/// Readers beside the one writer. In WAL mode they run while it writes.
const READERS: usize = 4;

/// Readers for searches.
const SEARCHERS: usize = 2;

/// The time for which a connection waits for a lock of another one.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Prepared statements that a connection keeps.
const STATEMENTS_MAX: usize = 128;

/// The time that a statement of a search may take, unless it is set.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(5);

/// The database's file in the data directory.
pub(super) const FILE: &str = "portcullis.db";

/// An open data directory.
///
/// Its lock is held for the life of the process. SQLite's own locks would let a second authority in, and the beat relies
/// on being alone.
pub struct Sqlite {
    writer: Arc<Mutex<Handle>>,
    readers: Vec<Arc<Mutex<Handle>>>,
    searchers: Vec<Arc<Mutex<Handle>>>,
    search_timeout: Duration,
    feed: Arc<Mutex<Handle>>,
    catch_up: Arc<Mutex<Handle>>,
    directory: PathBuf,
    _lock: File,
}

impl Sqlite {
    /// Opens a data directory. Creates it with mode 0700 when it does not exist.
    ///
    /// # Errors
    /// When the directory cannot be created, another process holds it, or the database cannot be opened or migrated.
    pub async fn open(directory: &Path) -> Result<SqlStore, StoreError> {
        SqlStore::open(Arc::new(Self::connect(directory).await?)).await
    }

    /// Opens the engine alone, for tests that put faults around it.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn connect(directory: &Path) -> Result<Self, StoreError> {
        let directory = directory.to_owned();
        let opened = tokio::task::spawn_blocking(move || Self::open_blocking(&directory)).await;
        opened.map_err(|error| StoreError::Internal(error.to_string()))?
    }

    fn open_blocking(directory: &Path) -> Result<Self, StoreError> {
        // Before anything else: a second process must not migrate the database of a running authority.
        let lock = lock_directory(directory)?;
        let file = directory.join(FILE);
        // Created before SQLite opens it: the files that SQLite creates beside it get the same mode.
        create_private(&file)
            .and_then(|()| give_to_owner(&file, directory))
            .map_err(|error| io_error("database file", &error))?;

        // The readers open after the migration, so none of them can be in its way or see the old schema.
        let mut writer = open_file(&file)?;
        migrate(&mut writer)?;

        Ok(Self {
            readers: open_handles(&file, READERS)?,
            searchers: open_handles(&file, SEARCHERS)?,
            search_timeout: SEARCH_TIMEOUT,
            feed: open_handle(&file)?,
            catch_up: open_handle(&file)?,
            writer: Arc::new(Mutex::new(Handle::new(writer))),
            directory: directory.to_owned(),
            _lock: lock,
        })
    }

    /// Sets the time that a statement of a search may take. Default 5 s.
    #[must_use]
    pub fn search_timeout(mut self, limit: Duration) -> Self {
        self.search_timeout = limit;
        self
    }
}

/// The schema of this version.
#[must_use]
pub fn schema() -> Schema {
    Schema::new(embedded::migrations::runner().get_migrations())
}

/// Migrates the database to this version. A database of a later version stays as it is.
fn migrate(writer: &mut rusqlite::Connection) -> Result<(), StoreError> {
    let applied = read_applied(writer).map_err(DbError::from)?;
    let compatibility = read_compatibility(writer).map_err(DbError::from)?;
    match schema::compare(&schema(), &applied, compatibility)? {
        Standing::Current | Standing::Ahead => return Ok(()),
        Standing::Behind => {}
    }
    let migrated = embedded::migrations::runner().run(writer);
    migrated.map_err(|error| StoreError::Internal(format!("migration: {error}")))?;
    Ok(())
}

fn read_applied(connection: &rusqlite::Connection) -> rusqlite::Result<Vec<Applied>> {
    if !connection.table_exists(None, HISTORY)? {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare(schema::APPLIED)?;
    let rows = statement.query_map([], |row| {
        Ok(Applied {
            version: row.get(0)?,
            checksum: row.get(1)?,
        })
    })?;
    rows.collect()
}

fn read_compatibility(connection: &rusqlite::Connection) -> rusqlite::Result<Compatibility> {
    if !connection.table_exists(None, "compatibility")? {
        return Ok(Compatibility::default());
    }
    connection.query_row(schema::COMPATIBILITY, [], |row| {
        Ok(Compatibility {
            schema_from: row.get(0)?,
            log_version: row.get(1)?,
        })
    })
}

/// The issuer that a data directory was installed with. None before an authority has started on it.
///
/// Opens the file read-only, beside an authority that may be running.
///
/// # Errors
/// When the file cannot be read.
pub async fn installed_issuer(directory: &Path) -> Result<Option<String>, StoreError> {
    let file = directory.join(FILE);
    if !file.exists() {
        return Ok(None);
    }
    tokio::task::spawn_blocking(move || read_issuer(&file))
        .await
        .map_err(|error| StoreError::Internal(error.to_string()))?
        .map_err(|error| DbError::from(error).into())
}

fn read_issuer(file: &Path) -> rusqlite::Result<Option<String>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = rusqlite::Connection::open_with_flags(file, flags)?;
    // A first start that was interrupted leaves a file without the table.
    let column = "SELECT count(*) FROM pragma_table_info('installation') WHERE name = 'issuer'";
    let columns: i64 = connection.query_row(column, [], |row| row.get(0))?;
    if columns == 0 {
        return Ok(None);
    }
    let issuer = connection
        .query_row(ISSUER, [], |row| row.get(0))
        .optional()?;
    Ok(issuer.flatten())
}

/// A free reader, or else the first one that becomes free.
async fn lock_reader(readers: &[Arc<Mutex<Handle>>]) -> OwnedMutexGuard<Handle> {
    let mut waiting = Vec::with_capacity(readers.len());
    for reader in readers {
        if let Ok(free) = Arc::clone(reader).try_lock_owned() {
            return free;
        }
        waiting.push(Box::pin(Arc::clone(reader).lock_owned()));
    }
    // The other waits are dropped, which gives up their places in the queues.
    futures::future::select_all(waiting).await.0
}

pub(super) fn lock_directory(directory: &Path) -> Result<File, StoreError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|error| io_error("data directory", &error))?;
    let file = directory.join("lock");
    let lock = File::create(&file).map_err(|error| io_error("lock file", &error))?;
    give_to_owner(&file, directory).map_err(|error| io_error("lock file", &error))?;
    // The file stays when the process ends. Deleting it would let two processes lock two files of one name.
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::Unavailable(
            "another process has the data directory open".into(),
        )),
        Err(TryLockError::Error(error)) => Err(io_error("lock file", &error)),
    }
}

fn create_private(file: &Path) -> std::io::Result<()> {
    // Appending, because the file may hold a database: `File::create` would empty it.
    let created = File::options().append(true).create(true).open(file)?;
    created.set_permissions(fs::Permissions::from_mode(0o600))
}

fn io_error(what: &str, error: &std::io::Error) -> StoreError {
    StoreError::Unavailable(format!("{what}: {error}"))
}

fn open_handles(file: &Path, count: usize) -> Result<Vec<Arc<Mutex<Handle>>>, StoreError> {
    let mut handles = Vec::with_capacity(count);
    for _ in 0..count {
        handles.push(open_handle(file)?);
    }
    Ok(handles)
}

fn open_handle(file: &Path) -> Result<Arc<Mutex<Handle>>, StoreError> {
    Ok(Arc::new(Mutex::new(Handle::new(open_file(file)?))))
}

fn open_file(file: &Path) -> Result<rusqlite::Connection, StoreError> {
    configure(file).map_err(|error| DbError::from(error).into())
}

fn configure(file: &Path) -> rusqlite::Result<rusqlite::Connection> {
    let connection = rusqlite::Connection::open(file)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // With NORMAL, a commit in WAL mode is not synced, and a power failure would lose acknowledged revocations.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    // Without it the bytes of deleted and erased rows stay in free pages of the file.
    connection.pragma_update(None, "secure_delete", "ON")?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // SQLite has no SHA-256. The log's chain is computed in the statement that advances the head.
    let pure = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("next_chain", 2, pure, |call| {
        let chain: Vec<u8> = call.get(0)?;
        let link: Vec<u8> = call.get(1)?;
        Ok(portcullis_contract::position::sha256(&[chain, link].concat()).to_vec())
    })?;
    Ok(connection)
}

#[async_trait]
impl Backend for Sqlite {
    async fn connection(&self, lane: Lane) -> Result<Box<dyn Connection>, DbError> {
        let connection = match lane {
            Lane::Append | Lane::Write | Lane::Upkeep => {
                SqliteConnection::new(Arc::clone(&self.writer).lock_owned().await)
            }
            // A beat only reads here: this is the only process, so a read sees every earlier commit.
            Lane::Beat | Lane::Feed | Lane::Peers => {
                SqliteConnection::new(Arc::clone(&self.feed).lock_owned().await)
            }
            Lane::CatchUp => SqliteConnection::new(Arc::clone(&self.catch_up).lock_owned().await),
            Lane::Read => {
                // No time limit, but an abandoned read is interrupted, because it would keep its reader.
                SqliteConnection::new(lock_reader(&self.readers).await).interruptible(None)
            }
            Lane::Search => SqliteConnection::new(lock_reader(&self.searchers).await)
                .interruptible(Some(self.search_timeout)),
        };
        Ok(Box::new(connection))
    }

    fn searches_max(&self) -> usize {
        SEARCHERS
    }

    fn dialect(&self) -> Dialect {
        Dialect {
            now: "CAST(unixepoch('subsec') * 1000000 AS INTEGER)",
            next_credential: "(SELECT value + 1 FROM sequences WHERE name = 'credential')",
            next_user: "(SELECT value + 1 FROM sequences WHERE name = 'user')",
            next_tenant: "(SELECT value + 1 FROM sequences WHERE name = 'tenant')",
            next_chain: "next_chain(chain, $1)",
            beat_writes: false,
            group_max: 1,
            serial_per_row: false,
            lock_rows: "",
            changes_within: false,
            activity_rows: "SELECT value->>0 AS tenant_id, unhex(value->>1) AS session_id, \
                 value->>2 AS requests, value->>3 AS age_us, value->>4 AS ip, value->>5 AS page FROM json_each($1) ORDER BY key",
            by_index: |index| format!("INDEXED BY {index}"),
            // Deleted rows are overwritten in the file (`secure_delete`), and old pages stand in the log beside it.
            overwrite_deleted: Some("PRAGMA wal_checkpoint(TRUNCATE)"),
            advance_sequences: |stride| {
                vec![format!("UPDATE sequences SET value = value + {stride}")]
            },
        }
    }

    async fn durability(&self) -> Result<String, DbError> {
        Ok("this machine's disk: SQLite, WAL, synchronous=FULL".into())
    }

    async fn measure(&self) -> Result<StoreMeasure, DbError> {
        let directory = self.directory.clone();
        // A disk that does not answer must not keep a thread of the runtime.
        let measured =
            tokio::task::spawn_blocking(move || measure::measure(&directory, FILE)).await;
        measured.map_err(|error| DbError::Other(error.to_string()))?
    }
}

#[cfg(test)]
mod tests {
    use portcullis_contract::{
        id::{EventId, TenantId, UserId},
        position::sha256,
    };

    use portcullis_domain::{Actor, AuditFilter, Details, Entry, Micros, Mutation, PendingEvent};

    use super::*;
    use crate::{AuditStore, CheckpointStore, LogStore, sql::ONLY};

    async fn open_store(directory: &Path) -> (Arc<Sqlite>, SqlStore) {
        let engine = Arc::new(Sqlite::connect(directory).await.expect("opens"));
        let store = SqlStore::open(Arc::clone(&engine) as _)
            .await
            .expect("opens");
        (engine, store)
    }

    #[tokio::test]
    async fn a_batch_keeps_the_digest_of_its_delta_after_it_was_trimmed() {
        let directory = tempfile::tempdir().expect("a directory");
        let (engine, store) = open_store(directory.path()).await;
        let appended = store
            .append(&[Entry::internal(Mutation::SignOutEveryone)])
            .await
            .expect("appended");
        let frame = appended.committed.expect("a batch").frame;

        let trimmed = store.trim(frame.revision, Duration::ZERO).await;
        assert_eq!(trimmed.expect("trims"), 1);

        let mut connection = engine.connection(Lane::Read).await.expect("a connection");
        let sql = "SELECT delta_digest FROM log_batches WHERE revision = $1 AND delta IS NULL";
        let rows = connection
            .query(sql, &[frame.revision.0.into()])
            .await
            .expect("a read");
        let digest: [u8; 32] = rows[0].array(ONLY).expect("a digest");
        assert_eq!(digest, sha256(&frame.delta));
    }

    /// There is one version of the log yet, so the test makes a later one of a kind that there is.
    #[tokio::test]
    async fn an_entry_of_a_later_kind_waits_until_the_log_has_its_version() {
        let directory = tempfile::tempdir().expect("a directory");
        let (engine, store) = open_store(directory.path()).await;
        let entry = [Entry::internal(Mutation::SignOutEveryone)];
        let before = store.head().await.expect("a head");
        let refused = store.append_kinds(&entry, |_| 2).await;
        assert!(
            matches!(
                refused,
                Err(StoreError::LogTooOld {
                    log_version: 1,
                    needed: 2
                })
            ),
            "the log has version 1"
        );
        assert_eq!(store.head().await.expect("a head"), before);
        let mut connection = engine.connection(Lane::Read).await.expect("a connection");
        let trail = "SELECT count(*) FROM audit_events";
        let rows = connection.query(trail, &[]).await.expect("a count");
        assert_eq!(rows[0].int(ONLY).expect("a number"), 0);
        drop(connection);

        let mut connection = engine.connection(Lane::Append).await.expect("a connection");
        let raise = "UPDATE compatibility SET log_version = 2";
        connection.query(raise, &[]).await.expect("raised");
        drop(connection);
        let Ok(appended) = store.append_kinds(&entry, |_| 2).await else {
            panic!("the log has version 2");
        };
        assert!(appended.committed.is_some());
    }

    #[tokio::test]
    async fn events_that_waited_before_a_restart_still_get_into_the_trail() {
        let directory = tempfile::tempdir().expect("a directory");
        let tenant_id = TenantId::parse("t").expect("an id");
        let event = |at, target: &str, details: &[(&str, &str)]| PendingEvent {
            id: EventId::generate(),
            at: Micros(at),
            tenant_id: tenant_id.clone(),
            action: "session.create".into(),
            target: target.into(),
            user_id: UserId::parse("u").ok(),
            actor: Actor::authority(),
            details: details
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect::<Details>(),
        };
        let waiting = [
            event(7, "a \"session\"", &[]),
            event(8, "s", &[("city", "Z")]),
        ];
        let (engine, store) = open_store(directory.path()).await;
        store.add_pending_events(&waiting).await.expect("deferred");
        drop((engine, store));

        let (_engine, store) = open_store(directory.path()).await;
        store
            .append(&[Entry::internal(Mutation::Record)])
            .await
            .expect("recorded");
        let filter = AuditFilter {
            tenant_id: Some(tenant_id.clone()),
            actor: None,
            user_id: None,
            action: None,
            after: None,
            before: None,
        };
        let events = store
            .list_audit_events(&filter, None, 10)
            .await
            .expect("a list");
        let told = events.iter().map(|event| {
            (
                event.position.at,
                event.target.as_str(),
                event.details.len(),
            )
        });
        assert_eq!(
            told.collect::<Vec<_>>(),
            [(Micros(8), "s", 1), (Micros(7), "a \"session\"", 0)]
        );
    }
}
