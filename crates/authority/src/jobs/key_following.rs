//! Key following: reads the signing keys again when the log says that the trusted keys changed.
//!
//! Another authority of the installation may have rotated them.

use std::sync::Arc;

use portcullis_contract::key::KeyId;

use crate::{feed::Feed, keys::Keyring};

/// Follows the trusted keys of the log, until it is dropped.
pub(super) async fn run(feed: Arc<Feed>, keyring: Arc<Keyring>) {
    let mut position = feed.position();
    // The keyring may have been read before this. The first round of maintenance reads it again, so nothing is missed.
    let mut known = trusted_keys(&feed);
    while position.changed().await.is_ok() {
        let trusted = trusted_keys(&feed);
        // Nearly every batch is a revocation, for which no key needs to be read.
        if trusted == known {
            continue;
        }
        match keyring.reload().await {
            Ok(()) => known = trusted,
            // `known` stays as it is, so the next batch tries again.
            Err(error) => tracing::error!(%error, "signing keys were not read"),
        }
    }
}

fn trusted_keys(feed: &Feed) -> Vec<KeyId> {
    let view = feed.view();
    let keys = view.trusted_keys();
    keys.iter().map(|key| key.id.clone()).collect()
}
