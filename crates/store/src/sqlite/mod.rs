//! The embedded engine: one process, one data directory, nothing to install.

mod connection;

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::Path,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use rusqlite::{OpenFlags, OptionalExtension, functions::FunctionFlags};
use tokio::sync::{Mutex, OwnedMutexGuard};

use self::connection::{Handle, SqliteConnection};
use super::sql::{Backend, Connection, DbError, Dialect, ISSUER, Lane, SqlStore};
use crate::store::StoreError;

mod embedded {
    refinery::embed_migrations!("src/sqlite/migrations");
}

/// Readers beside the one writer. WAL lets them run while it writes.
const READERS: usize = 4;

/// Readers for searches.
const SEARCHERS: usize = 2;

/// An open data directory. Its lock is held for the life of the process: SQLite's own locks would let a second
/// authority in, which the beat relies on not being there.
pub struct Sqlite {
    writer: Arc<Mutex<Handle>>,
    readers: Vec<Arc<Mutex<Handle>>>,
    searchers: Vec<Arc<Mutex<Handle>>>,
    /// How long a statement of a search may take.
    search_timeout: Duration,
    feed: Arc<Mutex<Handle>>,
    catch_up: Arc<Mutex<Handle>>,
    _lock: File,
}

impl Sqlite {
    /// Opens or makes a data directory (mode 0700).
    ///
    /// # Errors
    /// When it cannot be made, another process holds it, or the database cannot be opened or migrated.
    pub async fn open(directory: &Path) -> Result<SqlStore, StoreError> {
        SqlStore::open(Arc::new(Self::connect(directory).await?)).await
    }

    /// The engine alone, for tests that put faults around it.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn connect(directory: &Path) -> Result<Self, StoreError> {
        let directory = directory.to_owned();
        let opened = tokio::task::spawn_blocking(move || Self::open_blocking(&directory)).await;
        opened.map_err(|error| StoreError::Internal(error.to_string()))?
    }

    fn open_blocking(directory: &Path) -> Result<Self, StoreError> {
        let lock = lock_directory(directory)?;
        let file = directory.join("portcullis.db");
        // Before SQLite opens it: the files that it makes beside it get the same mode.
        let made = File::options().append(true).create(true).open(&file);
        let private = made.and_then(|made| made.set_permissions(fs::Permissions::from_mode(0o600)));
        private.map_err(|error| io("database file", &error))?;
        let mut writer = open_file(&file)?;
        let migrated = embedded::migrations::runner().run(&mut writer);
        migrated.map_err(|error| StoreError::Internal(format!("migration: {error}")))?;
        let reader = || Ok::<_, StoreError>(Arc::new(Mutex::new(Handle::new(open_file(&file)?))));
        Ok(Self {
            readers: (0..READERS).map(|_| reader()).collect::<Result<_, _>>()?,
            searchers: (0..SEARCHERS).map(|_| reader()).collect::<Result<_, _>>()?,
            search_timeout: Duration::from_secs(5),
            feed: reader()?,
            catch_up: reader()?,
            writer: Arc::new(Mutex::new(Handle::new(writer))),
            _lock: lock,
        })
    }

    /// Sets how long a statement of a search may take. Default 5 s.
    #[must_use]
    pub fn search_timeout(mut self, limit: Duration) -> Self {
        self.search_timeout = limit;
        self
    }
}

/// The issuer that a data directory was installed with. It opens the file for reading only, beside an authority
/// that may be running.
pub async fn installed_issuer(directory: &Path) -> Result<Option<String>, StoreError> {
    let file = directory.join("portcullis.db");
    if !file.exists() {
        return Ok(None);
    }
    let read = move || {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = rusqlite::Connection::open_with_flags(file, flags)?;
        let column = "SELECT count(*) FROM pragma_table_info('installation') WHERE name = 'issuer'";
        let columns: i64 = connection.query_row(column, [], |row| row.get(0))?;
        if columns == 0 {
            return Ok(None);
        }
        let issuer = connection
            .query_row(ISSUER, [], |row| row.get(0))
            .optional()?;
        Ok(issuer.flatten())
    };
    tokio::task::spawn_blocking(read)
        .await
        .map_err(|error| StoreError::Internal(error.to_string()))?
        .map_err(|error: rusqlite::Error| DbError::from(error).into())
}

/// A reader that is free, or the first to become so.
async fn free_reader(readers: &[Arc<Mutex<Handle>>]) -> OwnedMutexGuard<Handle> {
    for reader in readers {
        if let Ok(free) = Arc::clone(reader).try_lock_owned() {
            return free;
        }
    }
    let waiting = readers
        .iter()
        .map(|reader| Box::pin(Arc::clone(reader).lock_owned()));
    futures::future::select_all(waiting).await.0
}

fn lock_directory(directory: &Path) -> Result<File, StoreError> {
    let made = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory);
    made.map_err(|error| io("data directory", &error))?;
    let lock = File::create(directory.join("lock")).map_err(|error| io("lock file", &error))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::Unavailable(
            "another process has the data directory open".into(),
        )),
        Err(TryLockError::Error(error)) => Err(io("lock file", &error)),
    }
}

fn io(what: &str, error: &std::io::Error) -> StoreError {
    StoreError::Unavailable(format!("{what}: {error}"))
}

fn open_file(file: &Path) -> Result<rusqlite::Connection, StoreError> {
    let open = || {
        let connection = rusqlite::Connection::open(file)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        connection.busy_timeout(std::time::Duration::from_secs(2))?;
        connection.set_prepared_statement_cache_capacity(128);
        let pure = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
        connection.create_scalar_function("next_chain", 2, pure, |call| {
            let chain: Vec<u8> = call.get(0)?;
            let link: Vec<u8> = call.get(1)?;
            Ok(portcullis_contract::position::sha256(&[chain, link].concat()).to_vec())
        })?;
        Ok(connection)
    };
    open().map_err(|error: rusqlite::Error| DbError::from(error).into())
}

#[async_trait]
impl Backend for Sqlite {
    async fn connection(&self, lane: Lane) -> Result<Box<dyn Connection>, DbError> {
        let connection = match lane {
            Lane::Append | Lane::Write | Lane::Upkeep => {
                SqliteConnection::new(Arc::clone(&self.writer).lock_owned().await)
            }
            // A read by the only process there is: whatever committed before is seen.
            Lane::Beat | Lane::Feed => {
                SqliteConnection::new(Arc::clone(&self.feed).lock_owned().await)
            }
            Lane::CatchUp => SqliteConnection::new(Arc::clone(&self.catch_up).lock_owned().await),
            Lane::Read => {
                SqliteConnection::new(free_reader(&self.readers).await).interruptible(None)
            }
            Lane::Search => SqliteConnection::new(free_reader(&self.searchers).await)
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
            advance_sequences: |stride| {
                vec![format!("UPDATE sequences SET value = value + {stride}")]
            },
        }
    }

    async fn durability(&self) -> Result<String, DbError> {
        Ok("this machine's disk: SQLite, WAL, synchronous=FULL".into())
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
        let (frame, _) = appended.committed.expect("a batch");

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
            user_id: UserId::parse("u").expect("an id"),
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
