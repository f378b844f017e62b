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
