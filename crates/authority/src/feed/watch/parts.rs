//! The authority's side of streams over a store of a test's own.

use std::sync::Arc;

use portcullis_contract::position::Position;
use tokio_util::sync::CancellationToken;

use super::{
    host::{CursorState, WatchHost},
    messages::{Hello, StreamSource},
};
use crate::{
    config::{ReadinessConfig, WatchConfig},
    domain::{Entry, Mutation},
    feed::{
        Beats, ValidatorMode,
        parts::{Parts, STALENESS},
    },
    health::{Readiness, Supervisor},
};

/// The host of streams, with the log that it reads.
pub(super) struct Test {
    pub(super) host: Arc<WatchHost>,
    pub(super) parts: Parts,
}

impl Test {
    pub(super) async fn start() -> Self {
        let parts = Parts::new().await;
        let config = WatchConfig {
            staleness_max: STALENESS,
            streams_max: 2,
            ..WatchConfig::default()
        };
        let feed = parts.open_feed(&config).await;
        let heads = Arc::new(feed.master.head_codes());
        let readiness = Arc::new(Readiness::new(&ReadinessConfig::default()));
        let drain = CancellationToken::new();
        let tasks = Supervisor::new(Arc::clone(&readiness), drain.clone());
        let beats = Beats::start(
            parts.store.clone(),
            Arc::clone(&heads),
            Arc::clone(&parts.sharing),
            STALENESS,
            &tasks,
        );
        let host = WatchHost {
            config,
            feed: Arc::new(feed),
            store: parts.store.clone(),
            beats,
            validators: Arc::clone(&parts.validators),
            gates: Arc::default(),
            heads,
            readiness,
            drain,
        };
        Self {
            host: Arc::new(host),
            parts,
        }
    }

    /// Appends a batch that revokes something, and has the feed read it.
    pub(super) async fn advance(&self) -> Position {
        self.append(Mutation::Canary).await
    }

    /// Appends a batch, and has the feed read it.
    pub(super) async fn append(&self, mutation: Mutation) -> Position {
        let batch = [Entry::internal(mutation)];
        let appended = self.parts.store.append(&batch).await.expect("appended");
        self.host.feed.advance().await.expect("read");
        appended.committed.expect("a batch").position
    }

    pub(super) async fn judge(&self, cursor: Option<Position>) -> CursorState {
        let hello = hello(cursor);
        self.host.judge_cursor(&hello).await.expect("judged")
    }
}

/// The first message of a strict gate.
pub(super) fn hello(cursor: Option<Position>) -> Hello {
    Hello {
        name: "gate".into(),
        version: String::new(),
        log_version: 1,
        instance: None,
        mode: ValidatorMode::Strict,
        max_staleness: STALENESS,
        cursor,
        part: None,
        proven_head: None,
        gate: None,
    }
}

/// A gate on this machine.
pub(super) fn source() -> StreamSource {
    StreamSource {
        caller: "gateway".into(),
        address: "127.0.0.1:1".into(),
        aged: CancellationToken::new(),
    }
}
