//! The claim of an export: how long it counts, and how it is kept.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::ExportMetrics;
use crate::{
    domain::ExportStatus,
    store::{ExportClaim, Store, StoreError},
};

/// How long a claim counts without a renewal. Another authority takes over when it has passed.
pub(super) const LEASE: Duration = Duration::from_secs(5);
/// The pause between two renewals. Two may fail.
const RENEW: Duration = Duration::from_millis(1_500);

/// A claim, and until when this authority may believe in it.
pub(super) struct Claimed {
    pub(super) claim: ExportClaim,
    pub(super) until: Instant,
}

impl Claimed {
    pub(super) fn new(claim: ExportClaim, asked: Instant) -> Self {
        Self {
            claim,
            until: asked + LEASE,
        }
    }
}

/// Renews a claim until it is lost.
pub(super) async fn keep_claim(
    store: &dyn Store,
    export: &str,
    fence: u64,
    mut until: Instant,
    metrics: &ExportMetrics,
) {
    loop {
        sleep(RENEW).await;
        let asked = Instant::now();
        let renewing = renew(store, export, fence, metrics);
        // Bounded by the claim itself: while the store hangs, this authority must not deliver under
        // a claim that has ended.
        match timeout_at(until, renewing).await {
            Ok(Ok(true)) => until = asked + LEASE,
            // Another authority has claimed it, or somebody has removed or stopped it.
            Ok(Ok(false)) | Err(_) => return,
            Ok(Err(error)) => {
                error.log("the claim of an audit export was not renewed");
                if Instant::now() >= until {
                    return;
                }
            }
        }
    }
}

/// Renews a claim. Returns false if it is lost.
async fn renew(
    store: &dyn Store,
    export: &str,
    fence: u64,
    metrics: &ExportMetrics,
) -> Result<bool, StoreError> {
    let is_kept = store.renew_export(export, fence, LEASE).await?;
    if is_kept {
        read_status(store, export, metrics).await?;
    }
    Ok(is_kept)
}

/// Reads how an export stands, and shows it in the metrics.
pub(super) async fn read_status(
    store: &dyn Store,
    export: &str,
    metrics: &ExportMetrics,
) -> Result<Option<ExportStatus>, StoreError> {
    let status = store.export_status(export, LEASE).await;
    // An old status would look like one that does not change.
    metrics.show(export, status.as_ref().ok().copied().flatten());
    status
}
