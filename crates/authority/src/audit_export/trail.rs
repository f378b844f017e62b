//! The trail as an export reads it.

use std::{collections::HashSet, time::Duration};

use portcullis_contract::position::Position;
use tokio::time::{sleep, timeout};

use crate::{
    domain::{AuditEvent, ExportPlace, TrailPosition},
    feed::Feed,
    store::{Store, StoreError},
};

/// The longest pause between two looks at a quiet trail.
const QUIET_PAUSE: Duration = Duration::from_secs(1);
/// The most events that are read at once.
const EVENTS_MAX: u32 = 500;

/// The events that an export delivers.
pub(super) struct Trail {
    /// Empty: all tenants, and the installation.
    pub(super) tenants: HashSet<String>,
    /// The pause between two looks at a busy log, so that events go out together.
    pub(super) pause: Duration,
}

/// Events that were read together.
pub(super) enum Piece {
    Events {
        events: Vec<AuditEvent>,
        /// The place behind them.
        behind: ExportPlace,
        /// Whether the log had no more when they were read.
        is_last: bool,
    },
    /// The log is not the one that the place is of.
    OtherHistory {
        /// The place up to which both are the same.
        common: ExportPlace,
    },
}

impl Trail {
    /// Reads the events behind a place.
    pub(super) async fn next(
        &self,
        store: &dyn Store,
        feed: &Feed,
        place: &ExportPlace,
    ) -> Result<Piece, StoreError> {
        // A quiet log then costs no read of the store.
        if is_at_head(feed, place) {
            return Ok(Piece::Events {
                events: Vec::new(),
                behind: place.clone(),
                is_last: true,
            });
        }
        // Asked of the store and not of the feed, which may be behind another authority that delivered before.
        let mark = place.mark();
        let (head, chain) = store.head_and_chain(mark.revision).await?;
        if chain != Some(mark.chain) {
            let common = find_common(store, place).await?;
            return Ok(Piece::OtherHistory { common });
        }

        self.read(store, place, head).await
    }

    /// Reads events up to a head of the history that the place is of.
    async fn read(
        &self,
        store: &dyn Store,
        place: &ExportPlace,
        head: Position,
    ) -> Result<Piece, StoreError> {
        let mut events = store
            .audit_events_behind(None, place.position(), head.revision, EVENTS_MAX)
            .await?;
        let is_last = events.len() < EVENTS_MAX as usize;
        let behind = match events.last() {
            Some(last) if !is_last => place_behind(store, place, last, head).await?,
            // If the history changed since the head was read, this chain is of the old one, and the next look finds out.
            _ => place.advanced(TrailPosition::behind_revision(head.revision), head.chain),
        };
        // After the place was computed, which has to pass the events of other tenants too.
        events.retain(|event| self.tenants.is_empty() || self.tenants.contains(&event.tenant_id));
        Ok(Piece::Events {
            events,
            behind,
            is_last,
        })
    }

    /// Waits until the log has more, for a moment at most.
    pub(super) async fn wait_for_more(&self, feed: &Feed) {
        // Subscribed before the pause, so that a batch within it ends the wait behind it.
        let mut position = feed.position();
        sleep(self.pause).await;
        let _in_time = timeout(QUIET_PAUSE, position.changed()).await;
    }
}

/// The place behind an event that was read up to `head`.
async fn place_behind(
    store: &dyn Store,
    place: &ExportPlace,
    last: &AuditEvent,
    head: Position,
) -> Result<ExportPlace, StoreError> {
    let position = TrailPosition::behind(last);
    let (_, chain) = store.head_and_chain(position.revision).await?;
    let (_, head_chain) = store.head_and_chain(head.revision).await?;
    match chain {
        Some(chain) if head_chain == Some(head.chain) => Ok(place.advanced(position, chain)),
        // The history changed between the reads, so the chain may not be that of the events.
        _ => Err(StoreError::Conflict(
            "the history of the log changed".into(),
        )),
    }
}

/// Whether a place is behind all that this authority knows.
fn is_at_head(feed: &Feed, place: &ExportPlace) -> bool {
    let head = *feed.position().borrow();
    let mark = place.mark();
    (head.revision, head.chain) == (mark.revision, mark.chain)
        && place.position() == TrailPosition::behind_revision(head.revision)
}

/// The last place that an export has passed and that is in the log.
async fn find_common(store: &dyn Store, place: &ExportPlace) -> Result<ExportPlace, StoreError> {
    for mark in place.passed() {
        let (_, chain) = store.head_and_chain(mark.revision).await?;
        if chain == Some(mark.chain) {
            return Ok(place.returned_to(*mark));
        }
    }
    Ok(ExportPlace::beginning())
}
