//! The rows by which the authorities of an installation inform each other.

use std::time::Duration;

use async_trait::async_trait;
use portcullis_contract::position::Revision;

use crate::StoreError;

/// The most rows of other authorities that are read. Rows of authorities that died are removed.
pub const PEERS_MAX: u32 = 1_024;

/// The rows of authorities. Each writes its own, and reads those of the others.
///
/// **Order.** When [`share`](Self::share) has returned, every later [`peers`](Self::peers) of any authority shows the row.
/// [`Beat::roster`](crate::Beat::roster) is read in the same snapshot as the head of the beat.
#[async_trait]
pub trait PeerStore: Send + Sync + 'static {
    /// Writes the row of an authority. A roster of an earlier version does not replace a later one.
    ///
    /// # Errors
    /// When the store fails.
    async fn share(&self, authority: &[u8; 16], share: AuthorityShare) -> Result<(), StoreError>;

    /// Writes the statuses of the streams of an authority into its row. Without a row it does nothing.
    ///
    /// # Errors
    /// When the store fails.
    async fn share_statuses(
        &self,
        authority: &[u8; 16],
        statuses: Vec<u8>,
    ) -> Result<(), StoreError>;

    /// The rows of all other authorities, without their rosters.
    ///
    /// # Errors
    /// When the store fails, or there are more than [`PEERS_MAX`].
    async fn peers(&self, authority: &[u8; 16]) -> Result<Vec<PeerRow>, StoreError>;

    /// The roster of an authority and the version of its row. None: there is no row.
    ///
    /// # Errors
    /// When the store fails.
    async fn peer_roster(&self, peer: &[u8; 16]) -> Result<Option<(u64, Vec<u8>)>, StoreError>;

    /// The statuses of the streams of an authority, and their age. None: there is no row.
    ///
    /// # Errors
    /// When the store fails.
    async fn peer_statuses(
        &self,
        peer: &[u8; 16],
    ) -> Result<Option<(Vec<u8>, Duration)>, StoreError>;

    /// Removes the row of an authority if it is still of this version.
    ///
    /// # Errors
    /// When the store fails.
    async fn remove_share(&self, peer: &[u8; 16], version: u64) -> Result<(), StoreError>;
}

/// The row of an authority as it writes it.
#[derive(Clone, Debug)]
pub struct AuthorityShare {
    /// For operators.
    pub name: String,
    /// Rises when a validator joins or leaves.
    pub roster_version: u64,
    /// The validators, as the authorities encode them.
    pub roster: Vec<u8>,
    /// The revision for which callers of the authority wait. 0: nobody waits.
    pub wanted: Revision,
    /// The version of the log that the authority understands.
    pub log_version: u32,
    /// The version of the log that every validator at it understands.
    pub gates_log_version: u32,
}

/// The row of another authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerRow {
    /// Its id.
    pub authority: [u8; 16],
    /// For operators.
    pub name: String,
    /// Rises with each [`share`](PeerStore::share).
    pub version: u64,
    /// The revision for which callers of the authority wait. 0: nobody waits.
    pub wanted: Revision,
    /// The number of its beats. None: it has ended, or beats of this engine write nothing.
    pub beat: Option<u64>,
}
