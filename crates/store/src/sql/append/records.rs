//! Events of sign-ins and refreshes, which ride in a batch.

use super::{super::pending, Batch, Done};
use crate::{domain::Mutation, store::StoreError};

impl Batch<'_> {
    /// Takes the oldest events that wait. It has no row of its own: to repeat it is to take what waits then.
    pub(super) async fn record(&mut self, index: usize) -> Result<(), StoreError> {
        // Two authorities that delete the same rows, each in its own order, could wait for each other.
        self.connection
            .query("UPDATE installation SET keys_version = keys_version", &[])
            .await?;
        let taken = pending::take(self.connection, Mutation::RECORDED_MAX).await?;
        self.results[index] = Some(Ok(Done::Now(
            u32::try_from(taken.len()).unwrap_or(u32::MAX),
        )));
        self.audit.extend(taken);
        Ok(())
    }
}
