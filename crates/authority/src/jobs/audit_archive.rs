//! The archive of the audit trail.

use tokio_util::sync::CancellationToken;

use crate::audit_archive::Archiver;

/// Archives whole months, until `stop`.
pub(super) async fn run(archive: Archiver, stop: CancellationToken) {
    archive.run(stop).await;
}
