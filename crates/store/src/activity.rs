//! Reports of gates: the use of sessions, and the gates themselves.

use std::time::Duration;

use async_trait::async_trait;
use portcullis_domain::{GateContact, GateRecord, Micros, MovedSession, SessionActivity};

use crate::StoreError;

/// The use of sessions as gates report it, and the record of gates and authorities that idleness is counted by.
#[async_trait]
pub trait ActivityStore: Send + Sync + 'static {
    /// Adds a report of sessions' use. Each session appears once, in the order of keys. Unknown sessions are ignored, and
    /// a last use older than the stored one moves nothing back. Returns the sessions that moved. When two reports meet,
    /// both may return the same session.
    ///
    /// **Not idempotent.** A repeated call counts requests twice.
    ///
    /// # Errors
    /// When the store fails. The requests may have been counted if the error is retryable.
    async fn record_activity(
        &self,
        activities: &[SessionActivity],
    ) -> Result<Vec<MovedSession>, StoreError>;

    /// Records that an authority is up. Returns when an authority came back after the last time that none had been up for
    /// longer than `absence`: use before that may never have been reported.
    ///
    /// # Errors
    /// When the store fails.
    async fn record_heartbeat(&self, absence: Duration) -> Result<Micros, StoreError>;

    /// Stores the gates that this authority knows, in the order of ids. Forgets gates that announced their end, and those
    /// that could not admit requests for longer than `keep`. Returns all that are left, with the database's clock.
    /// Idempotent.
    ///
    /// # Errors
    /// When the store fails.
    async fn record_gates(
        &self,
        contacts: &[GateContact],
        keep: Duration,
    ) -> Result<(Vec<GateRecord>, Micros), StoreError>;
}
