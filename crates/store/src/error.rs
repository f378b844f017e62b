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
