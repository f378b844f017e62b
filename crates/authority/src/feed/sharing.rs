//! The row that this authority writes for the others: its validators, and the revision that its callers wait for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use portcullis_contract::{delta::LOG_VERSION, position::Revision};
use tokio::sync::Mutex;

use super::{
    Validators,
    roster::{encode_roster, encode_statuses},
};
use crate::store::{AuthorityShare, EnforcementStore, StoreError};

/// Writes the row of this authority.
pub(crate) struct Sharing {
    store: Arc<dyn EnforcementStore>,
    validators: Arc<Validators>,
    authority: [u8; 16],
    /// The name of the authority, for operators.
    name: String,
    /// The version of the roster in the row. 0: there is no row, or none is known.
    shared: AtomicU64,
    /// The revision for which callers of this authority wait. 0: nobody waits.
    wanted: AtomicU64,
    /// One write at a time, so that a roster that was read earlier is not written later.
    writing: Mutex<()>,
}

impl Sharing {
    pub(crate) fn new(
        store: Arc<dyn EnforcementStore>,
        validators: Arc<Validators>,
        authority: [u8; 16],
        name: String,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            validators,
            authority,
            name,
            shared: AtomicU64::new(0),
            wanted: AtomicU64::new(0),
            writing: Mutex::default(),
        })
    }

    pub(super) fn authority(&self) -> [u8; 16] {
        self.authority
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The version of the roster as it is now.
    pub(super) fn roster_version(&self) -> u64 {
        self.validators.roster_version()
    }

    /// Writes the roster, unless the row has this version or a later one.
    pub(super) async fn share_roster(&self, version: u64) -> Result<(), StoreError> {
        if self.shared.load(Ordering::Acquire) >= version {
            return Ok(());
        }
        self.share().await?;
        Ok(())
    }

    /// Tells the others in the next row that callers wait for this revision. 0: nobody waits.
    pub(super) fn set_wanted(&self, wanted: Revision) {
        self.wanted.store(wanted.0, Ordering::Release);
    }

    /// Writes the roster as it is now, and the revision that callers wait for.
    ///
    /// Returns the bytes of the roster.
    pub(super) async fn share(&self) -> Result<usize, StoreError> {
        let _turn = self.writing.lock().await;
        // The version first: the roster that is read after it has at least its validators.
        let version = self.roster_version();
        let roster = encode_roster(&self.validators.roster(Instant::now()));
        let bytes = roster.len();
        let share = AuthorityShare {
            name: self.name.clone(),
            roster_version: version,
            roster,
            wanted: Revision(self.wanted.load(Ordering::Acquire)),
            log_version: LOG_VERSION,
            // An authority without gates must not keep the installation from a higher version of
            // the log.
            gates_log_version: self.validators.log_version().unwrap_or(LOG_VERSION),
        };
        self.store.share(&self.authority, share).await?;
        self.shared.fetch_max(version, Ordering::AcqRel);
        Ok(bytes)
    }

    /// Writes the status of every stream.
    pub(super) async fn share_statuses(&self) -> Result<(), StoreError> {
        let statuses = encode_statuses(self.validators.shared_statuses());
        self.store.share_statuses(&self.authority, statuses).await
    }

    /// Records that the row is gone.
    pub(super) fn forget_shared(&self) {
        self.shared.store(0, Ordering::Release);
    }
}
