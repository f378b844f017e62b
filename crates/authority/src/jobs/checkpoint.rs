//! Checkpoints of the view, and trimming of the log that they make unnecessary.

use std::{sync::Arc, time::Duration};

use portcullis_contract::view::View;
use prost::bytes::Bytes;

use crate::{
    config::LogConfig,
    feed::{BYTES_ENCODED_AT_ONCE_MAX, Feed},
    keys::MasterKeys,
    store::{CheckpointDue, EnforcementStore},
};

/// The longest that a change is in the log alone. Older changes are in a checkpoint, so the log can be trimmed.
const CHECKPOINT_AGE_MAX: Duration = Duration::from_secs(60 * 60);

/// Writes a checkpoint if enough has changed since the last one and no other authority is writing one.
pub(crate) async fn save(
    store: &dyn EnforcementStore,
    feed: &Feed,
    master: &MasterKeys,
    config: &LogConfig,
) {
    // Taken once: the feed goes on meanwhile, and the claim has to name the revision of the bytes that are stored.
    let view = feed.view();
    let at = view.position();
    let revision = at.revision;
    // Claimed before the view is encoded, so that only one of many authorities pays for that.
    match store.claim_checkpoint(revision, &due(config)).await {
        Ok(true) => {}
        Ok(false) => return,
        Err(error) => return error.log("a checkpoint was not claimed"),
    }

    // If the encoder panics, nothing gives the claim back. An authority may claim again after the interval.
    let Some(bytes) = encode(view).await else {
        return;
    };
    // Whoever can write to the database could else store a view that lacks a revocation.
    let code = master.authenticate(&bytes).into();
    match store.save_checkpoint(at, bytes, code).await {
        Ok(true) => tracing::debug!(revision = revision.0, "checkpoint written"),
        // The feed finds out by itself, and takes the log's history.
        Ok(false) => tracing::warn!(
            revision = revision.0,
            "a checkpoint was not written: the log does not have the view's position"
        ),
        Err(error) => error.log("a checkpoint was not written"),
    }
}

fn due(config: &LogConfig) -> CheckpointDue {
    CheckpointDue {
        interval: config.checkpoint_interval,
        batches_min: config.checkpoint_batches_min as u64,
        bytes_min: config.checkpoint_bytes_min as u64,
        age_max: CHECKPOINT_AGE_MAX,
    }
}

/// Encodes a view. None: the encoder panicked.
async fn encode(view: Arc<View>) -> Option<Bytes> {
    if view.bytes() <= BYTES_ENCODED_AT_ONCE_MAX {
        return Some(view.encode());
    }
    // Encoding a large view takes a good part of a second, which would hold up every task of this thread.
    let encoding = tokio::task::spawn_blocking(move || view.encode());
    encoding.await.ok()
}

/// Trims deltas that are older than the resume window and that no kept checkpoint needs.
pub(crate) async fn trim(store: &dyn EnforcementStore, resume_window: Duration) {
    // Never past the older of the two kept checkpoints, so that an authority can start from either.
    let through = match store.trimmable_revision().await {
        Ok(through) => through,
        Err(error) => return error.log("the log was not trimmed"),
    };
    match store.trim(through, resume_window).await {
        Ok(0) => {}
        Ok(batches) => tracing::info!(batches, "log trimmed"),
        Err(error) => error.log("the log was not trimmed"),
    }
}
