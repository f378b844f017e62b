//! Failures of the store.

/// A failure of the store. The text is for the authority's own log: it names classes and codes, never values.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, or did not answer in time. A commit may have happened.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The database cannot be reached, because TLS with it failed. The text names the setting to change.
    #[error("no TLS connection to the database: {0}")]
    Tls(String),
    /// Another transaction was in the way: a lock, a deadlock, a serialization failure.
    #[error("the transaction has to be repeated: {0}")]
    Conflict(String),
    /// A search took longer than its limit. A narrower search may succeed.
    #[error("the search took too long: {0}")]
    TooSlow(String),
    /// Too many calls of this kind are waiting.
    #[error("overloaded: {0}")]
    Overloaded(String),
    /// The deltas asked for were trimmed.
    #[error("the log was trimmed")]
    Trimmed,
    /// The schema has another version, and this role may not migrate it.
    #[error(
        "the database is not of this version, and the role of store.url may not change it: run `portcullis migrate` \
         with store.owner_url"
    )]
    NotMigrated,
    /// A later version has changed the schema in a way that this version cannot run on.
    #[error(
        "the database has schema {schema}, on which versions from schema {runs_from} on can run; this version knows \
         schema {known}: start a later version"
    )]
    SchemaTooNew {
        /// The last migration that was applied.
        schema: i32,
        /// The least schema that a version must know to run on it.
        runs_from: i32,
        /// The last migration that this version knows.
        known: i32,
    },
    /// A migration of this version was applied in another wording, or left out.
    #[error(
        "migration V{0} of the database is not the one of this version: a build that was never released made it. \
         Make a new database"
    )]
    ForeignSchema(i32),
    /// The log may have entries that this version does not understand.
    #[error(
        "the log has version {log_version}, and this version understands {known}: start a later version"
    )]
    LogTooNew {
        /// The version that an operator raised the log to.
        log_version: u32,
        /// The version that this build understands.
        known: u32,
    },
    /// An entry of a later kind than the log may have.
    #[error(
        "the log has version {log_version}, and the entry needs {needed}: run `portcullis log-version raise {needed}` when \
         every authority and gate understands it"
    )]
    LogTooOld {
        /// The version of the log.
        log_version: u32,
        /// The version since which there are entries of this kind.
        needed: u32,
    },
    /// Somebody who runs does not understand the version that the log would get.
    #[error("{who} understands the log up to version {understands}: upgrade it first")]
    LogNotUnderstood {
        /// The authority, or the authority of the gate.
        who: String,
        /// The version that it understands.
        understands: u32,
    },
    /// The version of the log is never lowered, because entries of it may have been written.
    #[error("the log has version {log_version}, which is never lowered")]
    LogNotLowered {
        /// The version of the log.
        log_version: u32,
    },
    /// A migration did not get its locks. Nothing of it was applied.
    #[error(
        "migration {migration} did not get its locks in {attempts} attempts, and changed nothing. In its way: {holders}. \
         Wait until it ends, or end it with pg_terminate_backend, then start again"
    )]
    MigrationBlocked {
        /// Its file's name.
        migration: String,
        /// The number of attempts.
        attempts: u32,
        /// The server's processes that held the locks, without what they ran.
        holders: String,
    },
    /// The URL or the server behind it cannot be used.
    #[error("{0}")]
    Unusable(String),
    /// An authority is running on the store, and the call requires that none is.
    #[error("the store is in use: {0}")]
    InUse(String),
    /// A row has an invalid value, or a statement is wrong.
    #[error("the store is corrupt or the statement wrong: {0}")]
    Internal(String),
}

impl StoreError {
    /// Whether the same call may succeed soon. Repeating it is safe.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        // Not `Overloaded`: repeating at once would add to the load that caused it.
        matches!(
            self,
            Self::Unavailable(_) | Self::Tls(_) | Self::Conflict(_)
        )
    }

    /// Logs that `what` was postponed or failed because of this error.
    ///
    /// An unavailable store is logged at DEBUG: its [`Outage`](crate::outage::Outage) already writes a few lines for
    /// all calls together.
    pub fn log(&self, what: &str) {
        match self {
            // The outage is logged once for all calls, so that an outage of a minute is not a thousand lines.
            Self::Unavailable(_) | Self::Tls(_) => tracing::debug!(error = %self, "{what}"),
            _ => tracing::warn!(error = %self, "{what}"),
        }
    }
}
