//! Log following: keeps the authority's own view at the head of the log.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{config::LogConfig, feed::Feed, health::Readiness, store::LogBatch};

/// Follows the log until `stop`. `batches` brings those of this authority without the way over the store.
pub(super) async fn run(
    feed: Arc<Feed>,
    config: LogConfig,
    batches: mpsc::Receiver<LogBatch>,
    readiness: Arc<Readiness>,
    stop: CancellationToken,
) {
    feed.follow(&config, batches, &readiness, &stop).await;
}
