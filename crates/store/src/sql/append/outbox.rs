//! Events of sign-ins and refreshes that a batch takes into the trail.

use super::{
    super::audit::outbox,
    batch::{Applied, Batch, count_of},
};
use crate::StoreError;
use portcullis_domain::Mutation;

impl Batch<'_> {
    /// Takes the oldest events that wait.
    pub(super) async fn take_outbox(&mut self, index: usize) -> Result<(), StoreError> {
        // The entry has no audit row of its own: repeated, it takes the events that wait then.
        // Two authorities that delete the same rows, each in its own order, could wait for each other. The lock on the
        // row of the installation lets them take turns.
        self.lock_installation().await?;
        let taken = outbox::take(self.db, Mutation::RECORDED_MAX).await?;
        self.results[index] = Some(Ok(Applied::Now(count_of(taken.len()))));
        self.audit.extend(taken);
        Ok(())
    }
}
