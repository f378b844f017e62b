//! An export of the audit trail. Every authority runs each, and the one with the claim delivers.

use tokio_util::sync::CancellationToken;

use crate::audit_export::Exporter;

/// Delivers until `stop`. A delivery that is dropped in the middle is repeated by the next authority with the claim.
pub(super) async fn run(export: Exporter, stop: CancellationToken) {
    export.run(stop).await;
}
