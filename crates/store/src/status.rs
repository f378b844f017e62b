//! The state of the store, for operators.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{StoreError, outage::Outage};

/// The state of the store: outages, connections and durability.
#[async_trait]
pub trait StoreStatus: Send + Sync + 'static {
    /// The reporter of the store's outages, by lane. It logs them, so that callers need not.
    fn outage(&self) -> Arc<Outage>;

    /// Whether other authorities may use the same rows at the same time.
    fn is_shared(&self) -> bool;

    /// The connections of each lane. Empty for an engine without pools.
    fn pools(&self) -> Vec<PoolState>;

    /// The durability of an acknowledged write, in words for the operator, as the engine's settings promise it.
    ///
    /// # Errors
    /// When the engine does not answer.
    async fn durability(&self) -> Result<String, StoreError>;

    /// The room that the database takes and has, and how far its standbys are behind.
    ///
    /// # Errors
    /// When the engine does not answer.
    async fn measure(&self) -> Result<StoreMeasure, StoreError>;
}

/// The most standbys that a measure names. Those beyond it, in the order of their names, are left out.
pub const STANDBYS_MAX: usize = 16;

/// The database at one time, as its operator has to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreMeasure {
    /// Bytes that the database takes on its disk.
    pub size_bytes: u64,
    /// Bytes that are free on that disk. None if the engine does not tell: PostgreSQL shows no disk of its machine.
    pub disk_free_bytes: Option<u64>,
    /// The standbys that are connected now, at most [`STANDBYS_MAX`]. None if the engine has none, or does not show them
    /// to this role.
    pub standbys: Option<Vec<StandbyState>>,
}

/// A standby, as its primary knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandbyState {
    /// Its `application_name`, at most 63 bytes. Standbys that share a name are one, and the worst of them counts.
    pub name: String,
    /// Bytes of the primary's log that it has not replayed.
    pub lag_bytes: u64,
    /// The time from a commit at the primary until the standby replayed it, when this was last measured. Zero while
    /// nothing is written.
    pub lag: Duration,
}

/// The connections of a lane at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolState {
    /// The name of the lane. Lanes that share connections are one.
    pub lane: &'static str,
    /// The most connections.
    pub max: u64,
    /// Connections on loan.
    pub in_use: u64,
    /// Callers that wait for a connection now.
    pub waiting: u64,
    /// Loans since the start, including those that waited only for a moment.
    pub waits: u64,
    /// The sum of all waits.
    pub waited: Duration,
}
