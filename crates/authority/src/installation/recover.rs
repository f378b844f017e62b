//! `portcullis recover`: begins a new history after a restore or a failover that may have lost writes.

use futures::future::BoxFuture;
use portcullis_contract::{
    position::{Incarnation, Position, Revision},
    view::View,
};

use crate::{
    feed::{FeedError, load_view},
    keys::{MasterKeys, Unsealable, open_sealed_key, random},
    store::{Recovered, Store, StoreError},
};

/// Why no new history was begun. The store is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The log cannot be read.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// The store failed, or refused because an authority is running.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The master key is not the installation's.
    #[error("the master key: {0}")]
    MasterKey(#[from] Unsealable),
}

/// Begins a new history over the rows of the store. No authority may be running.
///
/// # Errors
/// When the master key is not the installation's, an authority is running, the store fails, or its log cannot be read.
pub fn recover<'a>(
    store: &'a dyn Store,
    master: &'a MasterKeys,
    sign_out: bool,
) -> BoxFuture<'a, Result<Recovered, RecoverError>> {
    Box::pin(async move {
        // Before the log is replayed, so that a wrong key is reported at once.
        check_master_key(store, master).await?;
        // Read before the head is locked, because replaying a long log takes minutes.
        let old = load_view(store, master).await?;
        let checkpoint = |recovered: &Recovered| {
            // The head is locked now. A batch that was appended since the view was read would be missing in the new history.
            if recovered.old != old.position() {
                let moved = "the log grew while it was read: stop every authority and try again";
                return Err(StoreError::InUse(moved.into()));
            }
            let bytes = first_view(&old, recovered).encode();
            let code = master.authenticate(&bytes).into();
            Ok((bytes, code))
        };
        Ok(store
            // Random, so that two recoveries from one backup never look like one history.
            .recover(Incarnation(random()), sign_out, &checkpoint)
            .await?)
    })
}

/// Refuses another master key: no authority of this installation could open the checkpoint of the new history.
async fn check_master_key(store: &dyn Store, master: &MasterKeys) -> Result<(), RecoverError> {
    let (keys, _) = store.keys().await?;
    for key in &keys {
        open_sealed_key(master, key)?;
    }
    Ok(())
}

/// The first view of the new history: the old revocations, and its first batch.
fn first_view(old: &View, recovered: &Recovered) -> View {
    let before = Position {
        incarnation: recovered.head.incarnation,
        // It cannot underflow: a recovery advances the revision by 2^32.
        revision: Revision(recovered.head.revision.0 - 1),
        chain: recovered.old.chain,
    };
    old.rebased(before)
        .apply(&recovered.frame)
        .expect("the first batch follows by construction")
}
